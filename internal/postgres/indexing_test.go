package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/postgres"
)

// A log of years takes long to index: it is written to meanwhile.
func TestLogsAreIndexedWhileTheyAreWritten(t *testing.T) {
	pool := open(t)
	require.NoError(t, postgres.MigrateTo(t.Context(), pool, discard, 13))
	now := time.Now()
	addLogs(t, pool, 1000, now)
	month := partitionOf(t, pool, addLog(t, pool, now))
	// What an interrupted build leaves.
	exec(t, pool, fmt.Sprintf(`CREATE INDEX audit_logs_organization_action ON ONLY audit_logs (organization_id, action, time DESC, id DESC);
		CREATE INDEX %[1]s_organization_action ON %[1]s (organization_id)`, month))

	// A transaction that has the month alone keeps its index from being built, and
	// nobody from writing to the log.
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "INSERT INTO "+month+" (id, time, resource_type, resource_target, action, status_code) VALUES ($1, $2, 'template', '', 'create', 200)", uuid.New(), now)
	require.NoError(t, err)
	migrated := make(chan error, 1)
	go func() { migrated <- postgres.Migrate(context.Background(), pool, discard) }()
	require.Eventually(t, func() bool {
		return query[bool](t, pool, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '% INDEX %')")
	}, time.Minute, 10*time.Millisecond)
	written, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer written.Rollback(context.Background())
	_, err = written.Exec(t.Context(), "SET LOCAL lock_timeout = '2s'")
	require.NoError(t, err)
	_, err = written.Exec(t.Context(), "INSERT INTO audit_logs (id, time, resource_type, resource_target, action, status_code) VALUES ($1, $2, 'template', '', 'create', 200)", uuid.New(), now)
	require.NoError(t, err)
	require.NoError(t, written.Commit(t.Context()))
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-migrated)

	partitions := query[int](t, pool, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass")
	for name, on := range map[string]string{"action": "action", "resource_type": "resource_type", "user": "user_id", "resource": "resource_id"} {
		index := "audit_logs_organization_" + name
		require.True(t, query[bool](t, pool, "SELECT indisvalid FROM pg_index WHERE indexrelid = $1::text::regclass", index))
		require.Equal(t, partitions, query[int](t, pool, `SELECT count(*) FROM pg_inherits AS i JOIN pg_index AS x ON x.indexrelid = i.inhrelid
			WHERE i.inhparent = $1::text::regclass AND x.indisvalid`, index))
		require.Contains(t, query[string](t, pool, "SELECT pg_get_indexdef($1::text::regclass)", index), "(organization_id, "+on+`, "time" DESC, id DESC)`)
	}
	require.NoError(t, postgres.Migrate(t.Context(), pool, discard))
	// A month that is made later has them too.
	m, err := postgres.StartMaintenance(t.Context(), pool)
	require.NoError(t, err)
	_, err = m.MakeMonths(t.Context(), postgres.AuditLogTable, now, time.Time{}, 6)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	require.Greater(t, query[int](t, pool, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_logs_organization_action'::regclass"), partitions)
}
