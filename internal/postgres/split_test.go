package postgres_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/postgres"
)

// Interrupted after each batch, with rows written, read and completed meanwhile.
func TestSplitLosesNoRow(t *testing.T) {
	pool := open(t)
	require.NoError(t, postgres.MigrateTo(t.Context(), pool, discard, 10))
	now := time.Now().UTC()
	addLogs(t, pool, 5000, now)
	exec(t, pool, "UPDATE audit_logs SET resource_target = 'at first'")
	ancient := addLog(t, pool, now.AddDate(-300, 0, 0))
	const connections = 500
	exec(t, pool, `INSERT INTO connection_logs (connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type, connection_id)
		SELECT $1::timestamptz - i * interval '5 hours', $2, $2, $2, 'w', 'a', 'ssh', gen_random_uuid() FROM generate_series(1, $3::int) AS i`, now, orgA, connections)
	require.NoError(t, postgres.Migrate(t.Context(), pool, discard))
	before := logIDs(t, pool)

	w := startWriters(pool, 2, func(r *rand.Rand) time.Time { return now.Add(time.Duration(r.IntN(300)-250) * 24 * time.Hour) })
	endReading := startReaders(pool, "SELECT count(*) FROM audit_logs WHERE resource_target = 'at first'", 5000)
	// Connections end while they are copied.
	ended := make(chan error, 1)
	go func() {
		for {
			tag, err := pool.Exec(context.Background(), `UPDATE connection_logs SET disconnect_time = greatest(now(), connect_time), code = 0
				WHERE id = (SELECT id FROM connection_logs WHERE disconnect_time IS NULL LIMIT 1) AND disconnect_time IS NULL`)
			if err != nil || tag.RowsAffected() == 0 {
				ended <- err
				return
			}
		}
	}()
	for _, table := range postgres.LogTables {
		for done := false; !done; {
			m, err := postgres.StartMaintenance(t.Context(), pool)
			require.NoError(t, err)
			split, err := m.Split(t.Context(), table, 150, nil)
			require.NoError(t, err)
			require.LessOrEqual(t, split.Copied, int64(150))
			require.NoError(t, m.Close())
			done = split.Done
		}
	}
	require.NoError(t, <-ended)
	endReading(t)
	w.end(t)

	after := logIDs(t, pool)
	require.Len(t, after, len(before)+len(w.ids))
	for id := range before {
		require.True(t, after[id])
	}
	for id := range w.ids {
		require.True(t, after[id])
	}
	require.Equal(t, connections, query[int](t, pool, "SELECT count(*) FROM connection_logs WHERE disconnect_time IS NOT NULL"))
	require.Equal(t, connections, query[int](t, pool, "SELECT count(DISTINCT id) FROM connection_logs"))
	require.Equal(t, "audit_logs_"+now.AddDate(-300, 0, 0).Format("2006_01"), partitionOf(t, pool, ancient))

	// Nothing is left of it, and the months are as others are.
	require.Zero(t, query[int](t, pool, "SELECT count(*) FROM pg_class WHERE relname ~ '_split|_unpartitioned'"))
	require.Zero(t, query[int](t, pool, `SELECT count(*) FROM (SELECT count(*) AS n FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indrelid
		WHERE h.inhparent = 'audit_logs'::regclass GROUP BY h.inhrelid) AS x WHERE n <> (SELECT count(*) FROM pg_index WHERE indrelid = 'audit_logs'::regclass)`))
	for _, sql := range []string{"DELETE FROM audit_logs", "TRUNCATE audit_logs_" + now.Format("2006_01")} {
		_, err := pool.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "not to be changed")
	}
	m := maintenance(t, pool)
	split, err := m.Split(t.Context(), postgres.AuditLogTable, 0, nil)
	require.NoError(t, err)
	require.Equal(t, postgres.Split{Done: true, Partitions: []string{}}, split)
	exec(t, pool, insertLog, uuid.New(), now, "x")
}
