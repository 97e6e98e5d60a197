package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
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
						got, short := follow(t, db, authorized, found, limit, 0, newer)
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
			// An offset skips rows that are found, not those that are looked at, and goes on
			// to do so behind a page that ended before.
			for _, offset := range []int{250, 5000} {
				got, _ := follow(t, db, authorized, found, 1000, offset, false)
				require.Equal(t, want[min(offset, len(want)):], got, "%s/%d/%d", q, i, offset)
			}
		}
	}
}

// When no statement of a walk comes to its end in time, a page still has what was found
// among a few rows, and says that it is not all: it comes further with each page.
func TestPagesOfAWalkThatTakesTooLong(t *testing.T) {
	pool, db := people(t)
	db = postgres.Hastier(db)
	exec(t, pool, `INSERT INTO audit_logs (time, organization_id, resource_type, resource_target, action, status_code)
		SELECT '2026-04-09Z'::timestamptz - i * interval '5 minutes', CASE WHEN i % 3 = 0 THEN $2::uuid ELSE $1::uuid END,
			'user', '', CASE WHEN i % 20 = 0 THEN 'login' ELSE 'create' END, CASE WHEN i % 20 = 0 THEN 201 ELSE 200 END
		FROM generate_series(1, 600) AS i`, orgA, orgB)
	for _, q := range []string{"status_code:201", "action:login"} {
		search, err := auditquery.ParseAudit(q)
		require.NoError(t, err)
		found := search.Predicate(auditquery.Resolved{})
		for _, authorized := range []sqlgen.Filter{sqlgen.Always(), orgIs(orgB), orgIs(orgA, orgB)} {
			text, args, ok := auditquery.Rows(auditquery.AuditLogs(), authorized, found, auditquery.Page{Limit: 1000}, 1)
			require.True(t, ok)
			want := query[[]uuid.UUID](t, pool, "SELECT array_agg(id ORDER BY time DESC, id DESC) FROM ("+text+") AS l", args...)
			for _, offset := range []int{0, 7} {
				got, short := follow(t, db, authorized, found, 20, offset, false)
				require.Equal(t, want[offset:], got)
				require.True(t, short)
			}
			got, short := follow(t, db, authorized, found, 20, 0, true)
			require.Equal(t, want, got)
			require.True(t, short)
		}
	}
}

// Pages and counts that an index serves are the same over the boundaries of months.
func TestPagesOverMonths(t *testing.T) {
	pool, db := people(t)
	exec(t, pool, `INSERT INTO audit_logs (time, organization_id, resource_type, resource_id, resource_target, action, status_code)
		SELECT now() + interval '1 hour' - i * interval '90 minutes', CASE WHEN i % 3 = 0 OR i > 1000 THEN $2::uuid ELSE $1::uuid END,
			'user', CASE WHEN i % 7 = 0 THEN $3::uuid END, '', CASE WHEN i % 400 = 0 THEN 'login' ELSE 'create' END, 200
		FROM generate_series(1, 3000) AS i`, orgA, orgB, id(5)) // half a year
	exec(t, pool, "ANALYZE audit_logs")
	for _, q := range []string{"", "action:login", "action:create", "organization:Acme", "resource_id:" + id(5).String(), "action:login resource_id:" + id(5).String()} {
		search, err := auditquery.ParseAudit(q)
		require.NoError(t, err)
		found := search.Predicate(auditquery.Resolved{Organizations: map[string][]uuid.UUID{"Acme": {orgB}}})
		for i, authorized := range []sqlgen.Filter{sqlgen.Always(), orgIs(orgA), orgIs(orgA, orgB)} {
			text, args, ok := auditquery.Rows(auditquery.AuditLogs(), authorized, found, auditquery.Page{Limit: 100_000}, 1)
			want := []uuid.UUID{}
			if ok {
				want = query[[]uuid.UUID](t, pool, "SELECT coalesce(array_agg(id ORDER BY time DESC, id DESC), '{}') FROM ("+text+") AS l", args...)
			}
			for _, limit := range []int{11, 700} {
				for _, newer := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%d/%d/%v", q, i, limit, newer), func(t *testing.T) {
						got, short := follow(t, db, authorized, found, limit, 0, newer)
						require.Equal(t, want, got)
						require.False(t, short)
					})
				}
			}
			for _, offset := range []int{5, 900, 2500} {
				page, _, err := db.AuditLogs(t.Context(), authorized, found, auditquery.Page{Limit: 3, Offset: offset})
				require.NoError(t, err)
				at := min(offset, len(want))
				got := make([]uuid.UUID, len(page))
				for i, l := range page {
					got[i] = l.ID
				}
				require.Equal(t, want[at:min(at+3, len(want))], got)
			}
			for _, limit := range []int{10, 2000, 5000} {
				count, err := db.CountAuditLogs(t.Context(), authorized, found, audit.Counting{Cap: limit, Limit: time.Minute, Within: time.Minute})
				require.NoError(t, err)
				require.Equal(t, audit.Count{Rows: min(len(want), limit+1), Cap: limit}, count)
			}
		}
	}
}

// A row that goes between the two statements of a walk does not make its page look
// like the last one.
func TestPagesOfAWalkGoOnWithoutARow(t *testing.T) {
	pool, db := people(t)
	exec(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code)
		SELECT '2026-04-09Z'::timestamptz - i * interval '5 minutes', 'user', '', 'create', 201 FROM generate_series(1, 30) AS i`)
	search, err := auditquery.ParseAudit("status_code:201")
	require.NoError(t, err)
	found := search.Predicate(auditquery.Resolved{})
	for _, newer := range []bool{false, true} {
		page := auditquery.Page{Limit: 10, Newer: newer}
		if newer {
			page.From = &auditquery.Place{}
		}
		seen := map[uuid.UUID]bool{}
		rows, searched, err := postgres.WalkAuditLogs(t.Context(), db, sqlgen.Always(), found, page, func() {
			tx, err := pool.Begin(t.Context())
			require.NoError(t, err)
			for _, sql := range []string{
				"SELECT set_config('rowfence.maintenance', 'on', true)",
				"DELETE FROM audit_logs WHERE time = (SELECT time FROM audit_logs ORDER BY time " + map[bool]string{false: "DESC", true: "ASC"}[newer] + " OFFSET 5 LIMIT 1)",
			} {
				_, err := tx.Exec(t.Context(), sql)
				require.NoError(t, err)
			}
			require.NoError(t, tx.Commit(t.Context()))
		})
		require.NoError(t, err)
		require.Len(t, rows, 9)
		require.NotNil(t, searched, "there are more")
		page.From, page.Limit = &searched.Place, 100
		rest, searched, err := db.AuditLogs(t.Context(), sqlgen.Always(), found, page)
		require.NoError(t, err)
		require.Nil(t, searched)
		for _, l := range append(rows, rest...) {
			require.False(t, seen[l.ID])
			seen[l.ID] = true
		}
		require.Len(t, seen, query[int](t, pool, "SELECT count(*) FROM audit_logs"))
	}
}

// follow reads all pages from one end to the other: the ids newest first, and whether
// a page was short because rows were looked at for long enough.
func follow(t *testing.T, db *postgres.DB, authorized sqlgen.Filter, search sqlgen.Predicate, limit, offset int, newer bool) (ids []uuid.UUID, short bool) {
	t.Helper()
	page := auditquery.Page{Limit: limit, Offset: offset, Newer: newer}
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
			page.From, page.Offset = &searched.Place, searched.Skip
		case len(logs) < limit:
			if newer {
				slices.Reverse(ids)
			}
			return ids, short
		default:
			last := logs[len(logs)-1]
			page.From, page.Offset = &auditquery.Place{Time: last.Time, ID: last.ID}, 0
		}
	}
	require.Fail(t, "the pages do not end")
	return nil, false
}

// Where a text is excluded that too many users have in their names, PostgreSQL joins the
// newest rows with the users. A join that is too large for its memory loses the order,
// and with it the page must not lose rows.
func TestPagesOfTheNewestKeepTheirOrderInAJoin(t *testing.T) {
	pool, _ := people(t)
	exec(t, pool, `INSERT INTO users (username) SELECT 'usr' || i FROM generate_series(1, 20000) AS i`)
	exec(t, pool, `INSERT INTO audit_logs (time, organization_id, user_id, resource_type, resource_target, action, status_code)
		SELECT '2026-04-09Z'::timestamptz - i * interval '5 minutes', CASE WHEN i % 3 = 0 THEN $2::uuid ELSE $1::uuid END, gen_random_uuid(),
			'user', '', 'create', 200
		FROM generate_series(1, 2000) AS i`, orgA, orgB)
	exec(t, pool, "ANALYZE users, audit_logs")
	config := pool.Config()
	config.ConnConfig.RuntimeParams["work_mem"] = "64kB"
	small, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer small.Close()
	db := postgres.NewDB(small)
	search, err := auditquery.ParseAudit("-usr")
	require.NoError(t, err)
	resolved, err := db.Resolve(t.Context(), uuid.UUID{}, search.Names())
	require.NoError(t, err)
	found := search.Predicate(resolved)
	want := query[[]uuid.UUID](t, pool, "SELECT array_agg(id ORDER BY time DESC, id DESC) FROM audit_logs")
	for _, newer := range []bool{false, true} {
		got, _ := follow(t, db, orgIs(orgA, orgB), found, 1001, 0, newer)
		require.Equal(t, len(want), len(got))
		require.Equal(t, want, got)
	}
}
