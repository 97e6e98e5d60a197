package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// A caller is who searches, and how many parts of the log that is in an index.
type caller struct {
	name   string
	filter sqlgen.Filter
	orgs   int
}

func (l *log) callers(t *testing.T) []caller {
	t.Helper()
	engine := newEngine(t)
	return []caller{
		{"all", sqlgen.Always(), 1},
		{"large", filterOf(t, engine, l.large), 1},
		{"small", filterOf(t, engine, l.small), 1},
		{"dormant", filterOf(t, engine, l.dormant), 1},
		{"large, small and dormant", filterOf(t, engine, l.large, l.small, l.dormant), 3},
	}
}

// searchOf is the condition of a search by nobody in particular, its texts resolved.
func (l *log) searchOf(t *testing.T, q string) sqlgen.Predicate {
	t.Helper()
	s, err := auditquery.ParseAudit(q)
	require.NoError(t, err)
	r, err := postgres.NewDB(l.pool).Resolve(t.Context(), uuid.Nil, s.Names())
	require.NoError(t, err)
	return s.Predicate(r)
}

// partsOf are the names of the partitions of tables or indexes.
func (l *log) partsOf(t *testing.T, whole ...string) map[string]bool {
	t.Helper()
	rows, err := l.pool.Query(t.Context(), "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = ANY($1::text[]::regclass[])", whole)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	parts := map[string]bool{}
	for _, name := range names {
		parts[name] = true
	}
	require.NotEmpty(t, parts)
	return parts
}

// emptyParts are the names of the log's partitions without rows: how these are
// scanned says nothing.
func (l *log) emptyParts(t *testing.T) map[string]bool {
	t.Helper()
	empty := map[string]bool{}
	for part := range l.partsOf(t, "audit_logs") {
		var used bool
		require.NoError(t, l.pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM "+part+")").Scan(&used))
		empty[part] = !used
	}
	return empty
}

// A page behind a row in the middle of the log reads no more than a page's keys of
// each organization, from the row on.
func TestPlansOfPagesBehindARow(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	const limit = 25
	var at auditquery.Place
	require.NoError(t, l.pool.QueryRow(t.Context(), "SELECT time, id FROM audit_logs ORDER BY time DESC, id DESC OFFSET (SELECT count(*) / 2 FROM audit_logs) LIMIT 1").
		Scan(&at.Time, &at.ID))
	for _, c := range l.callers(t) {
		for _, newer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/newer=%v", c.name, newer), func(t *testing.T) {
				sql, args, ok := postgres.AuditLogsStatement(c.filter, everything, auditquery.Page{Limit: limit, From: &at, Newer: newer})
				require.True(t, ok)
				root, text := l.explain(t, sql, args)
				scans := 0
				root.walk(func(n node) {
					if n.Loops == 0 || n.ofLog() && n.Rows+n.RowsRemoved == 0 && n.Type != "Index Only Scan" {
						return // a partition that was not looked into, or is empty
					}
					require.NotContains(t, []string{"Seq Scan", "Bitmap Heap Scan"}, n.Type+map[bool]string{true: " "}[n.Relation == "organizations"], text)
					switch {
					case n.looksUp():
						require.Contains(t, n.IndexCond, "id = page.id", text)
					case n.ofLog() && n.Loops > 0:
						scans++
						require.Equal(t, "Index Only Scan", n.Type, text)
						require.Contains(t, n.IndexCond, "ROW(", text)
						require.Empty(t, n.Filter, text)
						require.LessOrEqual(t, n.Rows, float64(limit), text)
					case strings.HasSuffix(n.Type, "Sort"):
						require.LessOrEqual(t, n.Plans[0].Rows*n.Plans[0].Loops, float64(c.orgs*limit), text)
					}
				})
				require.Positive(t, scans, text)
			})
		}
	}
}

// A count within a budget reads no more rows than that, in the order of an index, of
// conditions that no index serves.
func TestPlansOfACountWithinABudget(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	const budget = 5000
	empty := l.emptyParts(t)
	ordered := l.partsOf(t, "audit_logs_time", "audit_logs_organization")
	for _, c := range l.callers(t) {
		for _, q := range []string{"status_code:<100", "-action:login -action:logout status_code:<100", "date_to:2026-01-01 status_code:<100"} {
			t.Run(c.name+"/"+q, func(t *testing.T) {
				search := l.searchOf(t, q)
				require.False(t, auditquery.Served(auditquery.AuditLogs(), c.filter, search))
				sql, args, ok := auditquery.BudgetedCount(auditquery.AuditLogs(), c.filter, search, countCap, budget)
				require.True(t, ok)
				root, text := l.explain(t, sql, args)
				scans, read, lookups := 0, 0.0, 0.0
				root.walk(func(n node) {
					if n.Loops == 0 || empty[n.Relation] {
						return // a partition that was not looked into, or is empty
					}
					require.NotContains(t, n.Type, "Sort", text)
					require.NotContains(t, []string{"Seq Scan", "Hash Join", "Merge Join"}, n.Type, text)
					switch {
					case !n.ofLog():
					case n.Rows*n.Loops > 1 && n.Rows > 1 || n.Type == "Index Only Scan":
						scans++
						require.Equal(t, "Index Only Scan", n.Type, text)
						require.True(t, ordered[n.Index], text)
						require.Zero(t, n.RowsRemoved, text)
						read += n.Rows * n.Loops
					default: // a row by its key
						require.Regexp(t, "\\bid = ", n.IndexCond, text)
						lookups += n.Loops
					}
				})
				require.Positive(t, scans, text)
				// The rows of a loop are rounded up, in each of 14 partitions at most.
				require.LessOrEqual(t, read, float64(budget+2*c.orgs+14*c.orgs), text)
				require.LessOrEqual(t, lookups, float64(budget+2*c.orgs), text)
				var count int
				var more bool
				require.NoError(t, l.pool.QueryRow(t.Context(), sql, args...).Scan(&count, &more))
				require.Zero(t, count)
				require.Equal(t, c.name != "small" && c.name != "dormant", more)
			})
		}
	}
}

// A condition that most rows satisfy is counted no further than to the cap.
func TestPlansOfACountWithinABudgetThatFindsMany(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	sql, args, ok := auditquery.BudgetedCount(auditquery.AuditLogs(), sqlgen.Always(), l.searchOf(t, "-action:close"), countCap, 50_000)
	require.True(t, ok)
	root, text := l.explain(t, sql, args)
	root.walk(func(n node) {
		require.NotContains(t, n.Type, "Sort", text)
		if n.ofLog() {
			require.LessOrEqual(t, n.Rows*n.Loops, 2*float64(countCap), text)
		}
	})
}

// A text that few rows or none contain is looked up, in the target and among the
// users, and not looked for in row after row.
func TestPlansOfATextThatFewHave(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	texts := l.partsOf(t, "audit_logs_text")
	var rare string
	require.NoError(t, l.pool.QueryRow(t.Context(), `SELECT resource_target FROM audit_logs WHERE length(resource_target) >= 5
		GROUP BY 1 HAVING count(*) < 10 ORDER BY length(resource_target) DESC, 1 LIMIT 1`).Scan(&rare))
	for _, c := range l.callers(t)[:2] {
		for _, word := range []string{rare, "no such thing at all"} {
			search := l.searchOf(t, fmt.Sprintf("%q", word))
			require.True(t, auditquery.Served(auditquery.AuditLogs(), c.filter, search))
			keys, keyArgs, ok := auditquery.Keys(auditquery.AuditLogs(), c.filter, search, auditquery.Page{Limit: 25}, 1)
			require.True(t, ok)
			count, countArgs, ok := auditquery.CappedCount(auditquery.AuditLogs(), c.filter, search, countCap)
			require.True(t, ok)
			for sql, args := range map[string][]any{keys: keyArgs, count: countArgs} {
				root, text := l.explain(t, sql, args)
				used := false
				root.walk(func(n node) {
					if n.ofLog() && n.Rows+n.RowsRemoved == 0 {
						return // a partition without rows is scanned in any way
					}
					require.NotEqual(t, "Seq Scan", n.Type, text)
					used = used || texts[n.Index]
					if n.ofLog() {
						require.LessOrEqual(t, n.Rows+n.RowsRemoved, 1000.0, text)
					}
				})
				require.True(t, used, text)
			}
		}
	}
}

// What the index of texts costs those who write, beside the others.
func BenchmarkWriteCostOfTexts(b *testing.B) {
	l := benchLog(b)
	const rows = 1000
	for _, with := range []bool{true, false} {
		b.Run(fmt.Sprintf("text-index=%v", with), func(b *testing.B) {
			tx, err := l.pool.Begin(b.Context())
			require.NoError(b, err)
			defer tx.Rollback(b.Context())
			if !with {
				_, err = tx.Exec(b.Context(), "DROP INDEX audit_logs_text")
				require.NoError(b, err)
			}
			start := time.Now()
			for b.Loop() {
				_, err := tx.Exec(b.Context(), `INSERT INTO audit_logs (organization_id, resource_type, resource_target, action, status_code)
					SELECT $1, 'workspace', 'written-' || md5(i::text), 'create', 200 FROM generate_series(1, $2) AS i`, l.large, rows)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(rows*b.N)/time.Since(start).Seconds(), "rows/s")
		})
	}
}

// The count of what no row satisfies and no index serves.
func BenchmarkCountOfNone(b *testing.B) {
	l, engine := benchLog(b), newEngine(b)
	s, err := auditquery.ParseAudit("-action:login status_code:<100")
	require.NoError(b, err)
	search := s.Predicate(auditquery.Resolved{})
	for _, of := range []caller{{"all", sqlgen.Always(), 1}, {"large", filterOf(b, engine, l.large), 1}} {
		b.Run(of.name, func(b *testing.B) {
			var ways []way
			for _, budget := range []int{20_000, 50_000} {
				sql, args, ok := auditquery.BudgetedCount(auditquery.AuditLogs(), of.filter, search, countCap, budget)
				require.True(b, ok)
				ways = append(ways, way{fmt.Sprintf("budget-%d", budget), sql, args})
			}
			sql, args, ok := auditquery.CappedCount(auditquery.AuditLogs(), of.filter, search, countCap)
			require.True(b, ok)
			l.sideBySide(b, append(ways, way{"capped", sql, args})...)
		})
	}
}

// The connection log's pages are read as the audit log's are: the keys from the index
// of the organization, and no more of them than the page has.
func TestPlansOfConnections(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	engine := newEngine(t)
	led := l.partsOf(t, "connection_logs_organization")
	var at auditquery.Place
	var busiest, other uuid.UUID
	require.NoError(t, l.pool.QueryRow(t.Context(), "SELECT connect_time, id FROM connection_logs ORDER BY connect_time DESC, id DESC OFFSET 3000 LIMIT 1").Scan(&at.Time, &at.ID))
	require.NoError(t, l.pool.QueryRow(t.Context(), `SELECT (array_agg(organization_id ORDER BY n DESC))[1], (array_agg(organization_id ORDER BY n DESC))[2]
		FROM (SELECT organization_id, count(*) AS n FROM connection_logs GROUP BY 1) AS sizes`).Scan(&busiest, &other))
	for _, orgs := range [][]uuid.UUID{{busiest}, {busiest, other}} {
		filter, err := engine.Compile(t.Context(), "connection_log", auditor(orgs...))
		require.NoError(t, err)
		for _, page := range []auditquery.Page{{Limit: 25}, {Limit: 25, From: &at}, {Limit: 25, From: &at, Newer: true}} {
			sql, args, ok := postgres.ConnectionsStatement(filter, everything, page)
			require.True(t, ok)
			root, text := l.explain(t, sql, args)
			scans := 0
			root.walk(func(n node) {
				switch {
				case n.Loops == 0:
				case n.looksUp():
					require.Contains(t, n.IndexCond, "id = page.id", text)
					require.Contains(t, n.IndexCond, "connect_time = page.connect_time", text)
				case strings.HasPrefix(n.Relation, "connection_logs_") && n.Rows*n.Loops > 0:
					scans++
					require.Equal(t, "Index Only Scan", n.Type, text)
					require.True(t, led[n.Index], text)
					require.LessOrEqual(t, n.Rows, 25.0, text)
				}
			})
			require.Positive(t, scans, text)
		}
	}
}
