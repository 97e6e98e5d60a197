package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

var organization = sqlgen.Column{Name: "organization_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}

func orgIs(ids ...uuid.UUID) sqlgen.Filter {
	var or sqlgen.Or
	for _, id := range ids {
		or = append(or, sqlgen.Eq(organization, sqlgen.UUID(id)))
	}
	return sqlgen.When(or)
}

// counting is how to count up to the cap, and as long as it takes.
func counting(cap int) audit.Counting {
	return audit.Counting{Cap: cap, Limit: time.Minute, Within: time.Minute}
}

func ids(logs []audit.Log) []byte {
	var out []byte
	for _, l := range logs {
		out = append(out, l.ID[15])
	}
	return out
}

func TestAuditLogs(t *testing.T) {
	pool, db := people(t)
	noon := time.Date(2026, 4, 9, 12, 0, 0, 123456000, time.UTC)
	add := func(n byte, org, user any, at time.Time) {
		exec(t, pool, `INSERT INTO audit_logs (id, time, organization_id, user_id, resource_type, resource_target, action, status_code)
			VALUES ($1, $2, $3, $4, 'template', 'x', 'create', 200)`, id(n), at, org, user)
	}
	add(2, orgA, ann, noon) // at the same time: the greater id comes first
	add(3, orgB, bob, noon.Add(time.Hour))
	add(4, orgC, nil, noon.Add(-time.Hour))
	add(5, nil, id(99), noon.Add(2*time.Hour))
	exec(t, pool, `INSERT INTO audit_logs (id, time, organization_id, user_id, resource_type, resource_target, action, status_code, ip, diff)
		VALUES ($1, $2, $3, $4, 'template', 'x', 'create', 200, '10.0.0.1', '{"k": {"old": "hunter2", "new": 1, "secret": true}}')`, id(1), noon, orgA, ann)

	all := auditquery.Page{Limit: 100}
	for _, c := range []struct {
		name       string
		authorized sqlgen.Filter
		page       auditquery.Page
		want       []byte
		count      int
	}{
		{"everything", sqlgen.Always(), all, []byte{5, 3, 2, 1, 4}, 5},
		{"one organization", orgIs(orgA), all, []byte{2, 1}, 2},
		{"two organizations", orgIs(orgA, orgB), all, []byte{3, 2, 1}, 3},
		{"nothing", sqlgen.Never(), all, nil, 0},
		{"a page", sqlgen.Always(), auditquery.Page{Limit: 2, Offset: 1}, []byte{3, 2}, 5},
		{"a page of two organizations", orgIs(orgA, orgB), auditquery.Page{Limit: 1, Offset: 1}, []byte{2}, 3},
		{"behind the end", sqlgen.Always(), auditquery.Page{Limit: 2, Offset: 1<<31 - 1}, nil, 5},
	} {
		logs, _, err := db.AuditLogs(t.Context(), c.authorized, sqlgen.True, c.page)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, ids(logs), c.name)
		n, err := db.CountAuditLogs(t.Context(), c.authorized, sqlgen.True, counting(2000))
		require.NoError(t, err, c.name)
		require.Equal(t, audit.Count{Rows: c.count, Cap: 2000}, n, c.name)
	}
	n, err := db.CountAuditLogs(t.Context(), sqlgen.Always(), sqlgen.True, counting(3))
	require.NoError(t, err)
	require.Equal(t, audit.Count{Rows: 4, Cap: 3}, n, "a count stops at one more than its cap")

	logs, _, err := db.AuditLogs(t.Context(), sqlgen.Always(), sqlgen.True, all)
	require.NoError(t, err)
	unknown, first := logs[0], logs[3]
	require.Equal(t, noon, first.Time)
	require.Equal(t, &audit.Organization{ID: orgA, Name: "a", DisplayName: "Org A"}, first.Organization)
	require.Equal(t, "10.0.0.1/32", first.IP.String())
	require.True(t, first.Diff["k"].Secret)
	require.JSONEq(t, `""`, string(first.Diff["k"].Old))
	require.Equal(t, "Ann", first.User.Username)
	require.Equal(t, []uuid.UUID{orgA, orgB}, first.User.OrganizationIDs)
	require.Equal(t, []audit.RoleName{{Name: "member", DisplayName: "Member"}}, first.User.Roles)
	require.Nil(t, unknown.User)
	require.Nil(t, unknown.Organization)
	require.False(t, unknown.IP.IsValid())
}

func TestStatementsAreNotPrepared(t *testing.T) {
	pool := migrated(t)
	err := pool.AcquireFunc(t.Context(), func(c *pgxpool.Conn) error {
		for range 10 {
			rows, err := c.Query(t.Context(), "SELECT id FROM audit_logs WHERE organization_id = ANY($1)", []uuid.UUID{orgA, orgB})
			if err != nil {
				return err
			}
			rows.Close()
		}
		var prepared int
		err := c.QueryRow(t.Context(), "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''").Scan(&prepared)
		require.Zero(t, prepared, "a prepared statement may keep a plan without its values")
		return err
	})
	require.NoError(t, err)
}

func TestQueryIsStoppedWithItsContext(t *testing.T) {
	pool := migrated(t)
	// The count has to wait for the lock.
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = postgres.NewDB(pool).CountAuditLogs(ctx, sqlgen.Always(), sqlgen.True, counting(1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var waiting int
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting))
	require.Zero(t, waiting, "PostgreSQL still works on it")
}

func TestErrorsHideValues(t *testing.T) {
	pool := migrated(t)
	hunter := sqlgen.Column{Name: "ip", Type: sqlgen.Type{Kind: sqlgen.KindInet}}
	search := sqlgen.Eq(hunter, sqlgen.Literal{Type: sqlgen.Type{Kind: sqlgen.KindInet}, Value: "hunter2"})
	_, _, err := postgres.NewDB(pool).AuditLogs(t.Context(), sqlgen.Always(), search, auditquery.Page{Limit: 1})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
	require.NotErrorIs(t, err, pgx.ErrNoRows)
}
