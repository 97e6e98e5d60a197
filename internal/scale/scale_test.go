package scale

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rls"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const testRows = 30_000

func open(t *testing.T) *Database {
	t.Helper()
	d, err := Open(t.Context(), pgtest.URL(t), testRows, io.Discard)
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

// idsOf are the first column of what the statement gives.
func idsOf(ctx context.Context, t *testing.T, in querier, s statement) []uuid.UUID {
	t.Helper()
	rows, err := in.Query(ctx, s.sql, s.args...)
	require.NoError(t, err, s)
	ids, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (uuid.UUID, error) {
		return uuid.UUID(row.RawValues()[0]), nil
	})
	require.NoError(t, err, s)
	return ids
}

// What is compared gives the same rows, newest first, and the same counts.
func TestWaysAgree(t *testing.T) {
	d, ctx := open(t), t.Context()
	s, err := newServer(ctx, d.pool)
	require.NoError(t, err)
	defer s.pool.Close()
	for i, who := range d.Subjects {
		filter, subject, err := s.filter(ctx, who)
		require.NoError(t, err)
		if i == 0 {
			require.NoError(t, secure(ctx, d.pool, s.engine, subject))
		}
		settings, err := rls.For(ctx, s.engine, subject, target)
		require.NoError(t, err)
		conn, err := d.pool.Acquire(ctx)
		require.NoError(t, err)
		as := &reader{conn: conn, settings: settings}
		for _, of := range d.searches(who) {
			t.Run(who.Name+"/"+of.name, func(t *testing.T) {
				parsed, err := auditquery.ParseAudit(of.q)
				require.NoError(t, err)
				resolved, err := s.store.Resolve(ctx, uuid.Nil, parsed.Names())
				require.NoError(t, err)
				logs, searched, err := s.store.AuditLogs(ctx, filter, parsed.Predicate(resolved), of.page)
				require.NoError(t, err)
				want := []uuid.UUID{}
				for _, l := range logs {
					want = append(want, l.ID)
				}
				lists, counts := byHand(who, of)
				require.NoError(t, as.begin(ctx))
				listsOfRole, countsOfRole := byRole(of)
				all := map[querier][]statement{d.pool: lists, as.tx: listsOfRole}
				if of.page.From == nil { // that is a condition of another kind there
					all[d.pool] = append(all[d.pool], byFixed(who, of))
				}
				for in, statements := range all {
					for _, one := range statements {
						if got := idsOf(ctx, t, in, one); searched == nil {
							require.Equal(t, want, got, one)
						}
					}
				}
				counted := map[int]bool{}
				for in, statements := range map[querier][]statement{d.pool: counts, as.tx: countsOfRole} {
					for _, one := range statements {
						var n int
						require.NoError(t, in.QueryRow(ctx, one.sql, one.args...).Scan(&n), one)
						counted[n] = true
					}
				}
				require.Len(t, counted, 1)
			})
		}
		as.close(ctx)
	}
}

func TestMeasure(t *testing.T) {
	d := open(t)
	limits := Limits{Cap: time.Minute, Budget: time.Millisecond, Times: 5}
	only := func(subject, search string) bool { return subject != "1000 orgs" && search == "type, rare" }
	result, err := d.Measure(t.Context(), limits, only, io.Discard)
	require.NoError(t, err)
	require.Len(t, result.Cells, 4)
	for _, c := range result.Cells {
		for _, f := range []Figure{c.List.Ours, c.List.Hand, c.List.RLS, c.Count.Ours, c.Count.Hand, c.Count.RLS} {
			require.Positive(t, f.Median, c)
			require.LessOrEqual(t, f.Median, f.High, c)
		}
		require.GreaterOrEqual(t, c.List.Ours.Looked, float64(c.Shown), c)
	}
	path := t.TempDir() + "/result.json"
	require.NoError(t, result.Save(path))
	again, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, result, again)
	var text bytes.Buffer
	result.Print(&text)
	result.Judge(&text)
	result.Grow(&text, again)
	require.Contains(t, text.String(), "Lists and counts at most 1.5 times those of 30000 audit logs: 8 of 8")
}

func TestVerdicts(t *testing.T) {
	figure := func(median, looked float64) Figure {
		return Figure{Median: median, High: median, Times: 5, Looked: looked}
	}
	r := Result{Rows: 10, Cells: []Cell{{
		Search: "everything", Subject: "site", Shown: 25,
		List:  Compare{Ours: figure(3, 25), Hand: figure(2, 0), RLS: figure(4, 0)},
		Count: Compare{Ours: figure(1, 25), Hand: figure(1, 0), RLS: figure(0.5, 0)},
		Fixed: Figure{Median: 200, High: 200, Times: 1, Looked: scans},
	}}}
	var text bytes.Buffer
	r.Judge(&text)
	require.Equal(t, `
Lists and counts within 1.2 times the best SQL by hand: 1 of 2
- list of everything by site: 1.50 times (3.00 to 2.00 ms)

Lists and counts ahead of row-level security: 1 of 2
- count of everything by site: 2.00 times (1.00 to 0.50 ms)

Searches 100 times ahead of fixed conditions, where those look at 100000 rows or more: 0 of 1
- everything by site: 67 times (200 ms to 3.00)
`, text.String())
}
