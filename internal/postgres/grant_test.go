package postgres_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// asServer opens a migrated database as its owner, and as a role that was granted
// a server's rights.
func asServer(t *testing.T) (owner, server *pgxpool.Pool) {
	t.Helper()
	address := pgtest.URL(t)
	owner, err := postgres.Open(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(owner.Close)
	require.NoError(t, postgres.Migrate(t.Context(), owner, discard))
	const role = "Server of a test"
	exec(t, owner, `CREATE ROLE "`+role+`" LOGIN`)
	t.Cleanup(func() {
		_, err := owner.Exec(context.Background(), `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`)
		require.NoError(t, err)
	})
	require.NoError(t, postgres.GrantServer(t.Context(), owner, role))
	require.NoError(t, postgres.GrantServer(t.Context(), owner, role), "again")
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.User(role)
	server, err = postgres.Open(t.Context(), u.String())
	require.NoError(t, err)
	t.Cleanup(server.Close)
	require.Equal(t, role, query[string](t, server, "SELECT current_user"))
	return owner, server
}

func TestWhatAServerMayNotDo(t *testing.T) {
	owner, server := asServer(t)
	id := addLog(t, server, time.Now())
	part := partitionOf(t, server, id)
	// A session's own settings are no way around it.
	_, err := server.Exec(t.Context(), "SELECT set_config('rowfence.maintenance', 'on', false), set_config('rowfence.moving', $1, false)", id.String())
	require.NoError(t, err)
	for _, sql := range []string{
		"UPDATE audit_logs SET action = 'login'", "DELETE FROM audit_logs", "TRUNCATE audit_logs", "DROP TABLE audit_logs",
		"UPDATE " + part + " SET action = 'login'", "DELETE FROM " + part, "TRUNCATE " + part, "DROP TABLE " + part, "SELECT * FROM " + part,
		"ALTER TABLE audit_logs DISABLE TRIGGER ALL", "SET session_replication_role = replica",
		"INSERT INTO audit_logs (written_in, resource_type, resource_target, action, status_code) VALUES (0, 'template', 'x', 'create', 200)",
		"CREATE OR REPLACE FUNCTION log_transaction() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
		"DELETE FROM connection_logs", "UPDATE connection_logs SET agent_name = 'x'", "UPDATE connection_logs SET written_in = 0",
		"INSERT INTO log_seals VALUES (1, 'rows', 'audit_logs', '', '', NULL, NULL)", "UPDATE log_seals SET leaves = NULL",
		"DELETE FROM log_seals", "DELETE FROM log_checkpoints", "DELETE FROM goose_db_version",
	} {
		_, err := server.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "42501", pgErr.Code, sql)
	}
	may, err := postgres.MayMaintain(t.Context(), server)
	require.NoError(t, err)
	require.False(t, may)
	may, err = postgres.MayMaintain(t.Context(), owner)
	require.NoError(t, err)
	require.True(t, may)
}

func TestWhatAServerMayDo(t *testing.T) {
	_, server := asServer(t)
	for range 2 {
		out := postgres.NewDB(server).WriteBatches(t.Context(), []audit.Batch{
			{Audit: []audit.Event{event("x")}, Once: once("k", "x")},
			{Connections: []audit.ConnectionEvent{disconnect(1, 5, new(int32(0)), ""), web("app")}},
			{Connections: []audit.ConnectionEvent{connect(1, 0)}},
		})
		for _, o := range out {
			require.NoError(t, o.Err)
		}
	}
	require.Len(t, connectionRows(t, server, 1), 1)
	require.NoError(t, postgres.NewDB(server).Ready(t.Context()))
	addLogs(t, server, 3, time.Now())
	require.Len(t, logIDs(t, server), 4)
	exec(t, server, "INSERT INTO users (username) VALUES ('ann')")
	exec(t, server, "UPDATE users SET name = 'Ann'")
	id, now := uuid.New(), time.Now()
	exec(t, server, `INSERT INTO connection_logs (id, connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type, connection_id)
		VALUES ($1, $2, $3, $3, $3, 'w', 'a', 'ssh', $1)`, id, now, orgA)
	exec(t, server, "UPDATE connection_logs SET disconnect_time = $2 WHERE id = $1", id, now)
	// To another month.
	exec(t, server, "UPDATE connection_logs SET connect_time = $2 WHERE id = $1", id, postgres.Month(now).AddDate(0, 0, -1))
	require.Equal(t, 1, query[int](t, server, "SELECT count(*) FROM connection_logs WHERE id = $1", id))
}

// Who owns the logs, or may become who does, can't be kept from anything by grants: to
// be told that it was would be worse than an error.
func TestOwnersAreNoServers(t *testing.T) {
	owner, _ := asServer(t)
	exec(t, owner, "CREATE ROLE owner_of_a_test; CREATE ROLE member_of_a_test IN ROLE owner_of_a_test")
	exec(t, owner, "ALTER TABLE audit_logs OWNER TO owner_of_a_test")
	t.Cleanup(func() {
		_, err := owner.Exec(context.Background(), "REASSIGN OWNED BY owner_of_a_test TO CURRENT_USER; DROP ROLE member_of_a_test, owner_of_a_test")
		require.NoError(t, err)
	})
	for _, role := range []string{"owner_of_a_test", "member_of_a_test", query[string](t, owner, "SELECT current_user")} {
		require.ErrorContains(t, postgres.GrantServer(t.Context(), owner, role), "can't be kept from", role)
	}
	require.True(t, query[bool](t, owner, "SELECT has_table_privilege('owner_of_a_test', 'audit_logs', 'DELETE')"), "nothing was taken back")
}

// What a server reads it may read under the role that is granted to it.
func TestAServerExportsAndTails(t *testing.T) {
	owner, server := asServer(t)
	db := postgres.NewDB(server)
	from, err := db.Written(t.Context())
	require.NoError(t, err)
	for _, o := range db.WriteBatches(t.Context(), []audit.Batch{
		{Audit: []audit.Event{event("x")}}, {Connections: []audit.ConnectionEvent{connect(1, 0), web("app")}},
	}) {
		require.NoError(t, o.Err)
	}
	// Partitions that are made later are read through their log.
	m, err := postgres.StartMaintenance(t.Context(), owner)
	require.NoError(t, err)
	_, err = m.MakeMonths(t.Context(), postgres.AuditLogTable, time.Now(), time.Time{}, 5)
	require.NoError(t, err)
	require.NoError(t, m.Close())

	logs, connections := 0, 0
	require.NoError(t, db.ExportAuditLogs(t.Context(), sqlgen.Always(), sqlgen.True, func(rows []audit.Log) error {
		logs += len(rows)
		return nil
	}))
	require.NoError(t, db.ExportConnections(t.Context(), sqlgen.Always(), sqlgen.True, func(rows []audit.Connection) error {
		connections += len(rows)
		return nil
	}))
	require.Equal(t, []int{1, 2}, []int{logs, connections})
	require.Eventually(t, func() bool {
		l, err := db.AuditLogsWritten(t.Context(), sqlgen.Always(), sqlgen.True, from)
		require.NoError(t, err)
		c, err := db.ConnectionsWritten(t.Context(), sqlgen.Always(), sqlgen.True, from)
		require.NoError(t, err)
		return len(l.Rows) == 1 && len(c.Rows) == 2
	}, time.Minute, 50*time.Millisecond)
}
