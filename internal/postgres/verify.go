package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/internal/seal"
)

// linksAtOnce are read together: their leaves are 560 kB each at most.
const linksAtOnce = 16

// VerifySeals holds the logs against the chain of seals, in one snapshot and
// without writing anything.
func VerifySeals(ctx context.Context, pool *pgxpool.Pool, options seal.Options) (seal.Report, error) {
	const doing = "verifying the logs"
	for _, t := range LogTables {
		options.Logs = append(options.Logs, t.Name)
	}
	options.Mutable = ConnectionLogTable.Name
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return seal.Report{}, fmt.Errorf("connecting: %w", err)
	}
	// Closing a connection that was read from has nothing to lose.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, sealSession); err != nil {
		return seal.Report{}, queryError(ctx, doing, err)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return seal.Report{}, queryError(ctx, doing, err)
	}
	report, err := seal.Verify(ctx, sealedLogs{tx}, options)
	return report, queryError(ctx, doing, err)
}

// sealedLogs is the database as the verification sees it.
type sealedLogs struct{ tx pgx.Tx }

func (s sealedLogs) Links(ctx context.Context, each func(seal.Link, []byte) error) error {
	type stored struct {
		ID           int64
		Entry        string
		Hash, Leaves []byte
	}
	for after := int64(-1 << 62); ; {
		rows, err := s.tx.Query(ctx, "SELECT id, entry, hash, leaves FROM log_seals WHERE id > $1 ORDER BY id LIMIT $2", after, linksAtOnce)
		if err != nil {
			return err
		}
		// All of them before each: that asks for rows on the same connection.
		links, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
		if err != nil || len(links) == 0 {
			return err
		}
		for _, l := range links {
			link := seal.Link{N: l.ID, Text: l.Entry}
			copy(link.Hash[:], l.Hash)
			if err := each(link, l.Leaves); err != nil {
				return err
			}
			after = l.ID
		}
	}
}

func (s sealedLogs) Purges(ctx context.Context, each func(seal.Link) error) error {
	rows, err := s.tx.Query(ctx, "SELECT id, entry, hash FROM log_seals WHERE kind = 'purge' ORDER BY id")
	if err != nil {
		return err
	}
	var (
		link seal.Link
		hash []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&link.N, &link.Text, &hash}, func() error {
		copy(link.Hash[:], hash)
		return each(link)
	})
	return err
}

func tableOf(log string) (LogTable, error) {
	for _, t := range LogTables {
		if t.Name == log {
			return t, nil
		}
	}
	return LogTable{}, fmt.Errorf("a seal is of a log %q, which is not known", log)
}

func (s sealedLogs) Rows(ctx context.Context, log string, columns []string, after, upTo seal.Position, each func(seal.Leaf) error) error {
	t, err := tableOf(log)
	if err != nil {
		return err
	}
	return hashRows(ctx, s.tx, t, columns, "(written_in, "+quote(t.Time)+", id) <= ($4, $5, $6) "+t.sealingOrder(),
		append(sealPosition(after).args(), sealPosition(upTo).args()...), func(_ seal.Position, leaf seal.Leaf) error { return each(leaf) })
}

func (s sealedLogs) Unsealed(ctx context.Context, log string, after seal.Position) (n int64, err error) {
	t, err := tableOf(log)
	if err != nil {
		return 0, err
	}
	err = s.tx.QueryRow(ctx, "SELECT count(*) FROM "+quote(t.Name)+" WHERE (written_in, "+quote(t.Time)+", id) > ($1, $2, $3)",
		sealPosition(after).args()...).Scan(&n)
	return n, err
}

func (s sealedLogs) Rewritten(ctx context.Context, log string, after seal.Position, ids []uuid.UUID) ([]uuid.UUID, error) {
	t, err := tableOf(log)
	if err != nil {
		return nil, err
	}
	rows, err := s.tx.Query(ctx, "SELECT id FROM "+quote(t.Name)+" WHERE (written_in, "+quote(t.Time)+", id) > ($1, $2, $3) AND id = ANY($4)",
		append(sealPosition(after).args(), ids)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}
