package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

const (
	// exportBatch is how many rows of an export are in memory at a time.
	exportBatch = 1000
	// exportTimeout is for a batch, of which the first may have to wait for a sort of
	// all keys.
	exportTimeout = time.Minute

	// A batch's keys in the place of a page's, and what tells the planner of the
	// partitions that they are in.
	exportedKeys  = `SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS k(id, %s)`
	exportedTimes = ` AND l.%s BETWEEN $3 AND $4`
)

// rowsOf is a pool, or a transaction of it.
type rowsOf interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// ExportAuditLogs gives all audit logs that are both authorized and found, newest
// first, as they are at one instant, in batches of no more than a thousand. Each
// takes four queries. An error of each ends it, and is the result.
func (db *DB) ExportAuditLogs(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, each func([]audit.Log) error) error {
	keys, args, ok := auditquery.AllKeys(auditquery.AuditLogs(), authorized, search, 1)
	if !ok {
		return nil
	}
	return export(ctx, db, keys, args, func(ctx context.Context, q rowsOf, keys []any) ([]audit.Log, error) {
		return auditLogs(ctx, q, ofBatch(auditLogsOfPage, "time"), keys)
	}, each)
}

// ExportConnections is the same of the connection log, with three queries a batch.
func (db *DB) ExportConnections(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, each func([]audit.Connection) error) error {
	keys, args, ok := auditquery.AllKeys(auditquery.ConnectionLogs(), authorized, search, 1)
	if !ok {
		return nil
	}
	return export(ctx, db, keys, args, func(ctx context.Context, q rowsOf, keys []any) ([]audit.Connection, error) {
		return connectionLogs(ctx, q, ofBatch(connectionsOfPage, "connect_time"), keys)
	}, each)
}

// ofBatch is the statement of a page's rows for those of a batch.
func ofBatch(ofPage, time string) string {
	return fmt.Sprintf(ofPage, fmt.Sprintf(exportedKeys, time), fmt.Sprintf(exportedTimes, time))
}

func export[Row any](ctx context.Context, db *DB, keys string, args []any, load func(context.Context, rowsOf, []any) ([]Row, error), each func([]Row) error) error {
	const doing = "exporting a log"
	var tx pgx.Tx
	begin := func(ctx context.Context) (err error) {
		tx, err = db.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		return queryError(ctx, doing, err)
	}
	if err := within(ctx, exportTimeout, begin); err != nil {
		return err
	}
	defer endReading(ctx, tx)
	open := func(ctx context.Context) error {
		_, err := tx.Exec(ctx, "DECLARE export NO SCROLL CURSOR FOR "+keys, args...)
		return queryError(ctx, doing, err)
	}
	if err := within(ctx, exportTimeout, open); err != nil {
		return err
	}
	for {
		var rows []Row
		next := func(ctx context.Context) error {
			found, err := fetch(ctx, tx)
			if err != nil {
				return queryError(ctx, doing, err)
			}
			if len(found.ids) == 0 {
				return nil
			}
			if rows, err = load(ctx, tx, []any{found.ids, found.times, found.times[len(found.times)-1], found.times[0]}); err != nil {
				return err
			}
			// A row that is found and not there would be missing in the file.
			if len(rows) != len(found.ids) {
				return fmt.Errorf("%s: of %d keys there are %d rows", doing, len(found.ids), len(rows))
			}
			return nil
		}
		if err := within(ctx, exportTimeout, next); err != nil || rows == nil {
			return err
		}
		if err := each(rows); err != nil {
			return err
		}
	}
}

// endReading ends a transaction that has nothing to commit, also when ctx is over. A
// database that does not answer costs the connection, and not who waits for it.
func endReading(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer cancel()
	_ = tx.Rollback(ctx)
}

func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

// exported are the keys of a batch.
type exported struct {
	ids   []uuid.UUID
	times []time.Time
}

func fetch(ctx context.Context, tx pgx.Tx) (keys exported, err error) {
	rows, err := tx.Query(ctx, fmt.Sprintf("FETCH %d FROM export", exportBatch))
	if err != nil {
		return keys, err
	}
	var id uuid.UUID
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
		keys.ids, keys.times = append(keys.ids, id), append(keys.times, at)
		return nil
	})
	return keys, err
}
