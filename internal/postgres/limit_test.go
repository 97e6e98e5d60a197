package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/postgres"
)

// A request to cancel may come so late that it meets another statement of the
// connection. So a statement that is given up is ended by PostgreSQL itself, and the
// connection of a request that is over is not used again.
func TestGivingUp(t *testing.T) {
	pool := ofOneConnection(t)
	backend := func() int { return query[int](t, pool, "SELECT pg_backend_pid()") }
	one := func(into any) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{into}, func() error { return nil })
			return err
		}
	}

	first := backend()
	var n int
	require.NoError(t, postgres.Within(t.Context(), pool, time.Minute, "SELECT $1::int", []any{7}, one(&n)))
	require.Equal(t, 7, n)
	var none string
	for range 3 {
		err := postgres.Within(t.Context(), pool, 20*time.Millisecond, "SELECT pg_sleep($1)::text", []any{60}, one(&none))
		require.ErrorIs(t, err, postgres.ErrLimit)
	}
	require.ErrorIs(t, postgres.Within(t.Context(), pool, 0, "SELECT 1/0", nil, one(&n)), postgres.ErrLimit, "it is not asked at all")
	err := postgres.Within(t.Context(), pool, time.Minute, "SELECT 1/$1::int", []any{0}, one(&n))
	require.ErrorContains(t, err, "division by zero")
	require.NotErrorIs(t, err, postgres.ErrLimit)
	require.Equal(t, first, backend(), "a limit costs no connection")
	require.Equal(t, "0", query[string](t, pool, "SELECT current_setting('statement_timeout')"), "it is that statement's alone")

	over, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = postgres.Within(over, pool, time.Minute, "SELECT pg_sleep($1)::text", []any{60}, one(&none))
	require.Error(t, err)
	require.NotErrorIs(t, err, postgres.ErrLimit, "the request is over")
	require.NotEqual(t, first, backend())
}
