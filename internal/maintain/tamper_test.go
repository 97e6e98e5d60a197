package maintain_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
)

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	private, _, err := seal.NewKey()
	require.NoError(t, err)
	key, err := seal.ParsePrivateKey(private)
	require.NoError(t, err)
	return key
}

// tamper does what nobody is to do, as the owner can who switches the guards off.
func tamper(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "SET session_replication_role = replica")
	require.NoError(t, err)
	tag, err := conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	require.Positive(t, tag.RowsAffected(), sql)
	_, err = conn.Exec(t.Context(), "RESET session_replication_role")
	require.NoError(t, err)
}

// rechain writes the chain again from a seal on, as one does who has no key.
func rechain(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT id, entry FROM log_seals ORDER BY id")
	require.NoError(t, err)
	type link struct {
		id    int64
		entry string
	}
	var links []link
	for rows.Next() {
		var l link
		require.NoError(t, rows.Scan(&l.id, &l.entry))
		links = append(links, l)
	}
	require.NoError(t, rows.Err())
	var previous seal.Link
	for _, l := range links {
		// Its text is read whatever was there before it.
		forged, err := forge(l.entry, previous)
		require.NoError(t, err)
		tamper(t, pool, "UPDATE log_seals SET entry = $2, hash = $3 WHERE id = $1", l.id, forged.Text, forged.Hash[:])
		previous = forged
	}
}

func TestTampering(t *testing.T) {
	key := newKey(t)
	public := key.Public().(ed25519.PublicKey)
	start := time.Now().UTC().Truncate(time.Hour)
	for _, c := range []struct {
		name   string
		tamper func(*testing.T, *pgxpool.Pool)
		kind   string
		seal   int64
		row    bool // whether a row is named: the tenth of the second seal
	}{
		{"changed row", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "UPDATE audit_logs SET action = 'login' WHERE resource_target = 'second' AND time = $1", start.Add(-9*time.Hour))
		}, seal.RowChanged, 2, true},
		{"deleted row", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "DELETE FROM audit_logs WHERE resource_target = 'second' AND time = $1", start.Add(-9*time.Hour))
		}, seal.RowMissing, 2, true},
		{"deleted partition's rows", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "DELETE FROM audit_logs WHERE resource_target <> 'third'")
		}, seal.RowMissing, 1, false},
		{"added row", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code, written_in)
				SELECT time - interval '1 second', 'template', 'forged', 'create', 200, written_in FROM audit_logs WHERE resource_target = 'second' LIMIT 1`)
		}, seal.RowAdded, 2, false},
		{"added row with a number before all", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code, written_in)
				VALUES (now(), 'template', 'forged', 'create', 200, -5)`)
		}, seal.RowAdded, 1, false},
		{"null instead of an empty text", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "UPDATE audit_logs SET user_agent = '' WHERE resource_target = 'second' AND time = $1", start.Add(-9*time.Hour))
		}, seal.RowChanged, 2, true},
		{"row written elsewhere", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "UPDATE audit_logs SET written_in = 1000000 WHERE resource_target = 'second' AND time = $1", start.Add(-9*time.Hour))
		}, seal.RowMissing, 2, true},
		{"gap in the chain", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "DELETE FROM log_checkpoints WHERE id = 2")
			tamper(t, pool, "DELETE FROM log_seals WHERE id = 2")
		}, seal.SealMissing, 2, false},
		{"beginning of the chain", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "DELETE FROM log_checkpoints WHERE id = 1")
			tamper(t, pool, "DELETE FROM log_seals WHERE id = 1")
		}, seal.SealMissing, 1, false},
		{"cut tail with its rows and checkpoints", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "DELETE FROM log_checkpoints WHERE id = 3")
			tamper(t, pool, "DELETE FROM log_seals WHERE id = 3")
			tamper(t, pool, "DELETE FROM audit_logs WHERE resource_target = 'third'")
		}, seal.TailCut, 3, false},
		{"changed seal", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "UPDATE log_seals SET entry = replace(entry, 'action', 'actoin') WHERE id = 2")
		}, seal.SealChanged, 2, false},
		{"changed leaves", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "UPDATE log_seals SET leaves = set_byte(leaves, 100, 255 - get_byte(leaves, 100)) WHERE id = 2")
		}, seal.LeavesChanged, 2, false},
		{"forgotten leaves", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "UPDATE log_seals SET leaves = NULL WHERE id = 2")
		}, seal.LeavesMissing, 2, false},
		{"history written again without the key", func(t *testing.T, pool *pgxpool.Pool) {
			tamper(t, pool, "UPDATE log_seals SET entry = replace(entry, '\"sealed_at\":\"2', '\"sealed_at\":\"3') WHERE id = 2")
			rechain(t, pool)
		}, seal.HistoryChanged, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			pool := migrated(t)
			var kept []seal.Checkpoint
			for _, target := range []string{"first", "second", "third"} {
				addLogs(t, pool, 20, start, target)
				kept = append(kept, *run(t, pool, maintain.Config{Key: key}).Checkpoint)
			}
			options := seal.Options{Checkpoints: kept, Key: public}
			require.Equal(t, int64(60), verified(t, pool, options).Rows)
			var id uuid.UUID
			require.NoError(t, pool.QueryRow(t.Context(), "SELECT id FROM audit_logs WHERE resource_target = 'second' AND time = $1", start.Add(-9*time.Hour)).Scan(&id))
			c.tamper(t, pool)
			report, err := postgres.VerifySeals(t.Context(), pool, options)
			require.NoError(t, err)
			require.False(t, report.OK)
			require.NotEmpty(t, report.Problems)
			first := report.Problems[0]
			require.Equal(t, c.kind, first.Kind, report.Problems)
			require.Equal(t, c.seal, first.Seal, report.Problems)
			if c.row {
				require.Equal(t, id, *first.Row)
				require.Equal(t, start.Add(-9*time.Hour), *first.Time)
				require.Contains(t, first.String(), "audit_logs "+id.String())
			}
		})
	}
}

// What can't be seen without a checkpoint that is kept elsewhere.
func TestACutTailNeedsACheckpoint(t *testing.T) {
	pool := migrated(t)
	key := newKey(t)
	addLogs(t, pool, 5, time.Now(), "kept")
	run(t, pool, maintain.Config{Key: key})
	addLogs(t, pool, 5, time.Now(), "cut")
	last := run(t, pool, maintain.Config{Key: key}).Checkpoint
	tamper(t, pool, "DELETE FROM log_checkpoints WHERE id = 2")
	tamper(t, pool, "DELETE FROM log_seals WHERE id = 2")
	tamper(t, pool, "DELETE FROM audit_logs WHERE resource_target = 'cut'")
	stored, err := postgres.Checkpoints(t.Context(), pool)
	require.NoError(t, err)
	verified(t, pool, seal.Options{Checkpoints: stored, Key: key.Public().(ed25519.PublicKey)})
	for _, options := range []seal.Options{
		{Checkpoints: []seal.Checkpoint{*last}},
		{Key: newKey(t).Public().(ed25519.PublicKey), Checkpoints: stored},
		{Key: key.Public().(ed25519.PublicKey)},
	} {
		report, err := postgres.VerifySeals(t.Context(), pool, options)
		require.NoError(t, err)
		require.False(t, report.OK)
	}
}

// Completed connections are sealed again; what was known before stays sealed.
func TestConnectionsAreSealedAgain(t *testing.T) {
	pool := migrated(t)
	now := time.Now().UTC()
	add := func(n int) {
		exec(t, pool, `INSERT INTO connection_logs (connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type, connection_id)
			SELECT $1::timestamptz - i * interval '1 minute', $2, $2, $2, 'w', 'a', 'ssh', gen_random_uuid() FROM generate_series(1, $3::int) AS i`, now, uuid.New(), n)
	}
	add(10)
	run(t, pool, maintain.Config{})
	exec(t, pool, "UPDATE connection_logs SET disconnect_time = connect_time, code = 0 WHERE id IN (SELECT id FROM connection_logs ORDER BY id LIMIT 4)")
	require.Equal(t, int64(4), verified(t, pool, seal.Options{}).Superseded, "not sealed yet")
	run(t, pool, maintain.Config{})
	exec(t, pool, "UPDATE connection_logs SET disconnect_reason = 'late' WHERE disconnect_time IS NOT NULL")
	exec(t, pool, "UPDATE connection_logs SET connect_time = connect_time - interval '40 days' WHERE disconnect_time IS NOT NULL")
	add(1)
	run(t, pool, maintain.Config{})
	report := verified(t, pool, seal.Options{})
	require.Equal(t, int64(8), report.Superseded)
	require.Equal(t, int64(11), report.Rows)
	tamper(t, pool, "DELETE FROM connection_logs WHERE id = (SELECT id FROM connection_logs WHERE disconnect_time IS NOT NULL LIMIT 1)")
	report, err := postgres.VerifySeals(t.Context(), pool, seal.Options{})
	require.NoError(t, err)
	require.Equal(t, 1, report.Found)
	require.Equal(t, seal.RowMissing, report.Problems[0].Kind)
	require.Equal(t, int64(3), report.Problems[0].Seal)
}

// A dump that is restored begins PostgreSQL's numbers of transactions anew.
func TestRestoredDatabase(t *testing.T) {
	pool := migrated(t)
	addLogs(t, pool, 5, time.Now(), "before")
	// As if the database came from another with many more transactions.
	tamper(t, pool, "UPDATE audit_logs SET written_in = written_in + 1000000000")
	run(t, pool, maintain.Config{})
	addLogs(t, pool, 5, time.Now(), "after")
	report := run(t, pool, maintain.Config{})
	require.Equal(t, int64(5), report.Logs[0].Sealed.Rows)
	require.Equal(t, int64(10), verified(t, pool, seal.Options{}).Rows)
}

func TestSealsAreGuarded(t *testing.T) {
	pool := migrated(t)
	addLogs(t, pool, 1, time.Now(), "x")
	run(t, pool, maintain.Config{Key: newKey(t)})
	for _, sql := range []string{
		"UPDATE log_seals SET leaves = NULL", "DELETE FROM log_checkpoints", "DELETE FROM log_seals", "TRUNCATE log_seals CASCADE", "TRUNCATE log_checkpoints",
	} {
		_, err := pool.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "not to be changed", sql)
	}
}

func forge(entry string, previous seal.Link) (seal.Link, error) {
	e, err := seal.ReadEntry(strings.TrimSpace(entry))
	if err != nil {
		return seal.Link{}, err
	}
	return e.Link(previous)
}
