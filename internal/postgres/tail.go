package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

const (
	// writtenRows are looked at in one go by a tail.
	writtenRows = 1000
	// A horizon that is so old is still one: less is seen, and nothing is missed.
	horizonAge = 300 * time.Millisecond

	// The number of the first transaction that may still be running, as rows have it.
	// Those before it have ended: all that they wrote can be seen, and they write no
	// more. To ask for a number takes one.
	horizonNow = `SELECT log_transaction() - pg_current_xact_id()::text::bigint + pg_snapshot_xmin(pg_current_snapshot())::text::bigint`
)

// A horizon is shared by the tails, so that they need no transaction number each.
type horizon struct {
	mu     sync.Mutex
	number int64
	at     time.Time
}

func (db *DB) horizon(ctx context.Context) (int64, error) {
	h := &db.ended
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) < horizonAge {
		return h.number, nil
	}
	at := time.Now()
	var number int64
	if err := db.pool.QueryRow(ctx, horizonNow).Scan(&number); err != nil {
		return 0, queryError(ctx, "numbering transactions", err)
	}
	h.number, h.at = number, at
	return number, nil
}

// Written is the position behind what transactions wrote that have ended, as have
// all before them.
func (db *DB) Written(ctx context.Context) (auditquery.Position, error) {
	h, err := db.horizon(ctx)
	return auditquery.EndOf(h - 1), err
}

// AuditLogsWritten are the audit logs that are both authorized and found, and were
// written behind a position, as far as no other can come before them any more.
func (db *DB) AuditLogsWritten(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, after auditquery.Position) (audit.Written[audit.Log], error) {
	of := ofBatch(auditLogsOfPage, "time")
	return written(ctx, db, auditquery.AuditLogs(), authorized, search, after,
		func(q rowsOf, args []any) ([]audit.Log, error) { return auditLogs(ctx, q, of, args) },
		func(l audit.Log) uuid.UUID { return l.ID })
}

// ConnectionsWritten is the same of the connection log. A session is written anew
// when more becomes known of it.
func (db *DB) ConnectionsWritten(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, after auditquery.Position) (audit.Written[audit.Connection], error) {
	of := ofBatch(connectionsOfPage, "connect_time")
	return written(ctx, db, auditquery.ConnectionLogs(), authorized, search, after,
		func(q rowsOf, args []any) ([]audit.Connection, error) { return connectionLogs(ctx, q, of, args) },
		func(c audit.Connection) uuid.UUID { return c.ID })
}

func written[Row any](ctx context.Context, db *DB, of auditquery.Log, authorized sqlgen.Filter, search sqlgen.Predicate, after auditquery.Position,
	load func(q rowsOf, args []any) ([]Row, error), idOf func(Row) uuid.UUID) (out audit.Written[Row], err error) {
	const doing = "looking for what was written"
	out.End = after
	ended, err := db.horizon(ctx)
	if err != nil || ended <= after.Transaction {
		return out, err
	}
	// Of one instant, so that a session that is written again is seen as it was when
	// it stood there.
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return out, queryError(ctx, doing, err)
	}
	defer endReading(ctx, tx)
	// So many rows, found or not, and no more: a search that finds few does not read
	// all that was written since a client left.
	var until auditquery.Position
	text, args := auditquery.WrittenUntil(of, after, ended, writtenRows)
	err = tx.QueryRow(ctx, text, args...).Scan(&until.Transaction, &until.Time, &until.ID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		// It is not before the position, which may be within that transaction.
		until = auditquery.EndOf(ended - 1)
		out.End = until
	case err != nil:
		return out, queryError(ctx, doing, err)
	default:
		out.End, out.More = until, true
	}
	text, args, ok := auditquery.WrittenKeys(of, authorized, search, after, until)
	if !ok {
		return out, nil
	}
	found, err := tx.Query(ctx, text, args...)
	if err != nil {
		return out, queryError(ctx, doing, err)
	}
	keys, err := pgx.CollectRows(found, pgx.RowToStructByPos[auditquery.Position])
	if err != nil || len(keys) == 0 {
		return out, queryError(ctx, doing, err)
	}
	rows, err := load(tx, ofPositions(keys))
	if err != nil {
		return out, err
	}
	byID := make(map[uuid.UUID]Row, len(rows))
	for _, row := range rows {
		byID[idOf(row)] = row
	}
	for _, k := range keys {
		row, ok := byID[k.ID]
		if !ok {
			return audit.Written[Row]{}, fmt.Errorf("%s: %s is found and not there", doing, k.ID)
		}
		out.Rows, out.At = append(out.Rows, row), append(out.At, k)
	}
	return out, nil
}

// ofPositions are the arguments of a batch's statement for rows at the positions.
func ofPositions(keys []auditquery.Position) []any {
	ids, times := make([]uuid.UUID, len(keys)), make([]time.Time, len(keys))
	first, last := keys[0].Time, keys[0].Time
	for i, k := range keys {
		ids[i], times[i] = k.ID, k.Time
		if k.Time.Before(first) {
			first = k.Time
		}
		if k.Time.After(last) {
			last = k.Time
		}
	}
	return []any{ids, times, first, last}
}
