package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Purge is what was deleted of a log in one transaction, which writes that into
// the audit log, and into the chain of seals, as well.
type Purge struct {
	Log    string    `json:"log"`
	Before time.Time `json:"before"` // all rows deleted are older than this
	Rows   int64     `json:"rows"`
	// Partition that was dropped; "" where rows were deleted one by one.
	Partition string `json:"partition,omitempty"`
}

// errUnsealed says that rows would be deleted that no seal knows of.
var errUnsealed = errors.New("has rows that are not sealed")

// PurgePartitions drops the log's partitions whose rows are all older than a time.
// One that has rows which are not sealed stays until they are.
func (m *Maintenance) PurgePartitions(ctx context.Context, t LogTable, before time.Time) ([]Purge, error) {
	parts, err := Partitions(ctx, m.conn, t)
	if err != nil {
		return nil, err
	}
	purges := []Purge{}
	for _, p := range parts {
		if p.Default || p.To.IsZero() || p.To.After(before) {
			continue
		}
		purge := Purge{Log: t.Name, Before: p.To, Partition: p.Name}
		counted, horizon, err := m.countEnded(ctx, t, p)
		if err != nil {
			return purges, err
		}
		err = m.within(ctx, "dropping the partition "+p.Name, func(tx pgx.Tx) error {
			// Readers that have begun end first, writers as well: then the rows are
			// those that are sealed, and are counted.
			if _, err := tx.Exec(ctx, "LOCK TABLE "+quote(t.Name)+", "+quote(p.Name)+" IN ACCESS EXCLUSIVE MODE"); err != nil {
				return err
			}
			sealed, err := lastSealed(ctx, tx, t)
			if err != nil {
				return err
			}
			var unsealed bool
			err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+quote(p.Name)+" WHERE (written_in, "+quote(t.Time)+", id) > ($1, $2, $3))", sealed.args()...).Scan(&unsealed)
			if err != nil {
				return err
			}
			if unsealed {
				return errUnsealed
			}
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+quote(p.Name)+" WHERE written_in >= $1", horizon).Scan(&purge.Rows); err != nil {
				return err
			}
			purge.Rows += counted
			if p.Name == t.unpartitioned() {
				if err := t.dropSplit(ctx, tx); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, "DROP TABLE "+quote(p.Name)); err != nil {
				return err
			}
			if purge.Rows == 0 {
				return nil
			}
			return record(ctx, tx, purge)
		})
		if errors.Is(err, errUnsealed) {
			continue
		}
		if err != nil {
			return purges, err
		}
		purges = append(purges, purge)
	}
	return purges, nil
}

// countEnded counts the partition's rows of transactions that have ended, up to the
// horizon: while the log is locked only those from it on are left to count. The rows
// of sessions may be updated meanwhile, so all of theirs are left.
func (m *Maintenance) countEnded(ctx context.Context, t LogTable, p Partition) (rows, horizon int64, err error) {
	if t != AuditLogTable {
		return 0, -1, nil
	}
	if horizon, err = m.horizon(ctx); err != nil {
		return 0, 0, err
	}
	err = m.conn.QueryRow(ctx, "SELECT count(*) FROM "+quote(p.Name)+" WHERE written_in < $1", horizon).Scan(&rows)
	return rows, horizon, queryError(ctx, "counting the rows of "+p.Name, err)
}

// dropSplit drops what was copied of the unpartitioned rows, which are dropped.
func (t LogTable) dropSplit(ctx context.Context, tx pgx.Tx) error {
	for _, sql := range []string{
		"DROP TRIGGER IF EXISTS follow ON " + quote(t.unpartitioned()),
		"DROP TABLE IF EXISTS " + quote(t.split()) + ", " + quote(t.split()+"_state"),
		"DROP FUNCTION IF EXISTS " + quote(t.split()+"_follow") + "()",
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// PurgeBatch deletes at most so many of the log's rows that are older than a
// time, the oldest first, and sealed. Rows is 0 when there are none.
func (m *Maintenance) PurgeBatch(ctx context.Context, t LogTable, before time.Time, most int) (Purge, error) {
	purge := Purge{Log: t.Name, Before: before.UTC()}
	err := m.within(ctx, "deleting old rows of "+t.Name, func(tx pgx.Tx) error {
		sealed, err := lastSealed(ctx, tx, t)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, allowChanges); err != nil {
			return err
		}
		at := quote(t.Time)
		tag, err := tx.Exec(ctx, strings.NewReplacer(":time", at, ":log", quote(t.Name)).Replace(`
WITH old AS MATERIALIZED (
	SELECT id, :time FROM :log WHERE :time < $4 AND (written_in, :time, id) <= ($1, $2, $3) ORDER BY :time, id LIMIT $5
)
DELETE FROM :log USING old WHERE :log.id = old.id AND :log.:time = old.:time AND :log.:time < $4
	AND (written_in, :log.:time, :log.id) <= ($1, $2, $3)`),
			append(sealed.args(), before, most)...)
		if err != nil {
			return err
		}
		purge.Rows = tag.RowsAffected()
		if purge.Rows == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, refuseChanges); err != nil {
			return err
		}
		return record(ctx, tx, purge)
	})
	return purge, err
}

// record writes that rows were deleted: an audit log, and a link of the chain.
func record(ctx context.Context, tx pgx.Tx, p Purge) error {
	fields, err := json.Marshal(p)
	if err != nil {
		return err
	}
	target := fmt.Sprintf("%s before %s", p.Log, p.Before.Format(time.RFC3339))
	_, err = tx.Exec(ctx, `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code, additional_fields, user_agent)
		VALUES (clock_timestamp(), $1, $2, 'delete', 200, $3, 'rowfence maintain')`, strings.TrimSuffix(p.Log, "s"), target, fields)
	if err != nil {
		return err
	}
	return sealPurge(ctx, tx, p)
}
