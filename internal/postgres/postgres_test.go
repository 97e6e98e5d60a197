package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

var discard = slog.New(slog.DiscardHandler)

// open returns connections to an empty database, made as the server makes them.
func open(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), pgtest.URL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := open(t)
	require.NoError(t, postgres.Migrate(t.Context(), pool, discard))
	return pool
}

func TestMigrateOnceFromSeveralServers(t *testing.T) {
	url := pgtest.URL(t)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			pool, err := postgres.Open(context.Background(), url)
			if err == nil {
				defer pool.Close()
				err = postgres.Migrate(context.Background(), pool, discard)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	pool, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	rows, err := pool.Query(t.Context(), "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY 1")
	require.NoError(t, err)
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	files, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	require.Len(t, versions, len(files)+3) // three are written in Go
	require.NoError(t, postgres.NewDB(pool).Ready(t.Context()))
}

func ofOneConnection(t *testing.T) *pgxpool.Pool {
	t.Helper()
	url, separator := pgtest.URL(t), "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	pool, err := postgres.Open(t.Context(), url+separator+"pool_max_conns=1")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// A pool of one connection is enough, though a migration takes more.
func TestMigrateWithOneConnection(t *testing.T) {
	pool := ofOneConnection(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, postgres.Migrate(ctx, pool, discard))
	require.NoError(t, postgres.Migrate(ctx, pool, discard))
	require.NoError(t, postgres.NewDB(pool).Ready(ctx))
	require.EqualValues(t, 1, pool.Stat().TotalConns())
	// Where the database lets the user have no more, the migration fails at once.
	limited := open(t)
	exec(t, limited, "CREATE ROLE one_connection LOGIN CONNECTION LIMIT 1")
	defer exec(t, limited, "DROP ROLE one_connection")
	defer exec(t, limited, "DROP OWNED BY one_connection")
	exec(t, limited, "GRANT CREATE ON SCHEMA public TO one_connection")
	exec(t, limited, `DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO one_connection', current_database()); END $$`)
	config := limited.Config()
	config.MaxConns, config.ConnConfig.User = 1, "one_connection"
	one, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	defer one.Close()
	require.ErrorContains(t, postgres.Migrate(ctx, one, discard), "too many connections for role")
}

func TestReadySaysWhatIsMissing(t *testing.T) {
	pool := open(t)
	db := postgres.NewDB(pool)
	require.ErrorContains(t, db.Ready(t.Context()), "database's version")
	require.NoError(t, postgres.Migrate(t.Context(), pool, discard))
	require.NoError(t, db.Ready(t.Context()))
	var last int
	require.NoError(t, pool.QueryRow(t.Context(), `DELETE FROM goose_db_version
		WHERE version_id = (SELECT max(version_id) FROM goose_db_version) RETURNING version_id`).Scan(&last))
	require.ErrorContains(t, db.Ready(t.Context()), fmt.Sprintf("this server needs %d", last))
}
