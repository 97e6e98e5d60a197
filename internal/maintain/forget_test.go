package maintain_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
)

// Sessions whose rows are purged are looked for, and some of them come back before they
// are forgotten: with events as old, whose rows the look does not see. These sessions
// stay, so that the next event of each finds its row.
func TestSessionsThatComeBackWhileTheyAreForgotten(t *testing.T) {
	pool := migrated(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	old := now.AddDate(0, 0, -50)
	db := postgres.NewDB(pool)
	place := audit.Place{OrganizationID: uuid.UUID{1}, WorkspaceOwnerID: uuid.UUID{2}, WorkspaceID: uuid.UUID{3}, WorkspaceName: "w", AgentName: "a", Type: "ssh"}
	write := func(connection byte, at time.Time, disconnect bool) {
		t.Helper()
		b := audit.Batch{Connections: []audit.ConnectionEvent{{ConnectionID: uuid.UUID{connection}, Time: at, Place: place, Disconnect: disconnect}}}
		require.NoError(t, db.WriteBatches(t.Context(), []audit.Batch{b})[0].Err)
	}
	const same, moved, goes = 1, 2, 3
	for i := range byte(3) {
		write(i+1, old, false)
	}
	exec(t, pool, "ALTER TABLE connection_logs DISABLE TRIGGER USER")
	exec(t, pool, "DELETE FROM connection_logs")
	exec(t, pool, "ALTER TABLE connection_logs ENABLE TRIGGER USER")
	// The log is read through a view that holds up who looks for the rows.
	exec(t, pool, `CREATE SCHEMA held`)
	exec(t, pool, `CREATE FUNCTION held.up() RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			WHILE NOT pg_try_advisory_xact_lock_shared(42) LOOP PERFORM pg_sleep(0.01); END LOOP;
			RETURN true;
		END $$`)
	exec(t, pool, `CREATE VIEW held.connection_logs AS SELECT * FROM public.connection_logs WHERE (SELECT held.up())`)
	config := pool.Config()
	config.ConnConfig.RuntimeParams["search_path"] = "held, public"
	heldUp, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer heldUp.Close()
	m, err := postgres.StartMaintenance(t.Context(), heldUp)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()

	lock, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "SELECT pg_advisory_xact_lock(42)")
	require.NoError(t, err)
	type forgotten struct {
		n   int64
		err error
	}
	done := make(chan forgotten)
	go func() {
		n, err := m.ForgetSessions(t.Context(), now.AddDate(0, 0, -1), 100)
		done <- forgotten{n, err}
	}()
	require.Eventually(t, func() bool {
		return query[bool](t, pool, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')")
	}, time.Minute, 10*time.Millisecond)
	write(same, old, false)                // the same event again
	write(moved, old.Add(time.Hour), true) // another, which is as old
	require.NoError(t, lock.Rollback(t.Context()))
	got := <-done
	require.NoError(t, got.err)
	require.Equal(t, forgotten{n: 1}, got)
	require.Zero(t, query[int](t, pool, "SELECT count(*) FROM connection_sessions WHERE connection_id = $1", uuid.UUID{goes}))

	for i := range byte(3) {
		write(i+1, old.Add(2*time.Hour), true)
		require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM connection_logs WHERE connection_id = $1", uuid.UUID{i + 1}), i)
	}
}

// A session comes back while it is being forgotten: its event waits, and makes another.
func TestASessionThatComesBackWhenItIsForgotten(t *testing.T) {
	pool := migrated(t)
	e := audit.ConnectionEvent{ConnectionID: uuid.UUID{1}, Time: time.Now().UTC().Truncate(time.Microsecond),
		Place: audit.Place{OrganizationID: uuid.UUID{1}, WorkspaceOwnerID: uuid.UUID{2}, WorkspaceID: uuid.UUID{3}, WorkspaceName: "w", AgentName: "a", Type: "ssh"}}
	write := func() error {
		return postgres.NewDB(pool).WriteBatches(t.Context(), []audit.Batch{{Connections: []audit.ConnectionEvent{e}}})[0].Err
	}
	require.NoError(t, write())
	exec(t, pool, "ALTER TABLE connection_logs DISABLE TRIGGER USER")
	exec(t, pool, "DELETE FROM connection_logs")
	exec(t, pool, "ALTER TABLE connection_logs ENABLE TRIGGER USER")
	forget, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = forget.Exec(t.Context(), "DELETE FROM connection_sessions")
	require.NoError(t, err)
	done := make(chan error)
	go func() { done <- write() }()
	require.Eventually(t, func() bool {
		return query[bool](t, pool, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')")
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, forget.Commit(t.Context()))
	require.NoError(t, <-done)
	e.Disconnect = true
	require.NoError(t, write())
	require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM connection_logs"))
	require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM connection_sessions JOIN connection_logs USING (id, connect_time)"))
}
