package auditclient_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/serve"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const token = "writer"

// A server is the real one on a database of its own.
type server struct {
	database string
	pool     *pgxpool.Pool
	address  string
	running  *serve.Main
}

// open starts a server where a writer has the token.
func open(ctx context.Context, database string) (*server, error) {
	s := &server{database: database, address: "127.0.0.1:0"}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	var err error
	if s.pool, err = postgres.Open(ctx, database); err != nil {
		return nil, err
	}
	_, err = s.pool.Exec(ctx, `WITH u AS (INSERT INTO users (username, roles) VALUES ('writer', '{audit-writer}') RETURNING id)
		INSERT INTO sessions (token_hash, user_id, expires_at) SELECT $1, id, now() + interval '1 hour' FROM u`, audit.TokenHash(token))
	return s, err
}

func newServer(t *testing.T) *server {
	t.Helper()
	s, err := open(t.Context(), pgtest.URL(t))
	require.NoError(t, err)
	t.Cleanup(s.close)
	return s
}

// start starts the server, on the address that it had.
func (s *server) start(ctx context.Context) error {
	s.running = serve.New(serve.Config{DatabaseURL: s.database, Listen: s.address})
	ended := make(chan error, 1)
	go func() { ended <- s.running.Run(context.WithoutCancel(ctx)) }()
	select {
	case <-s.running.Ready():
		s.address = s.running.Addr()
		return nil
	case err := <-ended:
		return fmt.Errorf("the server ended: %w", err)
	}
}

func (s *server) close() {
	_ = s.running.Close()
	s.pool.Close()
}

func (s *server) url() string { return "http://" + s.address }

func (s *server) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, s.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}
