package demo

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
)

// An index of audit_logs, and the statement that makes it again.
type index struct{ Name, Create string }

// The primary key stays: without it the load was 6% faster. ONLY is how PostgreSQL
// writes the index of a partitioned table; without it the partitions get theirs.
const secondaryIndexes = `
SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
FROM pg_index
WHERE indrelid = 'audit_logs'::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
ORDER BY 1`

func dropIndexes(ctx context.Context, tx pgx.Tx) ([]index, error) {
	rows, err := tx.Query(ctx, secondaryIndexes)
	if err != nil {
		return nil, fmt.Errorf("listing the indexes: %w", err)
	}
	indexes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		return nil, fmt.Errorf("listing the indexes: %w", err)
	}
	for _, i := range indexes {
		if _, err := tx.Exec(ctx, "DROP INDEX "+i.Name); err != nil {
			return nil, fmt.Errorf("dropping index %s: %w", i.Name, err)
		}
	}
	return indexes, nil
}

func createIndexes(ctx context.Context, tx pgx.Tx, indexes []index, progress io.Writer) error {
	// The default of 64 MB sorts a million rows on disk.
	if _, err := tx.Exec(ctx, "SET LOCAL maintenance_work_mem = '256MB'"); err != nil {
		return fmt.Errorf("giving memory to the building of indexes: %w", err)
	}
	m := newMeter(progress, "Indexes", "indexes", len(indexes))
	for i, index := range indexes {
		if _, err := tx.Exec(ctx, index.Create); err != nil {
			return fmt.Errorf("creating index %s: %w", index.Name, err)
		}
		m.set(i + 1)
	}
	m.finish()
	return nil
}
