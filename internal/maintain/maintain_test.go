package maintain_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

var discard = slog.New(slog.DiscardHandler)

func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), pgtest.URL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, postgres.Migrate(t.Context(), pool, discard))
	return pool
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func query[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// addLogs adds n rows, an hour apart and ending at a time.
func addLogs(t *testing.T, pool *pgxpool.Pool, n int, last time.Time, target string) {
	t.Helper()
	exec(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code)
		SELECT $2::timestamptz - i * interval '1 hour', 'template', $3, 'create', 200 FROM generate_series(0, $1 - 1) AS i`, n, last, target)
}

func run(t *testing.T, pool *pgxpool.Pool, c maintain.Config) maintain.Report {
	t.Helper()
	if c.Ahead == 0 {
		c.Ahead = maintain.DefaultAhead
	}
	report, err := maintain.Run(t.Context(), pool, c)
	require.NoError(t, err)
	require.False(t, report.Busy)
	require.Len(t, report.Logs, 2)
	return report
}

func verified(t *testing.T, pool *pgxpool.Pool, options seal.Options) seal.Report {
	t.Helper()
	report, err := postgres.VerifySeals(t.Context(), pool, options)
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.True(t, report.OK)
	return report
}

func TestRetention(t *testing.T) {
	pool := migrated(t)
	now := postgres.Month(time.Now()).AddDate(0, 0, 14)
	at := func(later time.Duration) func() time.Time { return func() time.Time { return now.Add(later) } }
	const hours = 24 * 150 // five months, of which two have partitions, and two get them
	addLogs(t, pool, hours, now, "x")
	addLogs(t, pool, hours, now, "y")
	exec(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code) VALUES ('1970-01-01Z', 'template', 'ancient', 'create', 200)`)
	exec(t, pool, `INSERT INTO connection_logs (connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type)
		SELECT $1::timestamptz - i * interval '1 day', $2, $2, $2, 'w', 'a', 'ssh' FROM generate_series(1, 100) AS i`, now, uuid.New())

	report := run(t, pool, maintain.Config{Now: at(0)})
	require.Equal(t, int64(2*hours+1), report.Logs[0].Sealed.Rows)
	require.Empty(t, report.Logs[0].Purges)
	verified(t, pool, seal.Options{})
	exec(t, pool, "UPDATE log_seals SET leaves = leaves WHERE false") // a guard is no hindrance to what changes nothing

	keep := maintain.Config{AuditRetention: 60 * 24 * time.Hour, ConnectionRetention: 30 * 24 * time.Hour, Now: at(0)}
	report = run(t, pool, keep)
	cutoff := now.Add(-keep.AuditRetention)
	require.Zero(t, query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE time < $1", cutoff))
	kept := query[int64](t, pool, "SELECT count(*) FROM audit_logs WHERE action = 'create'")
	require.Equal(t, int64(2*(24*60+1)), kept)
	require.Equal(t, 30, query[int](t, pool, "SELECT count(*) FROM connection_logs"))
	l := report.Logs[0]
	require.Equal(t, 2*hours+1-kept, l.PurgedRows)
	var dropped, rows int64
	for _, p := range l.Purges {
		if p.Partition != "" {
			dropped++
		}
		rows += p.Rows
	}
	require.Positive(t, dropped)
	require.Less(t, dropped, int64(len(l.Purges)))
	// Each purge is an audit log, which says what was purged.
	require.Equal(t, len(l.Purges)+len(report.Logs[1].Purges), query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE action = 'delete'"))
	require.Equal(t, rows, query[int64](t, pool, `SELECT sum((additional_fields ->> 'rows')::bigint)::bigint FROM audit_logs WHERE action = 'delete' AND resource_type = 'audit_log'`))
	require.Equal(t, rows+report.Logs[1].PurgedRows, verified(t, pool, seal.Options{}).Purged)

	// Years later nothing but the word of it is left, and the chain still holds.
	keep.Now = at(3 * 365 * 24 * time.Hour)
	run(t, pool, keep)
	run(t, pool, keep)
	require.Zero(t, query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE action = 'create'"))
	require.Zero(t, query[int](t, pool, "SELECT count(*) FROM connection_logs"))
	require.Positive(t, query[int](t, pool, "SELECT count(*) FROM log_seals WHERE kind = 'rows' AND leaves IS NULL"))
	verified(t, pool, seal.Options{})
}

func TestRowsThatAreNotSealedAreNotPurged(t *testing.T) {
	pool := migrated(t)
	// A transaction that is open holds sealing back.
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "SELECT pg_current_xact_id()")
	require.NoError(t, err)
	old := time.Now().AddDate(0, 0, -10)
	addLogs(t, pool, 10, old, "old")
	keep := maintain.Config{AuditRetention: 24 * time.Hour}
	report := run(t, pool, keep)
	require.Zero(t, report.Logs[0].Sealed.Rows)
	require.Zero(t, report.Logs[0].PurgedRows)
	require.Equal(t, map[string]int64{"audit_logs": 10, "connection_logs": 0}, verified(t, pool, seal.Options{}).Unsealed)
	require.NoError(t, tx.Rollback(t.Context()))
	report = run(t, pool, keep)
	require.Equal(t, int64(10), report.Logs[0].PurgedRows)
	verified(t, pool, seal.Options{})
}

// Who reads a log for long, as an export to a slow client does, keeps partitions from
// being dropped, and nothing else from being done.
func TestALockedLogIsSealedAllTheSame(t *testing.T) {
	t.Parallel() // it waits for the lock as long as maintenance does
	pool := migrated(t)
	now := postgres.Month(time.Now()).AddDate(0, 0, 14)
	old := now.AddDate(0, -3, 0)
	for range 4 {
		addLogs(t, pool, 300, old, "old") // in one month, which gets a partition
	}
	keep := maintain.Config{Key: newKey(t), Ahead: maintain.DefaultAhead, Now: func() time.Time { return now }}
	run(t, pool, keep)
	addLogs(t, pool, 5, now, "new")
	exec(t, pool, `INSERT INTO connection_logs (connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type)
		VALUES ($1, $2, $2, $2, 'w', 'a', 'ssh')`, now, uuid.New())
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "DECLARE export CURSOR FOR SELECT id FROM audit_logs")
	require.NoError(t, err)

	keep.AuditRetention = 31 * 24 * time.Hour
	report, err := maintain.Run(t.Context(), pool, keep)
	require.True(t, postgres.Locked(err), err)
	require.Len(t, report.Logs, 2)
	require.Equal(t, int64(5), report.Logs[0].Sealed.Rows)
	require.Zero(t, report.Logs[0].PurgedRows)
	require.Equal(t, int64(1), report.Logs[1].Sealed.Rows)
	require.NotNil(t, report.Checkpoint)
	require.Equal(t, query[int64](t, pool, "SELECT max(id) FROM log_seals"), report.Checkpoint.N)
	require.NoError(t, tx.Rollback(t.Context()))
	purges := run(t, pool, keep).Logs[0].Purges
	require.Len(t, purges, 1)
	require.Equal(t, int64(1200), purges[0].Rows)
	require.NotEmpty(t, purges[0].Partition)
}

func TestOneMaintains(t *testing.T) {
	pool := migrated(t)
	m, err := postgres.StartMaintenance(t.Context(), pool)
	require.NoError(t, err)
	report, err := maintain.Run(t.Context(), pool, maintain.Config{Ahead: 1})
	require.NoError(t, err)
	require.True(t, report.Busy)
	require.NoError(t, m.Close())
	run(t, pool, maintain.Config{Ahead: 1})
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		config maintain.Config
		want   string
	}{
		{maintain.Config{Ahead: 3, AuditRetention: time.Minute}, "retention of 1m0s for the audit log"},
		{maintain.Config{Ahead: 3, ConnectionRetention: -time.Hour}, "retention of -1h0m0s for the connection log"},
		{maintain.Config{}, "0 months ahead"},
		{maintain.Config{Ahead: 3, CheckpointFile: "x"}, "needs a signing key"},
	} {
		require.ErrorContains(t, c.config.Check(), c.want)
	}
}

// Writers, readers, servers that maintain and a purge, all at once: what is to be
// kept is there, once, all the time; and each row is sealed once.
func TestNothingIsLostOrRepeatedWhileMaintained(t *testing.T) {
	pool := migrated(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	const keepDays = 40
	addLogs(t, pool, 24*200, now, "at first")
	cutoff := now.AddDate(0, 0, -keepDays)
	keptAtFirst := query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE time >= $1", cutoff)

	var (
		stop    atomic.Bool
		workers sync.WaitGroup
		mu      sync.Mutex
		kept    = map[uuid.UUID]bool{}
		errs    []error
		reads   int
	)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	for i := range 3 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(i)))
			for !stop.Load() {
				// Late ones, also of before the cutoff, and some of the future.
				id, at := uuid.New(), now.Add(-time.Duration(r.IntN(100*24)-48)*time.Hour)
				tx, err := pool.Begin(context.Background())
				if err != nil {
					fail(err)
					return
				}
				_, err = tx.Exec(context.Background(), `INSERT INTO audit_logs (id, time, resource_type, resource_target, action, status_code)
					VALUES ($1, $2, 'template', 'meanwhile', 'create', 200)`, id, at)
				if err == nil && r.IntN(4) == 0 {
					_, err = tx.Exec(context.Background(), "SELECT pg_sleep(0.05)") // others pass it
				}
				commit := r.IntN(10) > 0
				if err == nil && commit {
					err = tx.Commit(context.Background())
				} else {
					err = errors.Join(err, tx.Rollback(context.Background()))
				}
				if err != nil {
					fail(err)
					return
				}
				if commit && !at.Before(cutoff) {
					mu.Lock()
					kept[id] = true
					mu.Unlock()
				}
			}
		})
	}
	workers.Go(func() {
		for !stop.Load() {
			var n, distinct int
			err := pool.QueryRow(context.Background(), "SELECT count(*), count(DISTINCT id) FROM audit_logs WHERE resource_target = 'at first' AND time >= $1", cutoff).Scan(&n, &distinct)
			if err == nil && (n != keptAtFirst || distinct != n) {
				err = fmt.Errorf("read %d rows, %d distinct, want %d", n, distinct, keptAtFirst)
			}
			if err != nil {
				fail(err)
				return
			}
			reads++
		}
	})
	var runs, busy int
	config := maintain.Config{AuditRetention: now.Sub(cutoff), Ahead: 3, Now: func() time.Time { return now }}
	for range 2 {
		workers.Go(func() {
			for range 15 {
				report, err := maintain.Run(context.Background(), pool, config)
				if err != nil {
					fail(err)
				}
				mu.Lock()
				runs++
				if report.Busy {
					busy++
				}
				mu.Unlock()
			}
			stop.Store(true)
		})
	}
	workers.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Positive(t, reads)
	require.Greater(t, runs, busy)
	run(t, pool, config)
	report := run(t, pool, config) // seals the purges' own logs

	require.Zero(t, report.Logs[0].PurgedRows)
	require.Equal(t, 0, query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE time < $1", cutoff))
	require.Equal(t, keptAtFirst, query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE resource_target = 'at first'"))
	require.Equal(t, len(kept), query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE resource_target = 'meanwhile'"))
	for id := range kept {
		require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE id = $1", id))
	}
	sealed := verified(t, pool, seal.Options{})
	require.Equal(t, query[int64](t, pool, "SELECT count(*) FROM audit_logs"), sealed.Rows+sealed.Unsealed["audit_logs"])
	require.Equal(t, map[string]int64{"audit_logs": 0, "connection_logs": 0}, sealed.Unsealed)
}

func TestCheckpointsAreAppended(t *testing.T) {
	pool := migrated(t)
	private, public, err := seal.NewKey()
	require.NoError(t, err)
	config := maintain.Config{CheckpointFile: filepath.Join(t.TempDir(), "checkpoints")}
	config.Key, err = seal.ParsePrivateKey(private)
	require.NoError(t, err)
	key, err := seal.ParsePublicKey(public)
	require.NoError(t, err)
	require.Nil(t, run(t, pool, config).Checkpoint, "there is nothing to sign")
	for range 3 {
		addLogs(t, pool, 5, time.Now(), "x")
		require.NotNil(t, run(t, pool, config).Checkpoint)
		require.NotNil(t, run(t, pool, config).Checkpoint, "the same again")
	}
	text, err := os.ReadFile(config.CheckpointFile)
	require.NoError(t, err)
	file, bad, err := seal.ReadCheckpoints(bytes.NewReader(text))
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Len(t, file, 3)
	stored, err := postgres.Checkpoints(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, file, stored)
	report := verified(t, pool, seal.Options{Checkpoints: file, Key: key})
	require.Equal(t, 3, report.Checkpoints)
	require.Equal(t, report.Seals, report.CoveredTo)
}

// What writes that failed left out is made up for by the next one, and half a line is
// completed.
func TestCheckpointsAreMadeUpFor(t *testing.T) {
	pool := migrated(t)
	key := newKey(t)
	path := filepath.Join(t.TempDir(), "checkpoints")
	config := maintain.Config{Key: key, CheckpointFile: path}
	again := func() string {
		t.Helper()
		addLogs(t, pool, 5, time.Now(), "x")
		run(t, pool, config)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var want strings.Builder
		stored, err := postgres.Checkpoints(t.Context(), pool)
		require.NoError(t, err)
		for _, c := range stored {
			line, err := json.Marshal(c)
			require.NoError(t, err)
			want.Write(append(line, '\n'))
		}
		require.Equal(t, want.String(), string(text))
		return string(text)
	}
	require.NoError(t, os.Mkdir(path, 0o755)) // nothing can be written to it
	for range 2 {
		addLogs(t, pool, 5, time.Now(), "x")
		config := config
		config.Ahead = 1
		report, err := maintain.Run(t.Context(), pool, config)
		require.ErrorContains(t, err, "opening the file of checkpoints")
		require.NotNil(t, report.Checkpoint)
	}
	require.NoError(t, os.Remove(path))
	text := again()
	require.Equal(t, 3, strings.Count(text, "\n"))
	for _, left := range []int{0, 1, 20, len(text)/3 - 1, len(text)/3 + 4, len(text) - 1, len(text)} {
		require.NoError(t, os.WriteFile(path, []byte(text[:left]), 0o644))
		text = again()
	}

	// What is on the file and is no checkpoint of the database stays, on its own line.
	require.NoError(t, os.WriteFile(path, []byte(text+`{"n":99,"ha`), 0o644))
	run(t, pool, config)
	with, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text+`{"n":99,"ha`+"\n", string(with))
	lines := strings.SplitAfter(text, "\n")
	lines[1] = strings.Replace(lines[1], `"hash":"`, `"hash":"0`, 1)
	all, bad, err := seal.ReadCheckpoints(strings.NewReader(strings.Join(lines, "") + lines[0][:30]))
	require.NoError(t, err)
	require.Len(t, all, len(lines)-2)
	report, err := postgres.VerifySeals(t.Context(), pool, seal.Options{Checkpoints: all, BadLines: bad, Key: key.Public().(ed25519.PublicKey)})
	require.NoError(t, err)
	require.Len(t, report.Problems, 1, "the torn line is none")
	require.Equal(t, seal.BadCheckpoint, report.Problems[0].Kind)
	require.Contains(t, report.Problems[0].Detail, "line 2")
	require.Equal(t, len(all), report.Checkpoints)
}

// Who may write to the database takes the places of checkpoints to come with an old,
// genuine one: the file must go on to get those that are signed.
func TestMadeUpCheckpointsDoNotKeepOthersOffTheFile(t *testing.T) {
	pool := migrated(t)
	key := newKey(t)
	path := filepath.Join(t.TempDir(), "checkpoints")
	config := maintain.Config{Key: key, CheckpointFile: path}
	addLogs(t, pool, 5, time.Now(), "x")
	run(t, pool, config)
	tamper(t, pool, "INSERT INTO log_checkpoints SELECT i, (SELECT document FROM log_checkpoints ORDER BY id LIMIT 1) FROM generate_series(1, 1000) AS i ON CONFLICT DO NOTHING")
	for range 3 {
		addLogs(t, pool, 5, time.Now(), "to be hidden")
		run(t, pool, config)
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(text), "\n"))
	run(t, pool, config)
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(text), string(again))
	// All that was written since is made away with, and the file tells.
	n := query[int](t, pool, "SELECT min(id) FROM log_checkpoints")
	tamper(t, pool, "DELETE FROM log_seals WHERE id > $1", n)
	tamper(t, pool, "DELETE FROM audit_logs WHERE resource_target = 'to be hidden'")
	all, bad, err := seal.ReadCheckpoints(strings.NewReader(string(text)))
	require.NoError(t, err)
	report, err := postgres.VerifySeals(t.Context(), pool, seal.Options{Checkpoints: all, BadLines: bad, Key: key.Public().(ed25519.PublicKey)})
	require.NoError(t, err)
	require.NotEmpty(t, report.Problems, "%+v", report)
}
