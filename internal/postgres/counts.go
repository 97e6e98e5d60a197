package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

// countBudget is how many rows are looked at for a count that no index serves.
const countBudget = 20_000

// How long a capped count of all rows may take before the newest are counted: where
// an index may serve the search, and where none does, which finds many or takes long.
const (
	servedCountLimit   = 250 * time.Millisecond
	unservedCountLimit = 50 * time.Millisecond
)

// CountAuditLogs is the number of audit logs that are both authorized and found.
func (db *DB) CountAuditLogs(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, how audit.Counting) (audit.Count, error) {
	return db.count(ctx, "counting audit logs", auditquery.AuditLogs(), authorized, search, how)
}

// CountConnections is the number of connection logs that are both authorized and
// found.
func (db *DB) CountConnections(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, how audit.Counting) (audit.Count, error) {
	return db.count(ctx, "counting connection logs", auditquery.ConnectionLogs(), authorized, search, how)
}

// count counts all rows if they are quick to find, else the newest ones. A count
// that takes too long is 0, and a lower bound like any other.
func (db *DB) count(ctx context.Context, doing string, of auditquery.Log, authorized sqlgen.Filter, search sqlgen.Predicate, how audit.Counting) (audit.Count, error) {
	all, limit := audit.Count{Cap: how.Cap}, how.Limit
	shape := auditquery.ShapeOf(of, authorized, search)
	switch {
	case how.Exact:
		all.Cap = 0
	case shape.Tested && shape.Served:
		limit = min(limit, servedCountLimit)
	case shape.Tested:
		limit = min(limit, unservedCountLimit)
	}
	text, args, ok := auditquery.CappedCount(of, authorized, search, all.Cap)
	if !ok {
		return all, nil
	}
	err := db.countWithin(ctx, limit, doing, text, args, &all.Rows)
	if !errors.Is(err, ErrLimit) {
		return all, err
	}
	newest := audit.Count{Cap: how.Cap}
	if !how.Exact && !shape.Tested { // no row is tested: it is the same statement again
		newest.LowerBound = true
		return newest, nil
	}
	text, args, ok = auditquery.BudgetedCount(of, authorized, search, how.Cap, countBudget)
	if !ok {
		return newest, nil
	}
	err = db.countWithin(ctx, how.Within, doing, text, args, &newest.Rows, &newest.LowerBound)
	if errors.Is(err, ErrLimit) {
		return audit.Count{Cap: how.Cap, LowerBound: true}, nil
	}
	if how.Exact && newest.Rows > how.Cap {
		newest.LowerBound = true
	}
	return newest, err
}

// countWithin reads a count. The error is ErrLimit when the time passed.
func (db *DB) countWithin(ctx context.Context, limit time.Duration, doing, text string, args []any, into ...any) error {
	return queryError(ctx, doing, Within(ctx, db.pool, limit, text, args, func(rows pgx.Rows) error {
		_, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, row.Scan(into...) })
		return err
	}))
}
