package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// More rows than a count may look at, and a condition that no index serves: one row
// in a hundred is not of status 200.
func TestCountOfTheNewestRows(t *testing.T) {
	pool, db := people(t)
	exec(t, pool, `INSERT INTO audit_logs (time, organization_id, resource_type, resource_target, action, status_code)
		SELECT '2026-04-09Z'::timestamptz - i * interval '1 second', $1, 'user', '', 'create', CASE WHEN i % 100 = 0 THEN 201 ELSE 200 END
		FROM generate_series(1, 30000) AS i`, orgA)
	exec(t, pool, "VACUUM ANALYZE audit_logs")
	created, err := auditquery.ParseAudit("status_code:201")
	require.NoError(t, err)
	nothing, err := auditquery.ParseAudit("-resource_type:user status_code:201")
	require.NoError(t, err)
	late := audit.Counting{Cap: 2000, Within: time.Minute} // for all rows there is no time
	for _, authorized := range []sqlgen.Filter{sqlgen.Always(), orgIs(orgA), orgIs(orgA, orgB)} {
		for _, c := range []struct {
			search auditquery.Search
			how    audit.Counting
			want   audit.Count
		}{
			// 20,000 rows of all, or of one organization; half of them of each of two.
			{created, late, audit.Count{Rows: 200, Cap: 2000, LowerBound: true}},
			{nothing, late, audit.Count{Rows: 0, Cap: 2000, LowerBound: true}},
			{created, counting(50), audit.Count{Rows: 51, Cap: 50}},
			{created, audit.Counting{Cap: 2000, Exact: true, Limit: time.Minute, Within: time.Minute}, audit.Count{Rows: 300}},
			// The time for all of them has passed at once.
			{created, audit.Counting{Cap: 2000, Exact: true, Within: time.Minute}, audit.Count{Rows: 200, Cap: 2000, LowerBound: true}},
			{created, audit.Counting{Cap: 50, Exact: true, Within: time.Minute}, audit.Count{Rows: 51, Cap: 50, LowerBound: true}},
			{created, audit.Counting{Cap: 2000}, audit.Count{Cap: 2000, LowerBound: true}},
		} {
			if authorized.Result() == sqlgen.ResultWhen && len(authorized.String()) > 100 && c.want.Rows == 200 {
				c.want.Rows = 100
			}
			got, err := db.CountAuditLogs(t.Context(), authorized, c.search.Predicate(auditquery.Resolved{}), c.how)
			require.NoError(t, err)
			require.Equal(t, c.want, got, "%s %s %+v", authorized, c.search, c.how)
		}
		// No more than the budget is in this time: all are looked at.
		recent, err := auditquery.ParseAudit(`status_code:201 date_from:"2026-04-08T20:00:00Z"`)
		require.NoError(t, err)
		got, err := db.CountAuditLogs(t.Context(), authorized, recent.Predicate(auditquery.Resolved{}), late)
		require.NoError(t, err)
		if len(authorized.String()) > 100 { // a share of 10,000 is too small
			require.Equal(t, audit.Count{Rows: 100, Cap: 2000, LowerBound: true}, got)
		} else {
			require.Equal(t, audit.Count{Rows: 144, Cap: 2000}, got)
		}
	}
	got, err := db.CountConnections(t.Context(), sqlgen.Never(), sqlgen.True, counting(2000))
	require.NoError(t, err)
	require.Equal(t, audit.Count{Cap: 2000}, got)
}

// A count of organizations and times takes no longer than its limit, whatever ways
// there are to it.
func TestCountsEndInTime(t *testing.T) {
	pool, db := people(t)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE") // nobody counts
	require.NoError(t, err)
	const limit = time.Second
	begun := time.Now()
	got, err := db.CountAuditLogs(t.Context(), orgIs(orgA), sqlgen.True, audit.Counting{Cap: 2000, Limit: limit, Within: limit})
	require.NoError(t, err)
	require.Equal(t, audit.Count{Cap: 2000, LowerBound: true}, got)
	require.Less(t, time.Since(begun), 2*limit)
}

func TestConnections(t *testing.T) {
	pool, db := people(t)
	noon := time.Date(2026, 4, 9, 12, 0, 0, 123456000, time.UTC)
	exec(t, pool, `INSERT INTO connection_logs (id, connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name,
			type, ip, code, user_id, slug_or_port, connection_id, disconnect_time, disconnect_reason) VALUES
		($1, $5, $6, $8, $9, 'dev', 'main', 'ssh', '10.0.0.1', 0, NULL, NULL, $9, $5, 'bye'),
		($2, $5, $7, $8, $9, 'dev', 'main', 'ssh', NULL, NULL, NULL, NULL, $9, NULL, NULL),
		($3, $5, $6, $4, $9, 'dev', 'main', 'workspace_app', NULL, 200, $8, 'app', NULL, NULL, NULL)`,
		id(1), id(2), id(3), id(4), noon, orgA, orgB, ann, id(9))
	got, _, err := db.Connections(t.Context(), sqlgen.Always(), sqlgen.True, auditquery.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, got, 3)
	web, on, off := got[0], got[1], got[2]
	require.Equal(t, []uuid.UUID{id(3), id(2), id(1)}, []uuid.UUID{web.ID, on.ID, off.ID})
	require.True(t, web.Web())
	require.Equal(t, "Ann", web.User.Username)
	require.Empty(t, web.OwnerUsername, "nobody has the id")
	require.False(t, on.Web())
	require.Nil(t, on.DisconnectTime)
	require.Nil(t, on.Code)
	require.Equal(t, "Ann", on.OwnerUsername)
	require.Equal(t, noon, *off.DisconnectTime)
	require.Zero(t, *off.Code)
	require.Equal(t, audit.Organization{ID: orgA, Name: "a", DisplayName: "Org A"}, off.Organization)

	at := auditquery.Place{Time: on.Time, ID: on.ID}
	for newer, want := range map[bool]uuid.UUID{false: off.ID, true: web.ID} {
		got, _, err = db.Connections(t.Context(), sqlgen.Always(), sqlgen.True, auditquery.Page{Limit: 10, From: &at, Newer: newer})
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, want, got[0].ID)
	}
	got, _, err = db.Connections(t.Context(), orgIs(orgB), sqlgen.True, auditquery.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, got, 1)
	n, err := db.CountConnections(t.Context(), orgIs(orgA), sqlgen.True, counting(2000))
	require.NoError(t, err)
	require.Equal(t, audit.Count{Rows: 2, Cap: 2000}, n)
}

// Servers that start at once get one key.
func TestKey(t *testing.T) {
	db := postgres.NewDB(migrated(t))
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { keys[i], _ = db.Key(t.Context(), "cursors") })
	}
	wg.Wait()
	require.Len(t, keys[0], 32)
	for _, key := range keys {
		require.Equal(t, keys[0], key)
	}
	other, err := db.Key(t.Context(), "other")
	require.NoError(t, err)
	require.NotEqual(t, keys[0], other)
}
