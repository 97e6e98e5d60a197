package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// Pages of what no index serves end when rows were looked at for long enough. Those
// that go on there have together what the log has, in its order, each row once.
func TestPagesOfAWalk(t *testing.T) {
	pool, db := people(t)
	db = postgres.Hasty(db)
	// Three organizations: one with most rows, one that is quiet for long, and one of
	// which rows are found that nobody asks for.
	exec(t, pool, `INSERT INTO audit_logs (time, organization_id, resource_type, resource_target, action, status_code)
		SELECT '2026-04-09Z'::timestamptz - i * interval '5 minutes',
			CASE WHEN i % 10 = 0 AND i > 30000 THEN $2::uuid WHEN i % 10 = 1 THEN $3::uuid WHEN i % 1000 = 3 THEN NULL ELSE $1::uuid END,
			'user', '', 'create', CASE WHEN i % 97 = 0 THEN 201 ELSE 200 END
		FROM generate_series(1, 60000) AS i`, orgA, orgB, uuid.UUID{1})
	exec(t, pool, "VACUUM ANALYZE audit_logs")
	many := []uuid.UUID{orgA, orgB}
	for i := range 150 {
		many = append(many, uuid.UUID{2, byte(i)})
	}
	for _, q := range []string{"status_code:201", "-action:login status_code:201", "status_code:100", "status_code:201 date_to:2026-02-01"} {
		search, err := auditquery.ParseAudit(q)
		require.NoError(t, err)
		found := search.Predicate(auditquery.Resolved{})
		for i, authorized := range []sqlgen.Filter{sqlgen.Always(), orgIs(orgA), orgIs(orgB), orgIs(orgA, orgB), orgIs(many...)} {
			shape := auditquery.ShapeOf(auditquery.AuditLogs(), authorized, found)
			require.True(t, shape.Tested && !shape.Served)
			text, args, ok := auditquery.Rows(auditquery.AuditLogs(), authorized, found, auditquery.Page{Limit: 100_000}, 1)
			require.True(t, ok)
			want := query[[]uuid.UUID](t, pool, "SELECT array_agg(id ORDER BY time DESC, id DESC) FROM ("+text+") AS l", args...)
			if want == nil {
				want = []uuid.UUID{}
			}
			for _, limit := range []int{7, 1000} {
				for _, newer := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%d/%d/%v", q, i, limit, newer), func(t *testing.T) {
						got, short := follow(t, db, authorized, found, limit, newer)
						require.Equal(t, want, got)
						require.Equal(t, limit == 1000 && authorized.String() != orgIs(orgB).String(), short && limit == 1000)
					})
				}
			}
			count, err := db.CountAuditLogs(t.Context(), authorized, found, audit.Counting{Exact: true, Cap: 2000, Limit: time.Minute})
			require.NoError(t, err)
			require.Equal(t, audit.Count{Rows: len(want)}, count)
			count, err = db.CountAuditLogs(t.Context(), authorized, found, audit.Counting{Cap: 2000, Within: time.Minute})
			require.NoError(t, err)
			require.True(t, count.Rows == len(want) || count.Rows < len(want) && count.LowerBound, "%+v of %d", count, len(want))
			// An offset skips rows that are found, not those that are looked at.
			page, searched, err := db.AuditLogs(t.Context(), authorized, found, auditquery.Page{Limit: 3, Offset: 2})
			require.NoError(t, err)
			if len(want) >= 5 && searched == nil {
				require.Equal(t, want[2:5], []uuid.UUID{page[0].ID, page[1].ID, page[2].ID})
			}
		}
	}
}

// follow reads all pages from one end to the other: the ids newest first, and whether
// a page was short because rows were looked at for long enough.
func follow(t *testing.T, db *postgres.DB, authorized sqlgen.Filter, search sqlgen.Predicate, limit int, newer bool) (ids []uuid.UUID, short bool) {
	t.Helper()
	page := auditquery.Page{Limit: limit, Newer: newer}
	if newer {
		page.From = &auditquery.Place{} // before all rows
	}
	ids = []uuid.UUID{}
	for range 100_000 / limit {
		logs, searched, err := db.AuditLogs(t.Context(), authorized, search, page)
		require.NoError(t, err)
		require.LessOrEqual(t, len(logs), limit)
		if newer {
			slices.Reverse(logs)
		}
		for _, l := range logs {
			ids = append(ids, l.ID)
		}
		switch {
		case searched != nil:
			short = short || len(logs) < limit
			page.From = searched
		case len(logs) < limit:
			if newer {
				slices.Reverse(ids)
			}
			return ids, short
		default:
			last := logs[len(logs)-1]
			page.From = &auditquery.Place{Time: last.Time, ID: last.ID}
		}
	}
	require.Fail(t, "the pages do not end")
	return nil, false
}
