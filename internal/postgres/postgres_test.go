package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

var discard = slog.New(slog.DiscardHandler)

// open returns connections to an empty database, made as the server makes them.
func open(t *testing.T) *pgxpool.Pool {
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
	require.Len(t, versions, len(files)+2) // two are written in Go
	require.NoError(t, postgres.NewDB(pool).Ready(t.Context()))
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
