package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// A walk is bounded by the rows that it looks at, but what a row costs is up to the
// search: here as many texts, as long as they may be, as it has room for, none of which
// any row has, and at last letters that few lack. The pages are what a request waits for.
func BenchmarkWalk(b *testing.B) {
	l := logOf(b, "ROWFENCE_BENCH_ROWS", 200_000)
	for _, texts := range []int{1, 20, 240} {
		var q strings.Builder
		for i := range texts {
			fmt.Fprintf(&q, "-%03d%s ", i, strings.Repeat("x", 250))
		}
		search, err := auditquery.ParseAudit(q.String() + "-a -e -i -o -u")
		require.NoError(b, err)
		found := search.Predicate(auditquery.Resolved{})
		for _, rows := range []int{20_000, 2_000, 200, 20} {
			text, args, ok := auditquery.Walk(auditquery.AuditLogs(), sqlgen.Always(), found, auditquery.Page{Limit: 1000}, auditquery.ByTime, rows, 1)
			require.True(b, ok)
			b.Run(fmt.Sprintf("%d texts/%d rows", texts, rows), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := l.pool.Exec(b.Context(), text, args...)
					require.NoError(b, err)
				}
			})
		}
		b.Run(fmt.Sprintf("%d texts/page", texts), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := postgres.NewDB(l.pool).AuditLogs(b.Context(), sqlgen.Always(), found, auditquery.Page{Limit: 1000})
				require.NoError(b, err)
			}
		})
	}
}
