package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// An arbitrary number that stands for maintaining the logs.
	maintenanceLock = 7236154022

	// While a lock is waited for, those who come later wait behind it. So a wait
	// is short, and is tried again later.
	lockTimeout  = time.Second
	lockTries    = 20
	lockInterval = 250 * time.Millisecond

	// A month is moved out of the default partition in one transaction, during
	// which queries wait: half a second for each 10,000 rows or so.
	mostMovedRows = 100_000
	// A month with fewer rows than this in the default partition stays there: each
	// partition costs every query some planning.
	fewestRowsOfMonth = 1000
)

// ErrMaintained says that another session maintains the logs.
var ErrMaintained = errors.New("another session maintains the logs")

// Maintenance is the right to change how logs are stored. One session of a
// database has it at a time, whoever else asks.
//
// All of its statements run on the connection that holds the lock: when that is
// lost, so is the right.
type Maintenance struct{ conn *pgx.Conn }

// StartMaintenance takes the right, or returns ErrMaintained. The database has to
// be migrated, and the user to own its tables.
func StartMaintenance(ctx context.Context, pool *pgxpool.Pool) (*Maintenance, error) {
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connecting for maintenance: %w", err)
	}
	m := &Maintenance{conn}
	if _, err := conn.Exec(ctx, sealSession); err != nil {
		return nil, errors.Join(queryError(ctx, "beginning maintenance", err), m.Close())
	}
	var locked bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(maintenanceLock)).Scan(&locked); err != nil {
		return nil, errors.Join(queryError(ctx, "taking the lock of the maintenance", err), m.Close())
	}
	if !locked {
		return nil, errors.Join(ErrMaintained, m.Close())
	}
	return m, nil
}

// Close gives the right back.
func (m *Maintenance) Close() error {
	// Also after the context of the work is over.
	ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
	defer cancel()
	// The end of the connection gives it back too, but some time after Close.
	_, err := m.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	if m.conn.IsClosed() {
		err = nil
	}
	return errors.Join(err, m.conn.Close(ctx))
}

// within runs a step in a transaction that waits but shortly for locks, and again
// if it did not get one.
func (m *Maintenance) within(ctx context.Context, doing string, step func(pgx.Tx) error) error {
	return whenUnlocked(ctx, doing, func() error {
		return pgx.BeginFunc(ctx, m.conn, func(tx pgx.Tx) error {
			if err := waitShortly(ctx, tx); err != nil {
				return err
			}
			return step(tx)
		})
	})
}

func waitShortly(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", fmt.Sprint(lockTimeout.Milliseconds()))
	return err
}

// whenUnlocked runs a step until a lock that it needs is to be had.
func whenUnlocked(ctx context.Context, doing string, step func() error) error {
	for try := 1; ; try++ {
		err := step()
		if !Locked(err) || try == lockTries {
			return queryError(ctx, doing, err)
		}
		select {
		case <-ctx.Done():
			return queryError(ctx, doing, err)
		case <-time.After(lockInterval):
		}
	}
}

// Locked reports whether a step was not done, and may be another time, because a lock
// that it needs was held by others for long.
func Locked(err error) bool {
	var pgErr *pgconn.PgError
	// 55P03: lock_not_available, 40P01: deadlock_detected
	return errors.As(err, &pgErr) && (pgErr.Code == "55P03" || pgErr.Code == "40P01")
}

// MonthsMade says what was done about the partitions of a log.
type MonthsMade struct {
	Partitions []string `json:"partitions"` // made
	// Rows that were in the default partition, and now are in one of these.
	Moved int64 `json:"moved"`
	// Months that should have partitions and have too many rows in the default
	// one to be moved at once. They stay there, and are found there.
	Left []string `json:"left"`
}

// MakeMonths makes the partitions of the last month, this one, and as many after
// it as ahead says; and those of other months that have many rows in the default
// partition. Rows of another month stay in the default partition. Months before
// since get no partition: their rows are to be purged.
func (m *Maintenance) MakeMonths(ctx context.Context, t LogTable, now, since time.Time, ahead int) (MonthsMade, error) {
	made := MonthsMade{Partitions: []string{}, Left: []string{}}
	parts, err := Partitions(ctx, m.conn, t)
	if err != nil {
		return made, err
	}
	first, last := Month(now).AddDate(0, -1, 0), Month(now).AddDate(0, ahead, 0)
	since = Month(since)
	months := []time.Time{}
	for month := first; !month.After(last); month = month.AddDate(0, 1, 0) {
		months = append(months, month)
	}
	others, err := m.monthsOfDefault(ctx, t, first)
	if err != nil {
		return made, err
	}
	for _, month := range append(months, others...) {
		covered := month.Before(since)
		for _, p := range parts {
			covered = covered || p.covers(month)
		}
		if covered {
			continue
		}
		name := t.partitionOf(month)
		var moved int64
		addTo := func(whole bool) error {
			return m.within(ctx, "making the partition "+name, func(tx pgx.Tx) (err error) {
				moved, err = addMonth(ctx, tx, t, month, mostMovedRows, whole)
				return err
			})
		}
		err := addTo(false)
		if errors.Is(err, errMove) {
			err = addTo(true)
		}
		switch {
		case errors.Is(err, errTooMany):
			made.Left = append(made.Left, name)
		case err != nil:
			return made, err
		default:
			made.Partitions = append(made.Partitions, name)
			made.Moved += moved
		}
	}
	return made, nil
}

// monthsOfDefault are the months before one that have many rows in the default
// partition. A month in the far future waits there until its time comes.
func (m *Maintenance) monthsOfDefault(ctx context.Context, t LogTable, before time.Time) ([]time.Time, error) {
	rows, err := m.conn.Query(ctx, fmt.Sprintf(`SELECT date_trunc('month', %[1]s, 'UTC') FROM %[2]s
		WHERE %[1]s < $1 GROUP BY 1 HAVING count(*) >= $2 ORDER BY 1`, quote(t.Time), quote(t.defaultPartition())),
		before, fewestRowsOfMonth)
	if err != nil {
		return nil, queryError(ctx, "looking into the default partition of "+t.Name, err)
	}
	months, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	return months, queryError(ctx, "looking into the default partition of "+t.Name, err)
}
