package pgxfilter_test

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/pgxfilter"
	"github.com/rowfence/rowfence/sqlfilter"
	"github.com/rowfence/rowfence/sqlgen"
)

// quiet are logs of twenty organizations of which nineteen had their last long ago. For
// any two of them PostgreSQL expects to meet logs soon when it goes back in time.
const quiet = `
CREATE TABLE logs (id bigint PRIMARY KEY, org_id uuid NOT NULL, at timestamptz NOT NULL, note text);
INSERT INTO logs SELECT n, ('d0000000-0000-4000-8000-' || lpad(least(n / 30, 19)::text, 12, '0'))::uuid,
	'2026-01-01'::timestamptz + n * interval '1 second', repeat('x', 100)
FROM generate_series(0, 59999) AS n;
CREATE INDEX logs_org ON logs (org_id, at DESC, id DESC);
CREATE INDEX logs_at ON logs (at DESC, id DESC);
ANALYZE logs`

// TestHundredthExecution looks at the plans that the server itself reports, of each of a
// hundred executions on one connection.
func TestHundredthExecution(t *testing.T) {
	url := pgtest.URL(t)
	setup, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = setup.Exec(t.Context(), quiet)
	require.NoError(t, err)
	setup.Close(t.Context())

	org := sqlgen.Column{Name: "org_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}, NotNull: true}
	two := sqlgen.When(sqlgen.Member{Of: sqlgen.Text{Of: org}, Set: sqlgen.ListOf(sqlgen.Type{Kind: sqlgen.KindText},
		[]sqlgen.Literal{sqlgen.String("d0000000-0000-4000-8000-000000000003"), sqlgen.String("d0000000-0000-4000-8000-000000000007")})})
	const query = "SELECT id FROM logs WHERE /* authorize: log */ FALSE ORDER BY at DESC, id DESC LIMIT 25"
	filters := pgxfilter.Filters{"log": two}

	// reporting is a configuration with which the server sends its plans as notices.
	var plans []string
	reporting := func(url string) *pgx.ConnConfig {
		config, err := pgx.ParseConfig(url)
		require.NoError(t, err)
		for name, value := range map[string]string{
			"session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0",
			"auto_explain.log_analyze": "on", "auto_explain.log_timing": "off", "auto_explain.log_level": "notice",
		} {
			config.RuntimeParams[name] = value
		}
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
			if strings.Contains(n.Message, "FROM logs") {
				plans = append(plans, n.Message)
			}
		}
		return config
	}
	onPgx := func(config *pgx.ConnConfig, args ...any) func() {
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close(context.Background()) })
		return func() {
			rows, err := conn.Query(t.Context(), query, args...)
			require.NoError(t, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			require.NoError(t, err)
			require.Len(t, ids, 25)
		}
	}
	onSQL := func(config *pgx.ConnConfig) func() {
		db := stdlib.OpenDB(*config)
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return func() {
			text, args, err := sqlfilter.Rewrite(query, sqlfilter.Filters{"log": two})
			require.NoError(t, err)
			require.Len(t, ids(t, db, text, args), 25)
		}
	}
	forced := reporting(url)
	pgxfilter.ForceCustomPlans(forced)
	dsn, err := sqlfilter.CustomPlans(url)
	require.NoError(t, err)
	for _, c := range []struct {
		name    string
		run     func()
		trapped bool
	}{
		{"pgx as it is", onPgx(reporting(url), filters), true},
		{"Filters.Args", onPgx(reporting(url), filters.Args()...), false},
		{"ForceCustomPlans", onPgx(forced, filters), false},
		{"database/sql as it is", onSQL(reporting(url)), true},
		{"CustomPlans", onSQL(reporting(dsn)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			plans = nil
			for range 100 {
				c.run()
			}
			require.Len(t, plans, 100)
			first, last := plans[0], plans[99]
			require.Contains(t, first, "logs_org", first)
			require.NotContains(t, first, "Rows Removed by Filter", first)
			if c.trapped { // the plan goes through nearly all logs, newest first
				require.Contains(t, last, "using logs_at", last)
				require.Greater(t, removed(t, last), 50_000, last)
				return
			}
			require.Contains(t, last, "logs_org", last)
			require.NotContains(t, last, "Rows Removed by Filter", last)
		})
	}
}

// removed is how many rows a plan looked at in vain.
func removed(t *testing.T, plan string) (n int) {
	_, after, found := strings.Cut(plan, "Rows Removed by Filter: ")
	require.True(t, found, plan)
	_, err := fmt.Sscan(regexp.MustCompile(`^\d+`).FindString(after), &n)
	require.NoError(t, err)
	return n
}

func ids(t *testing.T, db *sql.DB, query string, args []any) (out []int64) {
	rows, err := db.QueryContext(t.Context(), query, args...)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id int64
		require.NoError(t, rows.Scan(&id))
		out = append(out, id)
	}
	require.NoError(t, rows.Err())
	return out
}
