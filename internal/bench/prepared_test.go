package bench

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// TestThousandOrganizations has an auditor of 1,000 organizations: those of the log,
// and others of which it has nothing. The filter has the text of one of two, and the
// statements of the list and the count are answered by index scans whenever they are
// executed: a connection of the server plans each execution with its values.
func TestThousandOrganizations(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	engine, led := newEngine(t), l.ledByOrganization(t)
	rows, err := l.pool.Query(t.Context(), "SELECT id FROM organizations ORDER BY id LIMIT 1000")
	require.NoError(t, err)
	orgs, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	for i := len(orgs); i < 1000; i++ {
		orgs = append(orgs, uuid.UUID{0xff, 6: 0x40, 8: 0x80, 14: byte(i >> 8), 15: byte(i)})
	}
	filter := filterOf(t, engine, orgs...)

	text, args := filter.SQL(1)
	two, _ := filterOf(t, engine, l.large, l.small).SQL(1)
	require.Equal(t, two, text)
	require.Len(t, args, 1)
	require.Len(t, args[0], 1000)

	list, listArgs, ok := postgres.AuditLogsStatement(filter, everything, auditquery.Page{Limit: 25})
	require.True(t, ok)
	count, countArgs, ok := auditquery.CappedCount(auditquery.AuditLogs(), filter, everything, countCap)
	require.True(t, ok)
	for name, statement := range map[string]struct {
		sql  string
		args []any
	}{"list": {list, listArgs}, "count": {count, countArgs}} {
		for _, mode := range []string{"force_custom_plan", "auto"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				root, plan := l.hundredth(t, mode, name, statement.sql, statement.args)
				// Where nearly every row of a partition is found, the count ends as soon
				// without an index.
				sequential := false
				root.walk(func(n node) {
					if n.ofLog() && n.Type == "Seq Scan" && n.Rows+n.RowsRemoved > 0 {
						sequential = true
						require.Equal(t, "count", name, plan)
						require.LessOrEqual(t, n.Rows+n.RowsRemoved, 1.1*(countCap+1), plan)
					}
				})
				if !sequential {
					checkScans(t, root, led, plan)
				}
			})
		}
	}
}

// hundredth is the plan of the hundredth execution of a prepared statement, on one of
// the server's connections.
func (l *log) hundredth(t *testing.T, mode, name, sql string, args []any) (root node, text string) {
	t.Helper()
	conn, err := l.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "SET plan_cache_mode = "+mode)
	require.NoError(t, err)
	_, err = conn.Conn().Prepare(t.Context(), name, sql)
	require.NoError(t, err)
	defer func() {
		_, err := conn.Exec(t.Context(), "RESET plan_cache_mode")
		require.NoError(t, err)
		require.NoError(t, conn.Conn().Deallocate(t.Context(), name))
	}()
	for range 99 {
		_, err := conn.Exec(t.Context(), name, args...)
		require.NoError(t, err)
	}
	inline := make([]string, len(args))
	for i, arg := range args {
		inline[i] = literal(t, arg)
	}
	var plan []byte
	explain := fmt.Sprintf("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE %s(%s)", name, strings.Join(inline, ", "))
	require.NoError(t, conn.QueryRow(t.Context(), explain, pgx.QueryExecModeSimpleProtocol).Scan(&plan))
	var plans []struct{ Plan node }
	require.NoError(t, json.Unmarshal(plan, &plans))
	require.Len(t, plans, 1)

	var custom, generic int
	require.NoError(t, conn.QueryRow(t.Context(),
		"SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE name = $1", name).Scan(&custom, &generic))
	require.Equal(t, 100, custom+generic)
	if mode != "auto" {
		require.Zero(t, generic)
	}
	t.Logf("planned %d times with its values", custom)
	return plans[0].Plan, sql + "\n" + string(plan)
}

// literal is an argument as SQL has it.
func literal(t *testing.T, arg any) string {
	t.Helper()
	switch arg := arg.(type) {
	case int:
		return fmt.Sprint(arg)
	case int64:
		return fmt.Sprint(arg)
	case []uuid.UUID:
		elems := make([]sqlgen.Literal, len(arg))
		for i, id := range arg {
			elems[i] = sqlgen.UUID(id)
		}
		set := sqlgen.ArrayOf(sqlgen.Type{Kind: sqlgen.KindUUID}, elems)
		of := sqlgen.When(sqlgen.Member{Of: sqlgen.Column{Name: "x", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}, Set: set}).Inline()
		return strings.TrimSuffix(strings.TrimPrefix(of, "x = ANY("), ")")
	default:
		require.Failf(t, "no literal", "%T", arg)
		return ""
	}
}
