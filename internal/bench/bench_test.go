package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/sqlgen"
)

func benchLog(b *testing.B) *log {
	b.Helper()
	return logOf(b, "ROWFENCE_BENCH_ROWS", 1_000_000)
}

// A way is one of several to ask the same.
type way struct {
	name string
	sql  string
	args []any
}

// rows are how many the statement gives.
func (l *log) rows(b *testing.B, w way) [][]any {
	b.Helper()
	rows, err := l.pool.Query(b.Context(), w.sql, w.args...)
	require.NoError(b, err)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	require.NoError(b, err)
	return all
}

// sideBySide measures the ways one after the other, and how many times the first
// one's time each of the others takes.
func (l *log) sideBySide(b *testing.B, ways ...way) {
	var first float64
	for i, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			l.rows(b, w) // warm
			b.ReportAllocs()
			for b.Loop() {
				l.rows(b, w)
			}
			took := b.Elapsed().Seconds() / float64(b.N)
			if i == 0 {
				first = took
			} else if first > 0 { // -bench may have left it out
				b.ReportMetric(took/first, "times-"+ways[0].name)
			}
		})
	}
}

func list(b *testing.B, filter sqlgen.Filter) way {
	b.Helper()
	sql, args, ok := auditquery.Keys(auditquery.AuditLogs(), filter, everything, auditquery.Page{Limit: 25}, 1)
	require.True(b, ok)
	return way{"list", sql, args}
}

func count(b *testing.B, filter sqlgen.Filter, most int) way {
	b.Helper()
	sql, args, ok := auditquery.CappedCount(auditquery.AuditLogs(), filter, everything, most)
	require.True(b, ok)
	return way{"count", sql, args}
}

func (w way) called(name string) way {
	w.name = name
	return w
}

// textCast asks as those do who compare uuids as text.
func (w way) textCast(b *testing.B) way {
	b.Helper()
	sql := strings.Replace(w.sql, "organization_id = $1", "organization_id::text = $1", 1)
	require.NotEqual(b, w.sql, sql)
	args := append([]any{}, w.args...)
	id, ok := args[0].(uuid.UUID)
	require.True(b, ok)
	args[0] = id.String()
	return way{"text-cast", sql, args}
}

func BenchmarkCount(b *testing.B) {
	l, engine := benchLog(b), newEngine(b)
	for _, of := range []struct {
		name   string
		filter sqlgen.Filter
	}{
		{"all", sqlgen.Always()},
		{"large", filterOf(b, engine, l.large)},
	} {
		b.Run(of.name, func(b *testing.B) {
			l.sideBySide(b, count(b, of.filter, countCap).called("capped-count"), count(b, of.filter, 0).called("full-count"))
		})
	}
}

func BenchmarkUUID(b *testing.B) {
	l, engine := benchLog(b), newEngine(b)
	for _, of := range []struct {
		name string
		id   uuid.UUID
	}{
		{"small", l.small}, {"large", l.large}, {"dormant", l.dormant},
	} {
		filter := filterOf(b, engine, of.id)
		for _, native := range []way{list(b, filter), count(b, filter, countCap)} {
			b.Run(native.name+"/"+of.name, func(b *testing.B) {
				cast := native.textCast(b)
				require.Equal(b, l.rows(b, native), l.rows(b, cast))
				l.sideBySide(b, native.called("native-uuid"), cast)
			})
		}
	}
}

// The list of several organizations, beside the array condition as it stands.
func BenchmarkTwoOrganizations(b *testing.B) {
	l, engine := benchLog(b), newEngine(b)
	for _, of := range []struct {
		name string
		orgs []uuid.UUID
	}{
		{"large-dormant", []uuid.UUID{l.large, l.dormant}}, {"small-dormant", []uuid.UUID{l.small, l.dormant}},
	} {
		b.Run(of.name, func(b *testing.B) {
			filter := filterOf(b, engine, of.orgs...)
			where, args := filter.SQL(1)
			array := way{"array", "SELECT id, time FROM audit_logs WHERE " + where + " ORDER BY time DESC, id DESC LIMIT 25", args}
			keys := list(b, filter)
			require.Equal(b, l.rows(b, keys), l.rows(b, array))
			l.sideBySide(b, keys.called("per-organization"), array)
		})
	}
}

func BenchmarkFilter(b *testing.B) {
	engine := newEngine(b)
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("organizations=%d", n), func(b *testing.B) {
			orgs := make([]uuid.UUID, n)
			for i := range orgs {
				orgs[i] = uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, i))
			}
			input := auditor(orgs...)
			b.ReportAllocs()
			for b.Loop() {
				filter, err := engine.Compile(b.Context(), "audit_log", input)
				if err != nil || filter.Result() != sqlgen.ResultWhen {
					b.Fatal(filter.Result(), err)
				}
			}
		})
	}
}
