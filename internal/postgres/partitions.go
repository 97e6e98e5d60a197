package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A LogTable is a log: a table that is partitioned by month of the time column.
type LogTable struct {
	Name string
	Time string // the column whose month says in which partition a row is
}

// The logs.
var (
	AuditLogTable      = LogTable{"audit_logs", "time"}
	ConnectionLogTable = LogTable{"connection_logs", "connect_time"}

	LogTables = []LogTable{AuditLogTable, ConnectionLogTable}
)

// defaultPartition holds the rows whose month has no partition: no time is
// refused for want of one.
func (t LogTable) defaultPartition() string { return t.Name + "_default" }

// unpartitioned is the partition that was the whole table before there were
// partitions.
func (t LogTable) unpartitioned() string { return t.Name + "_unpartitioned" }

func (t LogTable) partitionOf(month time.Time) string {
	return fmt.Sprintf("%s_%04d_%02d", t.Name, month.Year(), month.Month())
}

// Month is the first instant of a time's month in UTC.
func Month(at time.Time) time.Time {
	at = at.UTC()
	return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// A Partition holds the rows of a log with From <= time < To. A zero From or To
// is no bound. The default one has no bounds: it holds what no other one does.
type Partition struct {
	Name     string
	From, To time.Time
	Default  bool
}

func (p Partition) covers(month time.Time) bool {
	return !p.Default && !month.Before(p.From) && (p.To.IsZero() || month.Before(p.To))
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// The bounds are written and read in the session's time zone: it does not matter
// which that is.
const partitionsOf = `
SELECT c.relname::text,
	(regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz,
	(regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz,
	pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = $1::text::regclass
ORDER BY 4, 2 NULLS FIRST`

// Partitions are those of the log in the order of time, the default one last.
func Partitions(ctx context.Context, q querier, t LogTable) ([]Partition, error) {
	rows, err := q.Query(ctx, partitionsOf, t.Name)
	if err != nil {
		return nil, fmt.Errorf("listing the partitions of %s: %w", t.Name, err)
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Partition, error) {
		var p Partition
		var from, to *time.Time
		err := row.Scan(&p.Name, &from, &to, &p.Default)
		p.From, p.To = orZero(from).UTC(), orZero(to).UTC()
		if from == nil {
			p.From = time.Time{}
		}
		if to == nil {
			p.To = time.Time{}
		}
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the partitions of %s: %w", t.Name, err)
	}
	return parts, nil
}

// errTooMany says that more rows would have to be moved than is allowed.
var errTooMany = errors.New("too many rows to move while the default partition is locked")

// errMove says that the default partition has rows of the month.
var errMove = errors.New("rows of the month are to be moved")

// addMonth makes the partition of a month, and moves the rows that the default
// partition has of it, which are most at the utmost. In a transaction: what
// happens to the rows is seen at once.
//
// The partition is made beside the log and attached, because that does not lock
// the log itself. It does lock the default partition, and a query that can't
// rule that out waits. Such a query knows the partitions already: it would miss
// rows that were moved to a new one. So rows are moved only if the whole log is
// locked before; errMove asks for that.
func addMonth(ctx context.Context, tx pgx.Tx, t LogTable, month time.Time, most int64, whole bool) (moved int64, err error) {
	part, from, to := t.partitionOf(month), month, month.AddDate(0, 1, 0)
	columns, err := columnsOf(ctx, tx, t.Name)
	if err != nil {
		return 0, err
	}
	bounds := fmt.Sprintf("FROM ('%s') TO ('%s')", from.Format(time.RFC3339), to.Format(time.RFC3339))
	inMonth := fmt.Sprintf("%[1]s >= '%[2]s' AND %[1]s < '%[3]s'", quote(t.Time), from.Format(time.RFC3339), to.Format(time.RFC3339))
	locked := quote(t.defaultPartition())
	if whole {
		locked = quote(t.Name) + ", " + locked
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+locked+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return 0, err
	}
	var some, many bool
	of := "EXISTS (SELECT FROM " + quote(t.defaultPartition()) + " WHERE " + inMonth
	if err := tx.QueryRow(ctx, "SELECT "+of+"), "+of+" OFFSET $1)", most).Scan(&some, &many); err != nil {
		return 0, err
	}
	switch {
	case many:
		return 0, errTooMany
	case some && !whole:
		return 0, errMove
	}
	list := strings.Join(columns, ", ")
	for _, sql := range []string{
		"CREATE TABLE " + quote(part) + " (LIKE " + quote(t.Name) + " INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)",
		guardTruncate(part),
		allowChanges,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return 0, err
		}
	}
	tag, err := tx.Exec(ctx, "WITH moved AS (DELETE FROM "+quote(t.defaultPartition())+" WHERE "+inMonth+" RETURNING "+list+
		") INSERT INTO "+quote(part)+" ("+list+") SELECT "+list+" FROM moved")
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "ALTER TABLE "+quote(t.Name)+" ATTACH PARTITION "+quote(part)+" FOR VALUES "+bounds); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, refuseChanges)
	return tag.RowsAffected(), err
}

// AddMonths makes the partitions of all months from one time to another that
// have none, in the caller's transaction. It is for who loads rows in bulk: the
// default partition is to have few rows of these months.
func AddMonths(ctx context.Context, tx pgx.Tx, t LogTable, from, to time.Time) error {
	parts, err := Partitions(ctx, tx, t)
	if err != nil {
		return err
	}
	for month := Month(from); !month.After(to); month = month.AddDate(0, 1, 0) {
		if slices.ContainsFunc(parts, func(p Partition) bool { return p.covers(month) }) {
			continue
		}
		if _, err := addMonth(ctx, tx, t, month, mostMovedRows, true); err != nil {
			return fmt.Errorf("making the partition %s: %w", t.partitionOf(month), err)
		}
	}
	return nil
}

// columnsOf are the table's columns in their order, quoted.
func columnsOf(ctx context.Context, q querier, table string) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT quote_ident(attname) FROM pg_attribute
		WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, table)
	if err != nil {
		return nil, fmt.Errorf("listing the columns of %s: %w", table, err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing the columns of %s: %w", table, err)
	}
	return columns, nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
