package bench

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/postgres"
)

const countCap = 2000

// A node of a plan that was executed. Rows are per loop.
type node struct {
	Type        string  `json:"Node Type"`
	Relation    string  `json:"Relation Name"`
	Alias       string  `json:"Alias"`
	Index       string  `json:"Index Name"`
	IndexCond   string  `json:"Index Cond"`
	Filter      string  `json:"Filter"`
	JoinFilter  string  `json:"Join Filter"`
	Rows        float64 `json:"Actual Rows"`
	Loops       float64 `json:"Actual Loops"`
	HeapFetches float64 `json:"Heap Fetches"`
	RowsRemoved float64 `json:"Rows Removed by Filter"`
	Plans       []node  `json:"Plans"`
}

func (n node) walk(visit func(node)) {
	visit(n)
	for _, child := range n.Plans {
		child.walk(visit)
	}
}

func (l *log) explain(t *testing.T, sql string, args []any) (root node, text string) {
	t.Helper()
	var plan []byte
	require.NoError(t, l.pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "+sql, args...).Scan(&plan))
	var plans []struct{ Plan node }
	require.NoError(t, json.Unmarshal(plan, &plans))
	require.Len(t, plans, 1)
	return plans[0].Plan, sql + "\n" + string(plan)
}

// ledByOrganization are the partitions' indexes whose first column is organization_id.
func (l *log) ledByOrganization(t *testing.T) map[string]bool {
	t.Helper()
	rows, err := l.pool.Query(t.Context(), `SELECT indexrelid::regclass::text FROM pg_index
		WHERE indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass) AND pg_get_indexdef(indexrelid, 1, true) = 'organization_id'`)
	require.NoError(t, err)
	defer rows.Close()
	led := map[string]bool{}
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		led[name] = true
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, led)
	return led
}

// castColumn is a column that is cast: (organization_id)::text = …
var castColumn = regexp.MustCompile(`organization_id\)*::`)

// checkScans asserts that the log is searched by an index scan of one organization
// or several, and in no other way, and that rows are looked up by their keys.
func checkScans(t *testing.T, root node, led map[string]bool, text string) {
	t.Helper()
	searches := 0
	root.walk(func(n node) {
		for _, condition := range []string{n.IndexCond, n.Filter, n.JoinFilter} {
			require.NotRegexp(t, castColumn, condition, text)
		}
		if n.Relation == "organizations" {
			return // a few dozen rows
		}
		// How a partition without rows is scanned, or would have been, says nothing.
		if n.Rows+n.RowsRemoved == 0 || n.Loops == 0 {
			return
		}
		require.NotContains(t, []string{"Seq Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}, n.Type, text)
		if !n.ofLog() {
			return
		}
		require.Contains(t, []string{"Index Scan", "Index Only Scan"}, n.Type, text)
		require.Empty(t, n.Filter, text)
		if n.looksUp() {
			require.Contains(t, []string{n.Relation + "_pkey", n.Relation + "_time_id_idx"}, n.Index, text)
			require.Contains(t, n.IndexCond, "id = page.id", text)
			require.Contains(t, n.IndexCond, `"time" = page."time"`, text)
			return
		}
		searches++
		require.True(t, led[n.Index], "%s is not led by organization_id\n%s", n.Index, text)
		require.Contains(t, n.IndexCond, "organization_id = ", text)
		require.Zero(t, n.HeapFetches, text)
	})
	require.Positive(t, searches, text)
}

// ofLog is whether the node scans a partition of the log.
func (n node) ofLog() bool { return strings.HasPrefix(n.Relation, "audit_logs_") }

// looksUp is whether it does so to look up the rows of a page, whose statement
// calls the log l there; PostgreSQL numbers the partitions.
func (n node) looksUp() bool { return strings.HasPrefix(n.Alias, "l_") }

func TestPlansOfAnOrganizationAuditor(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	engine, led := newEngine(t), l.ledByOrganization(t)
	pages := []auditquery.Page{{Limit: 25}, {Limit: 100}, {Limit: 25, Offset: 500}}
	for _, test := range []struct {
		name string
		orgs []uuid.UUID
	}{
		{"small", []uuid.UUID{l.small}},
		{"large", []uuid.UUID{l.large}},
		{"dormant", []uuid.UUID{l.dormant}},
		{"large and small", []uuid.UUID{l.large, l.small}},
		{"large and dormant", []uuid.UUID{l.large, l.dormant}},
		{"small and dormant", []uuid.UUID{l.small, l.dormant}},
	} {
		filter := filterOf(t, engine, test.orgs...)
		for _, page := range pages {
			t.Run(fmt.Sprintf("%s/list of %d after %d", test.name, page.Limit, page.Offset), func(t *testing.T) {
				sql, args, ok := postgres.AuditLogsStatement(filter, everything, page)
				require.True(t, ok)
				root, text := l.explain(t, sql, args)
				checkScans(t, root, led, text)
				depth := float64(page.Limit + page.Offset)
				lookups := 0.0
				root.walk(func(n node) {
					switch {
					case n.looksUp():
						lookups += n.Loops
						require.LessOrEqual(t, n.Rows*n.Loops, float64(page.Limit), "more rows than the page has\n%s", text)
					case n.ofLog():
						require.LessOrEqual(t, n.Rows, depth, "an organization's scan reads on\n%s", text)
					case strings.HasSuffix(n.Type, "Sort"):
						// Of rows, or of keys: each partition has a few, and sorting them
						// may be cheaper than merging.
						most := float64(len(test.orgs)) * depth
						require.LessOrEqual(t, n.Plans[0].Rows*n.Plans[0].Loops, most, text)
					}
				})
				// The time says which one partition has the row.
				require.LessOrEqual(t, lookups, float64(page.Limit), text)
			})
		}
		t.Run(test.name+"/count", func(t *testing.T) {
			sql, args, ok := auditquery.CappedCount(auditquery.AuditLogs(), filter, everything, countCap)
			require.True(t, ok)
			root, text := l.explain(t, sql, args)
			checkScans(t, root, led, text)
			root.walk(func(n node) {
				require.NotContains(t, n.Type, "Sort", text)
				require.NotContains(t, n.Type, "Join", text)
				require.NotContains(t, []string{"Materialize", "Memoize"}, n.Type, text)
				if len(test.orgs) == 1 { // several are gone through one by one
					require.NotEqual(t, "Nested Loop", n.Type, text)
				}
				require.LessOrEqual(t, n.Rows*n.Loops, float64(countCap+1), text)
			})
		})
	}
}

// What the test above would not let pass.
func TestPlansOfATextCast(t *testing.T) {
	l := logOf(t, "ROWFENCE_PLAN_ROWS", 200_000)
	root, _ := l.explain(t, "SELECT id, time FROM audit_logs WHERE organization_id::text = $1 ORDER BY time DESC, id DESC LIMIT 25",
		[]any{l.small.String()})
	var cast bool
	root.walk(func(n node) { cast = cast || castColumn.MatchString(n.Filter) })
	require.True(t, cast)
}
