package serve_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/serve"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

// A running server, and what Run returned.
type running struct {
	*serve.Main
	cancel context.CancelFunc
	ran    chan error
}

func launch(t *testing.T, config serve.Config) running {
	t.Helper()
	if config.Listen == "" {
		config.Listen = "127.0.0.1:0"
	}
	r := running{Main: serve.New(config), ran: make(chan error, 1)}
	require.Empty(t, r.Addr())
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.ran <- r.Run(ctx) }()
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// ready waits until the server answers.
func (r running) ready(t *testing.T) running {
	t.Helper()
	select {
	case <-r.Ready():
	case err := <-r.ran:
		require.FailNow(t, "the server ended", "%v", err)
	}
	return r
}

// end stops the server by its context.
func (r running) end() error {
	r.cancel()
	return <-r.ran
}

func get(m running, path, token string) (int, string, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+m.Addr()+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Coder-Session-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func owner(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `WITH u AS (INSERT INTO users (username, roles) VALUES ('bob', '{owner}') RETURNING id)
		INSERT INTO sessions (token_hash, user_id, expires_at) SELECT $1, id, now() + interval '1 hour' FROM u`, audit.TokenHash("bob"))
	require.NoError(t, err)
}

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func TestServersStartAtOnceAndAnswer(t *testing.T) {
	url := pgtest.URL(t)
	first, second := launch(t, serve.Config{DatabaseURL: url}), launch(t, serve.Config{DatabaseURL: url})
	first.ready(t)
	second.ready(t)
	pool := connect(t, url)
	owner(t, pool)
	// A page that one of them began is gone on with by the other.
	_, err := pool.Exec(t.Context(), `INSERT INTO connection_logs (organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type)
		SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'dev', 'main', 'ssh' FROM generate_series(1, 2)`)
	require.NoError(t, err)
	_, body, err := get(first, "/api/v2/connectionlog?limit=1", "bob")
	require.NoError(t, err)
	var page struct {
		Next string `json:"next_cursor"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &page))
	require.NotEmpty(t, page.Next)
	status, body, err := get(second, "/api/v2/connectionlog?limit=1&cursor="+page.Next, "bob")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	for _, m := range []running{first, second} {
		for _, path := range []string{"/healthz", "/readyz", "/api/v2/audit?q=action:create", "/api/v2/connectionlog?q=type:ssh"} {
			status, body, err := get(m, path, "bob")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, body)
			require.True(t, json.Valid([]byte(body)))
		}
		require.NoError(t, m.end())
		require.NoError(t, m.Close())
		require.ErrorContains(t, m.Run(t.Context()), "has run already")
	}
	var migrations int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) - count(DISTINCT version_id) FROM goose_db_version").Scan(&migrations))
	require.Zero(t, migrations, "a migration ran twice")
}

func TestShutdownFinishesRequests(t *testing.T) {
	url := pgtest.URL(t)
	m := launch(t, serve.Config{DatabaseURL: url}).ready(t)
	pool := connect(t, url)
	owner(t, pool)

	// The request has to wait for a lock, which is held until the server has
	// begun to shut down.
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	type answer struct {
		status int
		body   string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		status, body, err := get(m, "/api/v2/audit", "bob")
		answered <- answer{status, body, err}
	}()
	require.Eventually(t, func() bool {
		var waiting int
		err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting)
		return err == nil && waiting > 0
	}, 10*time.Second, 5*time.Millisecond)

	ended := make(chan error, 1)
	go func() { ended <- m.end() }()
	require.Eventually(t, func() bool {
		_, _, err := get(m, "/healthz", "")
		return err != nil // it listens no more
	}, 10*time.Second, 5*time.Millisecond)
	select {
	case err := <-ended:
		require.FailNow(t, "the server ended before its request", "%v", err)
	default:
	}
	require.NoError(t, tx.Rollback(t.Context()))
	got := <-answered
	require.NoError(t, got.err)
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.NoError(t, <-ended)
}

func TestCloseEndsRun(t *testing.T) {
	m := launch(t, serve.Config{DatabaseURL: pgtest.URL(t)}).ready(t)
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	require.NoError(t, m.end())

	unused := serve.New(serve.Config{})
	require.NoError(t, unused.Close())
	require.ErrorContains(t, unused.Run(t.Context()), "has run already")
}

// open lets the user that PostgreSQL runs as, who may be another, get to dir.
func open(t *testing.T, dir string) {
	t.Helper()
	for d := filepath.Dir(dir); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755))
	}
}

func TestPrivatePostgreSQLKeepsItsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	open(t, dir)
	for range 2 {
		m := launch(t, serve.Config{DataDir: dir}).ready(t)
		status, body, err := get(m, "/readyz", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		require.NoError(t, m.end())
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	used, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer used.Close()
	for _, c := range []struct {
		config serve.Config
		want   string
	}{
		{serve.Config{}, "a database URL, or a data directory"},
		{serve.Config{DatabaseURL: "postgres://user:hunter2@:bad"}, "reading the database URL"},
		{serve.Config{DatabaseURL: pgtest.URL(t) + "&dbname=none_such"}, "connecting to the database"},
		// A bad address is told before anything is started.
		{serve.Config{Listen: "127.0.0.1:none"}, "listening on 127.0.0.1:none"},
		{serve.Config{Listen: used.Addr().String()}, "address already in use"},
	} {
		if c.config.Listen == "" {
			c.config.Listen = "127.0.0.1:0"
		}
		err = serve.New(c.config).Run(t.Context())
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, serve.New(serve.Config{DatabaseURL: pgtest.URL(t), Listen: "127.0.0.1:0"}).Run(ctx), "being told to stop is no error")
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestInterruptedLoadIsNoError(t *testing.T) {
	url := pgtest.URL(t)
	pool := connect(t, url)
	require.NoError(t, postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)))
	// The load has to wait for a lock, so that it is interrupted in a statement.
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "LOCK TABLE organizations IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	var log lines
	m := launch(t, serve.Config{
		DatabaseURL: url, DataDir: t.TempDir(), Demo: true, Listen: "0.0.0.0:0", Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.Eventually(t, func() bool {
		var waiting int
		err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting)
		return err == nil && waiting > 0
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, m.end())
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
	require.Regexp(t, `level=WARN msg="the demo's tokens are the same everywhere, [^\n]*\n[^\n]*msg="stopped before it was ready"`, log.String())
}

func TestWaitsForTheDatabase(t *testing.T) {
	var log lines
	m := launch(t, serve.Config{
		DatabaseURL: "postgres://nobody@127.0.0.1:1/none", Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "waiting for the database") }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, m.end())
}

// Demo data are kept, with a word on how to get others.
func TestDemoDataOfAnotherSize(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	open(t, dir)
	var said lines
	for _, rows := range []int{100, 101} {
		m := launch(t, serve.Config{DataDir: dir, Demo: true, Rows: rows, Progress: &said}).ready(t)
		require.NoError(t, m.end())
	}
	for _, route := range []string{"audit", "connectionlog"} {
		require.Regexp(t, `\n  curl -s -H 'Coder-Session-Token: \S+' 'http://127\.0\.0\.1:\d+/api/v2/`+route+`\?limit=5'\n`, said.String())
	}
	require.Regexp(t, `\n  curl -s -H 'Coder-Session-Token: \S+' -H 'Content-Type: application/json' 'http://127\.0\.0\.1:\d+/api/v2/audit/events' -d '\{`, said.String())
	home, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	require.NoError(t, err)
	require.Contains(t, said.String(), "has demo data of 100 audit logs, not 101: they are kept; "+
		"for others use another --data-dir, or stop this server and remove "+home+".\n")
}
