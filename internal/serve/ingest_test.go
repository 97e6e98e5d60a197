package serve_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/serve"
)

func send(ctx context.Context, m running, key, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.Addr()+"/api/v2/audit/events", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Coder-Session-Token", "bob")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// A shutdown writes the events that it has, also those whose clients have gone, and
// the next server knows them.
func TestShutdownWritesEvents(t *testing.T) {
	url := pgtest.URL(t)
	m := launch(t, serve.Config{DatabaseURL: url}).ready(t)
	pool := connect(t, url)
	owner(t, pool)
	const body = `{"resource_type": "template", "action": "create", "status_code": 201}`

	// Writing has to wait for a lock, which is held until the server has begun to
	// shut down.
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	type answer struct {
		status int
		body   string
		err    error
	}
	answers := make(chan answer, 2)
	hurried, leave := context.WithCancel(t.Context())
	waiting := func(n int) {
		require.Eventually(t, func() bool {
			var locks int
			err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&locks)
			return err == nil && locks == n
		}, 10*time.Second, 5*time.Millisecond)
	}
	for i, ctx := range []context.Context{hurried, t.Context()} {
		go func() {
			status, body, err := send(ctx, m, []string{"hurried", "patient"}[i], body)
			answers <- answer{status, body, err}
		}()
		waiting(i + 1) // one for each writer
	}
	leave()
	require.ErrorIs(t, (<-answers).err, context.Canceled)
	ended := make(chan error, 1)
	go func() { ended <- m.end() }()
	require.Eventually(t, func() bool {
		_, _, err := get(m, "/healthz", "")
		return err != nil // it listens no more
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
	first := <-answers
	require.NoError(t, first.err)
	require.Equal(t, http.StatusCreated, first.status, first.body)
	require.NoError(t, <-ended)

	again := launch(t, serve.Config{DatabaseURL: url}).ready(t)
	status, repeated, err := send(t.Context(), again, "patient", body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, first.body, repeated)
	status, _, err = send(t.Context(), again, "hurried", body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status)
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM audit_logs").Scan(&n))
	require.Equal(t, 2, n)
	require.NoError(t, again.end())
}
