package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// What the server keeps beside the logs is of no use once their rows are purged.
// Rows that somebody writes are left for another time.
const (
	// Sessions whose row is gone. An event that comes yet makes a new row, with what
	// that event says.
	//
	// An event may come between the look and the lock, whose row the look does not see.
	// It has made another version of the session, with a ctid that this statement can't
	// see either: so that session stays. Without the ctid it would be deleted, for only
	// the session is looked at anew, not the log.
	forgetSessions = `
DELETE FROM connection_sessions WHERE ctid = ANY(ARRAY(
	SELECT s.ctid FROM connection_sessions AS s
	WHERE s.connect_time < $1 AND NOT EXISTS (SELECT FROM connection_logs AS l WHERE l.id = s.id AND l.connect_time = s.connect_time)
	ORDER BY s.connect_time LIMIT $2 FOR UPDATE SKIP LOCKED))`

	// Resources that were deleted before, and that no row speaks of.
	forgetResources = `
DELETE FROM resources WHERE ctid = ANY(ARRAY(
	SELECT r.ctid FROM resources AS r
	WHERE r.deleted AND r.deleted_at < $1 AND coalesce(r.named_at < $1, true) AND coalesce(r.owned_at < $1, true)
		AND NOT EXISTS (SELECT FROM audit_logs AS l WHERE l.resource_id = r.id AND l.resource_type = r.kind)
	ORDER BY r.deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED))`
)

// ForgetSessions forgets at most so many of the sessions that began before a time
// and whose rows are purged.
func (m *Maintenance) ForgetSessions(ctx context.Context, before time.Time, most int) (int64, error) {
	return m.forget(ctx, "forgetting sessions of connections", forgetSessions, before, most)
}

// ForgetResources forgets at most so many of the resources that were deleted before
// a time and that the audit log does not speak of any more.
func (m *Maintenance) ForgetResources(ctx context.Context, before time.Time, most int) (int64, error) {
	return m.forget(ctx, "forgetting resources", forgetResources, before, most)
}

// ForgetBatches forgets at most so many of the batches whose keys are expired.
// Those who write do so as well, for as long as anybody does.
func (m *Maintenance) ForgetBatches(ctx context.Context, most int) (int64, error) {
	return m.forget(ctx, "forgetting idempotency keys", forgetExpired, most)
}

func (m *Maintenance) forget(ctx context.Context, doing, sql string, args ...any) (n int64, err error) {
	err = m.within(ctx, doing, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// Analyze tells the planner what the log as a whole is like, which PostgreSQL does
// by itself for its partitions alone.
func (m *Maintenance) Analyze(ctx context.Context, t LogTable) error {
	return whenUnlocked(ctx, "analyzing "+t.Name, func() error {
		_, err := m.conn.Exec(ctx, "ANALYZE "+quote(t.Name))
		return err
	})
}
