package pgtest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

func TestNew(t *testing.T) {
	for _, name := range []string{"one", "other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			// Fails if both have the same database.
			_, err := db.Exec(t.Context(), "CREATE TABLE t AS SELECT 1")
			require.NoError(t, err)
		})
	}
}

func TestURL(t *testing.T) {
	var address string
	t.Run("in the test", func(t *testing.T) {
		address = pgtest.URL(t)
		conn, err := pgx.Connect(t.Context(), address)
		require.NoError(t, err)
		// Left open: the database is dropped all the same.
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	})
	_, err := pgx.Connect(t.Context(), address)
	require.ErrorContains(t, err, "does not exist")
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		require.NotEmpty(b, pgtest.URL(b))
	}
}

func ExampleMustURL() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.MustURL())
	if err != nil {
		panic(err)
	}
	defer conn.Close(ctx)
	var collationIsByteOrder bool
	if err := conn.QueryRow(ctx, "SELECT 'a' < 'B' COLLATE \"C\"").Scan(&collationIsByteOrder); err != nil {
		panic(err)
	}
	fmt.Println(collationIsByteOrder)
	// Output: false
}
