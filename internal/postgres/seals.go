package postgres

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/internal/seal"
)

const (
	// Rows of a seal at most: 560 kB of leaves.
	rowsOfSeal = 10_000
	// Leaves of connections are kept for this long after the rows are purged: a
	// connection may have been found to begin earlier than its first seal says.
	connectionLeaves = 90 * 24 * time.Hour
)

// sealPosition is a position as arguments of a statement.
type sealPosition seal.Position

func (p sealPosition) args() []any { return []any{p.Transaction, p.Time, p.ID} }

// lastSealed is the position of the last row of the log that is sealed.
func lastSealed(ctx context.Context, q querier, t LogTable) (sealPosition, error) {
	var text string
	err := q.QueryRow(ctx, "SELECT entry FROM log_seals WHERE log = $1 AND kind = 'rows' ORDER BY id DESC LIMIT 1", t.Name).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return sealPosition(seal.Start), nil
	}
	if err != nil {
		return sealPosition{}, err
	}
	e, err := seal.ReadEntry(text)
	if err == nil && e.Last == nil {
		err = errors.New("it has no last row")
	}
	if err != nil {
		return sealPosition{}, fmt.Errorf("reading the last seal of %s: %w", t.Name, err)
	}
	return sealPosition(*e.Last), nil
}

func lastLink(ctx context.Context, q querier) (link seal.Link, err error) {
	var hash []byte
	err = q.QueryRow(ctx, "SELECT id, entry, hash FROM log_seals ORDER BY id DESC LIMIT 1").Scan(&link.N, &link.Text, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return seal.Link{}, nil
	}
	copy(link.Hash[:], hash)
	return link, err
}

// appendSeal adds an entry to the chain. Only the holder of the maintenance lock
// does; if there ever were two, the key refuses the second.
func appendSeal(ctx context.Context, tx pgx.Tx, e seal.Entry, leaves []byte) error {
	previous, err := lastLink(ctx, tx)
	if err != nil {
		return err
	}
	link, err := e.Link(previous)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO log_seals (id, kind, log, entry, hash, leaves, newest) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		link.N, e.Kind, e.Log, link.Text, link.Hash[:], leaves, e.Newest)
	return err
}

func sealPurge(ctx context.Context, tx pgx.Tx, p Purge) error {
	return appendSeal(ctx, tx, seal.Entry{
		Kind: seal.KindPurge, Log: p.Log, SealedAt: sealTime(), Rows: p.Rows, Before: &p.Before, Partition: p.Partition,
	}, nil)
}

func sealTime() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Texts of values do not depend on the user's settings.
const sealSession = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET bytea_output = 'hex'; SET extra_float_digits = 1"

// horizon is the number of the earliest transaction that has not ended, or of the
// next one: nothing more will be written with a lesser number.
//
// In a database that was restored from a dump PostgreSQL numbers transactions
// from the start. Then a number is added, so that what is written now stands
// behind what is sealed.
func (m *Maintenance) horizon(ctx context.Context) (int64, error) {
	const doing = "numbering transactions"
	highest := int64(-1)
	for _, t := range LogTables {
		var written *int64
		if err := m.conn.QueryRow(ctx, "SELECT max(written_in) FROM "+quote(t.Name)).Scan(&written); err != nil {
			return 0, queryError(ctx, doing, err)
		}
		sealed, err := lastSealed(ctx, m.conn, t)
		if err != nil {
			return 0, queryError(ctx, doing, err)
		}
		highest = max(highest, orZero(written), sealed.Transaction)
	}
	// A later statement than those above: its number is greater than all that they
	// can have seen, unless it is another database's numbering.
	var current, postgres, first int64
	if err := m.conn.QueryRow(ctx, `SELECT log_transaction(), pg_current_xact_id()::text::bigint,
		pg_snapshot_xmin(pg_current_snapshot())::text::bigint`).Scan(&current, &postgres, &first); err != nil {
		return 0, queryError(ctx, doing, err)
	}
	added := current - postgres
	if highest >= current {
		added = highest + 1 - first
		if _, err := m.conn.Exec(ctx, fmt.Sprintf(transactionFunction, added)); err != nil {
			return 0, queryError(ctx, doing, err)
		}
	}
	return first + added, nil
}

// Sealed says what was sealed of a log.
type Sealed struct {
	Rows  int64 `json:"rows"`
	Seals int64 `json:"seals"`
	// Transaction from which on rows are not sealed yet: it, or an earlier one, was
	// still open.
	Horizon int64 `json:"horizon"`
}

// Seal seals the rows of the log that were written by transactions which have
// ended, as long as all before them have as well. So each is sealed once, however
// late its time is or its commit came.
func (m *Maintenance) Seal(ctx context.Context, t LogTable, progress func(rows int64)) (Sealed, error) {
	var sealed Sealed
	doing := "sealing " + t.Name
	horizon, err := m.horizon(ctx)
	if err != nil {
		return sealed, err
	}
	sealed.Horizon = horizon
	for {
		rows, err := m.sealBatch(ctx, t, horizon)
		if err != nil {
			return sealed, queryError(ctx, doing, err)
		}
		if rows == 0 {
			return sealed, nil
		}
		sealed.Rows += rows
		sealed.Seals++
		if progress != nil {
			progress(sealed.Rows)
		}
	}
}

func (m *Maintenance) sealBatch(ctx context.Context, t LogTable, horizon int64) (int64, error) {
	var n int64
	err := m.within(ctx, "sealing rows", func(tx pgx.Tx) error {
		n = 0
		after, err := lastSealed(ctx, tx, t)
		if err != nil {
			return err
		}
		columns, err := columnNames(ctx, tx, t)
		if err != nil {
			return err
		}
		e := seal.Entry{Kind: seal.KindRows, Log: t.Name, SealedAt: sealTime(), Columns: columns, Newest: &time.Time{}}
		var leaves seal.Leaves
		err = hashRows(ctx, tx, t, columns, "written_in < $4 "+t.sealingOrder()+" LIMIT "+fmt.Sprint(rowsOfSeal),
			append(after.args(), horizon), func(at seal.Position, leaf seal.Leaf) error {
				e.Last = &at
				if len(leaves) == 0 || leaf.Time.After(*e.Newest) {
					e.Newest = &leaf.Time
				}
				leaves = append(leaves, leaf)
				return nil
			})
		if err != nil || len(leaves) == 0 {
			return err
		}
		text := leaves.Bytes()
		digest := seal.Digest(text)
		e.Leaves, e.Rows, n = &digest, int64(len(leaves)), int64(len(leaves))
		return appendSeal(ctx, tx, e, text)
	})
	return n, err
}

// sealingOrder names the columns of the log l, not those of the output.
func (t LogTable) sealingOrder() string {
	return "ORDER BY l.written_in, l." + quote(t.Time) + ", l.id"
}

// columnNames are the log's columns in their order.
func columnNames(ctx context.Context, q querier, t LogTable) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT attname::text FROM pg_attribute
		WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, t.Name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// hashRows gives the rows behind a position ($1, $2, $3), and as the rest of the
// condition says.
func hashRows(ctx context.Context, q querier, t LogTable, columns []string, rest string, args []any, each func(seal.Position, seal.Leaf) error) error {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = quote(c) + "::text"
	}
	at := quote(t.Time)
	rows, err := q.Query(ctx, "SELECT written_in, "+at+", id, "+strings.Join(texts, ", ")+" FROM "+quote(t.Name)+" AS l"+
		" WHERE (written_in, "+at+", id) > ($1, $2, $3) AND "+rest, append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	hasher := seal.NewRowHasher(t.Name, columns)
	for rows.Next() {
		raw := rows.RawValues()
		leaf := seal.Leaf{
			// Microseconds since the year 2000.
			Time: time.UnixMicro(int64(binary.BigEndian.Uint64(raw[1])) + 946_684_800_000_000).UTC(),
			ID:   uuid.UUID(raw[2]),
			Hash: hasher.Hash(raw[3:]),
		}
		position := seal.Position{Transaction: int64(binary.BigEndian.Uint64(raw[0])), Time: leaf.Time, ID: leaf.ID}
		if err := each(position, leaf); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ForgetLeaves drops the hashes of single rows where all rows of a seal are older
// than a time, and have been purged. Their digest stays in the chain.
func (m *Maintenance) ForgetLeaves(ctx context.Context, t LogTable, before time.Time) (int64, error) {
	if t == ConnectionLogTable {
		before = before.Add(-connectionLeaves)
	}
	var n int64
	err := m.within(ctx, "forgetting the leaves of "+t.Name, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, allowChanges); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "UPDATE log_seals SET leaves = NULL WHERE log = $1 AND kind = 'rows' AND newest < $2 AND leaves IS NOT NULL", t.Name, before)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// Checkpoint signs the end of the chain. It is zero when there is nothing to sign.
func (m *Maintenance) Checkpoint(ctx context.Context, key ed25519.PrivateKey) (c seal.Checkpoint, err error) {
	const doing = "making a checkpoint"
	err = m.within(ctx, doing, func(tx pgx.Tx) error {
		last, err := lastLink(ctx, tx)
		if err != nil || last.N == 0 {
			return err
		}
		c = seal.Sign(key, last, time.Now())
		document, err := json.Marshal(c)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO log_checkpoints (id, document) VALUES ($1, $2) ON CONFLICT DO NOTHING", last.N, string(document))
		return err
	})
	return c, err
}

// Checkpoints are those that the database has, the oldest first.
func (m *Maintenance) Checkpoints(ctx context.Context) ([]seal.Checkpoint, error) {
	return Checkpoints(ctx, m.conn)
}

// Checkpoints are those that the database has, the oldest first.
func Checkpoints(ctx context.Context, q rowsOf) ([]seal.Checkpoint, error) {
	const doing = "reading the checkpoints"
	rows, err := q.Query(ctx, "SELECT document FROM log_checkpoints ORDER BY id")
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	all, bad, err := seal.ReadCheckpoints(strings.NewReader(strings.Join(texts, "\n")))
	if err == nil && bad != nil {
		err = fmt.Errorf("%s: %w", doing, bad[0].Err)
	}
	return all, err
}
