package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
)

func query[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

const insertLog = `INSERT INTO audit_logs (id, time, resource_type, resource_target, action, status_code)
	VALUES ($1, $2, 'template', $3, 'create', 200)`

func addLog(t *testing.T, pool *pgxpool.Pool, at time.Time) uuid.UUID {
	t.Helper()
	id := uuid.New()
	exec(t, pool, insertLog, id, at, "x")
	return id
}

// addLogs adds n rows, an hour apart and ending at a time.
func addLogs(t *testing.T, pool *pgxpool.Pool, n int, last time.Time) {
	t.Helper()
	exec(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code)
		SELECT $2::timestamptz - i * interval '1 hour', 'template', 'r' || i, 'create', 200 FROM generate_series(0, $1 - 1) AS i`, n, last)
}

func partitionOf(t *testing.T, pool *pgxpool.Pool, id uuid.UUID) string {
	t.Helper()
	return query[string](t, pool, "SELECT tableoid::regclass::text FROM audit_logs WHERE id = $1", id)
}

func maintenance(t *testing.T, pool *pgxpool.Pool) *postgres.Maintenance {
	t.Helper()
	m, err := postgres.StartMaintenance(t.Context(), pool)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestPartitionsOfAFreshDatabase(t *testing.T) {
	pool := migrated(t)
	now := postgres.Month(time.Now())
	for _, table := range postgres.LogTables {
		parts, err := postgres.Partitions(t.Context(), pool, table)
		require.NoError(t, err)
		require.Len(t, parts, 6, table)
		for i, p := range parts[:5] {
			require.Equal(t, now.AddDate(0, i-1, 0), p.From)
			require.Equal(t, now.AddDate(0, i, 0), p.To)
		}
		require.Equal(t, postgres.Partition{Name: table.Name + "_default", Default: true}, parts[5])
	}
}

// A row of whatever time is taken, and found.
func TestNoTimeIsOutOfRange(t *testing.T) {
	pool := migrated(t)
	for _, at := range []string{"0001-01-01Z", "1970-01-01Z", "9999-12-31Z"} {
		id := uuid.New()
		exec(t, pool, `INSERT INTO audit_logs (id, time, resource_type, resource_target, action, status_code)
			VALUES ($1, $2::text::timestamptz, 'template', 'x', 'create', 200)`, id, at)
		require.Equal(t, "audit_logs_default", partitionOf(t, pool, id))
	}
}

func TestMakeMonths(t *testing.T) {
	pool := migrated(t)
	now := postgres.Month(time.Now()).AddDate(0, 0, 14)
	far := now.AddDate(0, 7, 0)
	inFar := addLog(t, pool, far)
	sparse := addLog(t, pool, now.AddDate(-3, 0, 0))
	old := time.Date(2020, 2, 29, 23, 0, 0, 0, time.UTC) // a leap year's
	addLogs(t, pool, 1200, old)                          // of two months, one with less than a thousand
	dense := uuid.New()
	exec(t, pool, insertLog, dense, time.Date(2020, 1, 31, 23, 59, 59, 999999000, time.UTC), "x")
	before := query[int](t, pool, "SELECT count(*) FROM audit_logs")

	m := maintenance(t, pool)
	_, err := postgres.StartMaintenance(t.Context(), pool)
	require.ErrorIs(t, err, postgres.ErrMaintained)
	made, err := m.MakeMonths(t.Context(), postgres.AuditLogTable, now, time.Time{}, 3)
	require.NoError(t, err)
	require.Equal(t, postgres.MonthsMade{Partitions: []string{}, Left: []string{}}, made)

	addLogs(t, pool, 600, old.AddDate(0, 0, -5)) // now January has enough
	before += 600
	made, err = m.MakeMonths(t.Context(), postgres.AuditLogTable, now, time.Time{}, 3)
	require.NoError(t, err)
	require.Equal(t, []string{"audit_logs_2020_02"}, made.Partitions)
	require.Equal(t, query[int64](t, pool, "SELECT count(*) FROM audit_logs_2020_02"), made.Moved)
	require.Equal(t, "audit_logs_default", partitionOf(t, pool, dense))

	// Its month comes near.
	made, err = m.MakeMonths(t.Context(), postgres.AuditLogTable, now.AddDate(0, 4, 0), time.Time{}, 3)
	require.NoError(t, err)
	require.Len(t, made.Partitions, 4)
	require.Equal(t, int64(1), made.Moved)
	require.Equal(t, "audit_logs_"+far.Format("2006_01"), partitionOf(t, pool, inFar))
	require.Equal(t, "audit_logs_default", partitionOf(t, pool, sparse))
	require.Equal(t, before, query[int](t, pool, "SELECT count(*) FROM audit_logs"))

	// Partitions are alike, whenever they were made.
	require.Zero(t, query[int](t, pool, `SELECT count(*) FROM (SELECT count(*) AS n FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indrelid
		WHERE h.inhparent = 'audit_logs'::regclass GROUP BY h.inhrelid) AS x WHERE n <> (SELECT count(*) FROM pg_index WHERE indrelid = 'audit_logs'::regclass)`))
	require.NoError(t, m.Close())
	require.NoError(t, maintenance(t, pool).Close())
}

func TestRowsAreNotChanged(t *testing.T) {
	pool := migrated(t)
	id := addLog(t, pool, time.Now())
	part := partitionOf(t, pool, id)
	for _, sql := range []string{
		"UPDATE audit_logs SET action = 'login'", "DELETE FROM audit_logs", "TRUNCATE audit_logs", "TRUNCATE audit_logs_default",
		"UPDATE " + part + " SET action = 'login'", "DELETE FROM " + part, "TRUNCATE " + part,
	} {
		_, err := pool.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "42501", pgErr.Code, sql)
	}
	require.Equal(t, "create", query[string](t, pool, "SELECT action FROM audit_logs WHERE id = $1", id))
}

// What events can make of a session is taken, and sealed anew; anything else is not.
func TestConnectionsAreOnlyCompleted(t *testing.T) {
	pool := migrated(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	session, visit := uuid.New(), uuid.New()
	exec(t, pool, `INSERT INTO connection_logs (id, connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type, connection_id)
		VALUES ($1, $2, $3, $3, $3, 'w', 'a', 'ssh', $1)`, session, now, orgA)
	exec(t, pool, `INSERT INTO connection_logs (id, connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type)
		VALUES ($1, $2, $3, $3, $3, 'w', 'a', 'workspace_app')`, visit, now, orgA)
	refused := func(id uuid.UUID, sets ...string) {
		for _, set := range sets {
			_, err := pool.Exec(t.Context(), "UPDATE connection_logs SET "+set+" WHERE id = $1", id)
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr, set)
			require.Equal(t, "42501", pgErr.Code, set)
		}
	}
	written := func() int64 {
		return query[int64](t, pool, "SELECT written_in FROM connection_logs WHERE id = $1", session)
	}
	refused(visit, "code = 200", "workspace_name = 'other'", "connection_id = id", "connect_time = connect_time - interval '1 day'")
	refused(session, "id = gen_random_uuid()", "connection_id = NULL", "connection_id = gen_random_uuid()", "agent_name = 'b'",
		"workspace_id = gen_random_uuid()", "user_agent = 'x'", "slug_or_port = 'x'", "connect_time = connect_time + interval '1 second'")
	first := written()
	exec(t, pool, "UPDATE connection_logs SET agent_name = agent_name, written_in = 1 WHERE id = $1", session)
	require.Equal(t, first, written())
	exec(t, pool, "UPDATE connection_logs SET disconnect_time = $2, code = 0, disconnect_reason = 'bye' WHERE id = $1", session, now.Add(time.Hour))
	second := written()
	require.Greater(t, second, first, "it is to be sealed again")
	refused(session, "code = NULL", "disconnect_time = NULL", "disconnect_reason = NULL", "disconnect_time = disconnect_time + interval '1 second'")
	exec(t, pool, "UPDATE connection_logs SET disconnect_time = $2, code = 1 WHERE id = $1", session, now.Add(time.Minute))
	// The disconnect came first; the connect is of last month.
	exec(t, pool, "UPDATE connection_logs SET connect_time = $2, ip = '10.0.0.1' WHERE id = $1", session, postgres.Month(now).AddDate(0, 0, -1))
	require.Greater(t, written(), second)
	require.Equal(t, 2, query[int](t, pool, "SELECT count(*) FROM connection_logs"))
	for _, sql := range []string{"DELETE FROM connection_logs", "TRUNCATE connection_logs"} {
		_, err := pool.Exec(t.Context(), sql)
		require.ErrorContains(t, err, "not to be changed or deleted")
	}
}

// writers insert rows of times around now until stop, and remember those that
// were committed.
type writers struct {
	wg   sync.WaitGroup
	stop atomic.Bool
	mu   sync.Mutex
	ids  map[uuid.UUID]time.Time
	errs []error
}

func startWriters(pool *pgxpool.Pool, n int, at func(*rand.Rand) time.Time) *writers {
	w := &writers{ids: map[uuid.UUID]time.Time{}}
	for i := range n {
		w.wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for !w.stop.Load() {
				id, when := uuid.New(), at(r)
				_, err := pool.Exec(context.Background(), insertLog, id, when, "meanwhile")
				w.mu.Lock()
				if err != nil {
					w.errs = append(w.errs, err)
				} else {
					w.ids[id] = when
				}
				w.mu.Unlock()
			}
		})
	}
	return w
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ids)
}

func (w *writers) end(t *testing.T) {
	t.Helper()
	w.stop.Store(true)
	w.wg.Wait()
	require.NoError(t, errors.Join(w.errs...))
	require.NotEmpty(t, w.ids)
}

// logIDs are the ids of all rows; none may come twice.
func logIDs(t *testing.T, pool *pgxpool.Pool) map[uuid.UUID]bool {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT id FROM audit_logs")
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	set := map[uuid.UUID]bool{}
	for _, id := range ids {
		require.False(t, set[id], "twice: %s", id)
		set[id] = true
	}
	return set
}

// readers count the rows that were there at first, again and again.
func startReaders(pool *pgxpool.Pool, sql string, want int) (end func(*testing.T)) {
	var stop atomic.Bool
	errs, times := make(chan error, 1), 0
	go func() {
		for !stop.Load() {
			var n int
			err := pool.QueryRow(context.Background(), sql).Scan(&n)
			if err == nil && n != want {
				err = fmt.Errorf("read %d rows, want %d", n, want)
			}
			if err != nil {
				errs <- err
				return
			}
			times++
		}
		errs <- nil
	}()
	return func(t *testing.T) {
		t.Helper()
		stop.Store(true)
		require.NoError(t, <-errs)
		require.Positive(t, times)
	}
}

// The state of the first migrations, with rows in it and others written and read
// meanwhile.
func TestPartitioningLosesNoRow(t *testing.T) {
	pool := open(t)
	require.NoError(t, postgres.MigrateTo(t.Context(), pool, discard, 10))
	now := time.Now().UTC()
	const rows = 20_000
	addLogs(t, pool, rows, now)
	future, far := addLog(t, pool, now.AddDate(0, 2, 0)), addLog(t, pool, now.AddDate(9, 0, 0))
	exec(t, pool, "UPDATE audit_logs SET resource_target = 'at first'")
	// What an interrupted attempt leaves.
	exec(t, pool, "ALTER TABLE audit_logs ADD COLUMN written_in bigint NOT NULL DEFAULT 0")
	exec(t, pool, "CREATE INDEX audit_logs_key ON audit_logs (id)")
	exec(t, pool, "CREATE ROLE reader_of_partitions")
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP OWNED BY reader_of_partitions; DROP ROLE reader_of_partitions")
		require.NoError(t, err)
	})
	exec(t, pool, "GRANT SELECT ON audit_logs TO reader_of_partitions")
	before := logIDs(t, pool)

	w := startWriters(pool, 3, func(r *rand.Rand) time.Time { return now.Add(time.Duration(r.IntN(200)-100) * 24 * time.Hour) })
	endReading := startReaders(pool, "SELECT count(*) FROM audit_logs WHERE resource_target = 'at first'", rows+2)
	require.Eventually(t, func() bool { return w.count() > 50 }, 20*time.Second, time.Millisecond)
	require.NoError(t, postgres.Migrate(t.Context(), pool, discard))
	n := w.count()
	require.Eventually(t, func() bool { return w.count() > n+50 }, 20*time.Second, time.Millisecond)
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
	require.Equal(t, "audit_logs_"+now.AddDate(0, 2, 0).Format("2006_01"), partitionOf(t, pool, future))
	require.Equal(t, "audit_logs_default", partitionOf(t, pool, far))
	require.True(t, query[bool](t, pool, "SELECT has_table_privilege('reader_of_partitions', 'audit_logs', 'SELECT')"))
	parts, err := postgres.Partitions(t.Context(), pool, postgres.AuditLogTable)
	require.NoError(t, err)
	require.Equal(t, "audit_logs_unpartitioned", parts[0].Name)
	require.Equal(t, postgres.Month(now.Add(48*time.Hour)).AddDate(0, 1, 0), parts[0].To)
	// No index was built a second time, and none is missing.
	require.Equal(t, query[int](t, pool, "SELECT count(*) FROM pg_index WHERE indrelid = 'audit_logs'::regclass"),
		query[int](t, pool, "SELECT count(*) FROM pg_index WHERE indrelid = 'audit_logs_unpartitioned'::regclass AND indisvalid"))
	_, err = pool.Exec(t.Context(), "DELETE FROM audit_logs_unpartitioned")
	require.ErrorContains(t, err, "not to be changed")

	// A second one finds nothing to do.
	exec(t, pool, "DELETE FROM goose_db_version WHERE version_id >= 11")
	require.NoError(t, postgres.MigrateTo(t.Context(), pool, discard, 11))
}

// The log is not read while it is locked, if no row is of a time far ahead.
func TestPartitioningOfABigTableIsShort(t *testing.T) {
	address, err := pgx.ParseConfig(pgtest.URL(t))
	require.NoError(t, err)
	pool, err := postgres.Open(t.Context(), address.ConnString())
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, postgres.MigrateTo(t.Context(), pool, discard, 10))
	now := time.Now().UTC()
	addLogs(t, pool, 5000, now)
	db := postgres.NewDB(pool)
	out := db.WriteBatches(t.Context(), []audit.Batch{{Connections: []audit.ConnectionEvent{connect(1, 0), web("app")}}})
	require.NoError(t, out[0].Err)
	// What an interrupted attempt leaves, of another month.
	exec(t, pool, "ALTER TABLE audit_logs ADD CONSTRAINT partitioned_until CHECK (time < '2200-01-01Z') NOT VALID")

	exec(t, pool, "ALTER DATABASE "+pgx.Identifier{address.Database}.Sanitize()+" SET client_min_messages = debug1")
	config := pool.Config().Copy()
	var mu sync.Mutex
	var notices []string
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		mu.Lock()
		defer mu.Unlock()
		notices = append(notices, n.Message)
	}
	talkative, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer talkative.Close()
	// Events are written meanwhile, as far ahead as the API takes them.
	w := startWriters(pool, 2, func(r *rand.Rand) time.Time { return now.Add(time.Duration(r.IntN(100*24)-99*24) * time.Hour) })
	require.NoError(t, postgres.Migrate(t.Context(), talkative, discard))
	w.end(t)
	mu.Lock()
	defer mu.Unlock()
	for _, log := range postgres.LogTables {
		require.Contains(t, notices, fmt.Sprintf("partition constraint for table %q is implied by existing constraints", log.Name+"_unpartitioned"))
	}
	require.Equal(t, 5000+len(w.ids), query[int](t, pool, "SELECT count(*) FROM audit_logs"))
	require.Equal(t, 2, query[int](t, pool, "SELECT count(*) FROM connection_logs"))
	require.Zero(t, query[int](t, pool, "SELECT count(*) FROM pg_constraint WHERE conname = 'partitioned_until'"))
	// The session's row is found where it is now.
	writeConnections(t, pool, disconnect(1, 5, new(int32(0)), "bye"))
	require.Len(t, connectionRows(t, pool, 1), 1)
	addLog(t, pool, now.AddDate(5, 0, 0))
}

// A batch that was on its way to the default partition when its month got one of its
// own is written all the same.
func TestABatchMeetsANewMonth(t *testing.T) {
	pool := migrated(t)
	month := postgres.Month(start.AddDate(-3, 0, 0))
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "LOCK TABLE audit_logs_default IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	e := event("x")
	e.Time = month.AddDate(0, 0, 5)
	written := make(chan error, 1)
	go func() {
		written <- postgres.NewDB(pool).WriteBatches(context.Background(), []audit.Batch{{Audit: []audit.Event{e}}})[0].Err
	}()
	require.Eventually(t, func() bool {
		return query[bool](t, pool, "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'audit_logs_default'::regclass AND NOT granted)")
	}, time.Minute, 10*time.Millisecond)
	for _, sql := range []string{
		"CREATE TABLE new_month (LIKE audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
		fmt.Sprintf("ALTER TABLE audit_logs ATTACH PARTITION new_month FOR VALUES FROM ('%s') TO ('%s')", month.Format(time.RFC3339), month.AddDate(0, 1, 0).Format(time.RFC3339)),
	} {
		_, err = tx.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-written)
	require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM new_month"))
}
