package maintain_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
	"github.com/rowfence/rowfence/sqlgen"
)

// told is what the writers were told is written, of what is to be kept.
type told struct {
	mu       sync.Mutex
	logs     map[uuid.UUID]bool
	sessions map[uuid.UUID]time.Time // connection id → connect time
	errs     []error
}

func (w *told) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, err)
}

// enough is whether the writers got to write while others worked, or failed.
func (w *told) enough() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.errs) > 0 || len(w.sessions) >= 20
}

// ingest writes batches of both logs as the API does, each of them sometimes twice,
// and the ends of sessions sometimes before their beginnings.
func (w *told) ingest(db *postgres.DB, r *rand.Rand, now, cutoff time.Time) error {
	at := func() time.Time { return now.Add(-time.Duration(r.IntN(100*24)-20) * time.Hour) }
	logs := audit.Batch{Once: &audit.Once{UserID: uuid.UUID{1}, Key: uuid.NewString(), Fingerprint: sha256.Sum256([]byte("x"))}}
	for range 1 + r.IntN(20) {
		logs.Audit = append(logs.Audit, audit.Event{
			ID: uuid.Must(uuid.NewV7()), Time: at(), ResourceType: "workspace", ResourceID: uuid.New(), ResourceTarget: "meanwhile",
			Action: []string{"create", "delete"}[r.IntN(2)], StatusCode: 200, Diff: []byte("{}"), AdditionalFields: []byte("{}"),
		})
	}
	place := audit.Place{OrganizationID: uuid.UUID{1}, WorkspaceOwnerID: uuid.UUID{2}, WorkspaceID: uuid.UUID{3}, WorkspaceName: "w", AgentName: "a", Type: "ssh"}
	connect := audit.ConnectionEvent{ConnectionID: uuid.New(), Time: at(), Place: place}
	disconnect := connect
	disconnect.Disconnect, disconnect.Time, disconnect.Code = true, connect.Time.Add(time.Hour), new(int32)
	halves := []audit.ConnectionEvent{connect, disconnect}
	if r.IntN(2) == 0 {
		halves[0], halves[1] = halves[1], halves[0]
	}
	for i, b := range []audit.Batch{logs, {Connections: halves[:1]}, logs, {Connections: halves[1:]}, {Connections: halves}} {
		out := db.WriteBatches(context.Background(), []audit.Batch{b})
		if out[0].Err != nil {
			return out[0].Err
		}
		if i == 2 && !out[0].Receipt.Repeated {
			return errors.New("a batch was written twice")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range logs.Audit {
		if !e.Time.Before(cutoff) {
			w.logs[e.ID] = true
		}
	}
	if !connect.Time.Before(cutoff) {
		w.sessions[connect.ConnectionID] = connect.Time
	}
	return nil
}

// walk reads all pages of the audit log from a day on by cursors. Each row comes
// once, in order, and the first ones all come.
func walk(db *postgres.DB, search sqlgen.Predicate, cutoff time.Time, first int) error {
	page, seen, found := auditquery.Page{Limit: 500}, map[uuid.UUID]bool{}, 0
	for {
		logs, _, err := db.AuditLogs(context.Background(), sqlgen.Always(), search, page)
		if err != nil {
			return err
		}
		for _, l := range logs {
			if seen[l.ID] {
				return fmt.Errorf("row %s came twice", l.ID)
			}
			seen[l.ID] = true
			if l.ResourceTarget == "at first" && !l.Time.Before(cutoff) {
				found++
			}
		}
		if len(logs) < page.Limit {
			if found != first {
				return fmt.Errorf("%d of the first %d rows came", found, first)
			}
			return nil
		}
		last := logs[len(logs)-1]
		page.From = &auditquery.Place{Time: last.Time, ID: last.ID}
	}
}

// Events are written by several servers, pages are read by their cursors, months
// are made and rows moved into them, rows are sealed and purged by several servers,
// all at once. Nothing is lost, and nothing comes twice.
func TestIngestionAndPagingWhileMaintained(t *testing.T) {
	pool := migrated(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	cutoff := now.AddDate(0, 0, -40)
	// Enough in each month that it gets a partition, and the rows are moved.
	exec(t, pool, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code)
		SELECT $1::timestamptz - i * interval '20 minutes', 'template', 'at first', 'create', 200 FROM generate_series(0, 3 * 24 * 150) AS i`, now)
	first := query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE time >= $1", cutoff)
	s, err := auditquery.ParseAudit("date_from:" + cutoff.AddDate(0, 0, -1).Format(time.DateOnly))
	require.NoError(t, err)
	search := s.Predicate(auditquery.Resolved{})

	w := &told{logs: map[uuid.UUID]bool{}, sessions: map[uuid.UUID]time.Time{}}
	var stop atomic.Bool
	var workers sync.WaitGroup
	var walks, runs, moved atomic.Int64
	repeat := func(f func() error) {
		workers.Go(func() {
			for !stop.Load() {
				if err := f(); err != nil {
					w.fail(err)
					return
				}
			}
		})
	}
	for i := range 3 {
		r, db := rand.New(rand.NewPCG(3, uint64(i))), postgres.NewDB(pool)
		repeat(func() error { return w.ingest(db, r, now, cutoff) })
	}
	for range 2 {
		repeat(func() error {
			walks.Add(1)
			return walk(postgres.NewDB(pool), search, cutoff, first)
		})
	}
	// At first months are made while all rows are kept; then what is old is purged.
	keep := maintain.Config{Ahead: 3, Now: func() time.Time { return now }}
	purge := keep
	purge.AuditRetention, purge.ConnectionRetention = now.Sub(cutoff), now.Sub(cutoff)
	for range 2 {
		workers.Go(func() {
			defer stop.Store(true)
			for !stop.Load() && (runs.Load() < 12 || !w.enough()) {
				config := keep
				if runs.Load() >= 3 {
					config = purge
				}
				report, err := maintain.Run(context.Background(), pool, config)
				if err != nil {
					w.fail(err)
					return
				}
				if !report.Busy {
					runs.Add(1)
				}
				for _, l := range report.Logs {
					moved.Add(l.Months.Moved)
				}
			}
		})
	}
	workers.Wait()
	require.NoError(t, errors.Join(w.errs...))
	require.Positive(t, walks.Load())
	require.Positive(t, moved.Load())
	run(t, pool, purge)
	run(t, pool, purge)

	require.Equal(t, first, query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE resource_target = 'at first'"))
	require.Equal(t, len(w.logs), query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE resource_target = 'meanwhile'"))
	ids := make([]uuid.UUID, 0, len(w.logs))
	for id := range w.logs {
		ids = append(ids, id)
	}
	require.Equal(t, len(w.logs), query[int](t, pool, "SELECT count(DISTINCT id) FROM audit_logs WHERE id = ANY($1)", ids))
	require.NotEmpty(t, w.sessions)
	require.Equal(t, len(w.sessions), query[int](t, pool, "SELECT count(*) FROM connection_logs"))
	for id, at := range w.sessions {
		require.Equal(t, 1, query[int](t, pool, `SELECT count(*) FROM connection_logs
			WHERE connection_id = $1 AND connect_time = $2 AND disconnect_time = $2::timestamptz + interval '1 hour' AND code = 0`, id, at))
	}
	// What was kept beside the purged rows is forgotten as well.
	require.Equal(t, len(w.sessions), query[int](t, pool, "SELECT count(*) FROM connection_sessions"))
	require.Zero(t, query[int](t, pool, "SELECT count(*) FROM resources WHERE deleted AND deleted_at < $1", cutoff))
	require.Positive(t, query[int](t, pool, "SELECT count(*) FROM resources WHERE deleted"))
	report := verified(t, pool, seal.Options{})
	require.Equal(t, map[string]int64{"audit_logs": 0, "connection_logs": 0}, report.Unsealed)
}

func TestWhatIsForgotten(t *testing.T) {
	pool := migrated(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	db := postgres.NewDB(pool)
	write := func(b audit.Batch) {
		require.NoError(t, db.WriteBatches(t.Context(), []audit.Batch{b})[0].Err)
	}
	gone, kept, alive := uuid.New(), uuid.New(), uuid.New()
	event := func(resource uuid.UUID, action string, at time.Time) audit.Event {
		return audit.Event{ID: uuid.New(), Time: at, ResourceType: "workspace", ResourceID: resource, ResourceTarget: "w", Action: action,
			StatusCode: 200, Diff: []byte("{}"), AdditionalFields: []byte("{}")}
	}
	old := now.AddDate(0, 0, -50)
	once := &audit.Once{UserID: uuid.UUID{1}, Key: "k"}
	write(audit.Batch{Once: once, Audit: []audit.Event{
		event(gone, "create", old), event(gone, "delete", old.Add(time.Hour)),
		event(kept, "create", old), event(kept, "delete", old.Add(time.Hour)), event(kept, "open", now),
		event(alive, "create", old),
	}})
	place := audit.Place{OrganizationID: uuid.UUID{1}, WorkspaceOwnerID: uuid.UUID{2}, WorkspaceID: uuid.UUID{3}, WorkspaceName: "w", AgentName: "a", Type: "ssh"}
	write(audit.Batch{Connections: []audit.ConnectionEvent{
		{ConnectionID: gone, Time: old, Place: place}, {ConnectionID: kept, Time: now, Place: place},
	}})
	exec(t, pool, "UPDATE ingested_batches SET expires_at = now()")
	report := run(t, pool, maintain.Config{AuditRetention: 24 * time.Hour, ConnectionRetention: 24 * time.Hour})
	require.Equal(t, int64(1), report.Logs[0].Forgotten)
	require.Equal(t, int64(1), report.Logs[1].Forgotten)
	require.Equal(t, int64(1), report.Keys)
	require.Equal(t, 2, query[int](t, pool, "SELECT count(*) FROM resources WHERE id = ANY($1)", []uuid.UUID{kept, alive}))
	require.Equal(t, kept, query[uuid.UUID](t, pool, "SELECT connection_id FROM connection_sessions"))

	// A session that was purged comes back with what is told of it then, once.
	bye := audit.ConnectionEvent{ConnectionID: gone, Time: now, Place: place, Disconnect: true}
	write(audit.Batch{Connections: []audit.ConnectionEvent{bye}})
	write(audit.Batch{Connections: []audit.ConnectionEvent{bye}})
	require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM connection_logs WHERE connection_id = $1", gone))
	run(t, pool, maintain.Config{})
	verified(t, pool, seal.Options{})
}
