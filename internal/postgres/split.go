package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Rows that were in the log before it had partitions are one partition. Splitting
// that copies its rows into months beside it, a batch at a time, while it is read
// and written; a trigger makes every later change there as well. When all are
// copied, one transaction puts the months in its place.
//
// Where the copying stands is in the database: an interrupted one goes on where
// it was. It takes the space of the rows a second time until the end.

const (
	batchOfSplit = 10_000
	// Months that have rows and are older than this many stay together, in the
	// default partition.
	mostMonthsOfSplit = 240
)

// Split says how far the splitting of a log's unpartitioned rows is.
type Split struct {
	// Whether there is nothing (more) to split.
	Done   bool  `json:"done"`
	Copied int64 `json:"copied"` // rows, this time
	// Partitions that took the place of the unpartitioned rows, this time.
	Partitions []string `json:"partitions"`
}

func (t LogTable) split() string { return t.Name + "_split" }

// Split copies at most so many of the log's unpartitioned rows into months, 0 for
// all of them, and puts the months in their place when none is left. Progress is
// told the rows copied so far.
func (m *Maintenance) Split(ctx context.Context, t LogTable, most int64, progress func(rows int64)) (Split, error) {
	result := Split{Partitions: []string{}}
	doing := "splitting the unpartitioned rows of " + t.Name
	parts, err := Partitions(ctx, m.conn, t)
	if err != nil {
		return result, err
	}
	var whole Partition
	for _, p := range parts {
		if p.Name == t.unpartitioned() {
			whole = p
		}
	}
	if whole.Name == "" {
		result.Done = true
		return result, nil
	}
	var begun bool
	if err := m.conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", t.split()).Scan(&begun); err != nil {
		return result, queryError(ctx, doing, err)
	}
	if !begun {
		if err := m.beginSplit(ctx, t, whole); err != nil {
			return result, err
		}
	}
	for most <= 0 || result.Copied < most {
		batch := int64(batchOfSplit)
		if most > 0 {
			batch = min(batch, most-result.Copied)
		}
		copied, err := m.copyBatch(ctx, t, batch)
		if err != nil {
			return result, err
		}
		result.Copied += copied
		if progress != nil {
			progress(result.Copied)
		}
		if copied < batch {
			result.Partitions, err = m.endSplit(ctx, t)
			result.Done = err == nil
			return result, err
		}
	}
	return result, nil
}

// beginSplit makes the months, and the trigger by which they follow. It waits for
// those who are writing: what they began to write is there when the copying
// begins.
func (m *Maintenance) beginSplit(ctx context.Context, t LogTable, whole Partition) error {
	months, err := m.monthsOf(ctx, t, whole)
	if err != nil {
		return err
	}
	columns, err := columnsOf(ctx, m.conn, t.Name)
	if err != nil {
		return err
	}
	split, list := quote(t.split()), strings.Join(columns, ", ")
	steps := []string{
		"CREATE TABLE " + split + " (LIKE " + quote(t.Name) + " INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING INDEXES) PARTITION BY RANGE (" + quote(t.Time) + ")",
		// The rows that are too old for a month, which go to the default partition.
		"CREATE TABLE " + quote(t.split()+"_default") + " PARTITION OF " + split + " DEFAULT",
		"CREATE TABLE " + quote(t.split()+"_state") + " (copied_time timestamptz, copied_id uuid)",
		"INSERT INTO " + quote(t.split()+"_state") + " VALUES (NULL, NULL)",
	}
	for _, month := range months {
		from, to := month.Format(time.RFC3339), month.AddDate(0, 1, 0).Format(time.RFC3339)
		part := quote(t.partitionOf(month))
		steps = append(steps,
			"CREATE TABLE "+part+" PARTITION OF "+split+" FOR VALUES FROM ('"+from+"') TO ('"+to+"')",
			// With it the month takes its place without being read.
			fmt.Sprintf("ALTER TABLE %[1]s ADD CONSTRAINT month CHECK (%[2]s >= '%[3]s' AND %[2]s < '%[4]s')", part, quote(t.Time), from, to))
	}
	news := "NEW." + strings.Join(columns, ", NEW.")
	steps = append(steps,
		fmt.Sprintf(`CREATE FUNCTION %[1]s_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		DELETE FROM %[1]s WHERE id = OLD.id AND %[2]s = OLD.%[2]s;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		INSERT INTO %[1]s (%[3]s) VALUES (%[4]s);
	END IF;
	RETURN NULL;
END $$`, split, quote(t.Time), list, news),
		// As its owner: who writes the log may not write here.
		"ALTER FUNCTION "+split+"_follow() SECURITY DEFINER SET search_path FROM CURRENT",
		"CREATE TRIGGER follow AFTER INSERT OR UPDATE OR DELETE ON "+quote(t.unpartitioned())+" FOR EACH ROW EXECUTE FUNCTION "+split+"_follow()",
	)
	return m.within(ctx, "beginning to split "+t.Name, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "LOCK TABLE "+quote(t.unpartitioned())+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		for _, sql := range steps {
			sql = strings.ReplaceAll(sql, split+"_follow", quote(t.split()+"_follow"))
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// monthsOf are the months of which the partition has rows, the newest first.
func (m *Maintenance) monthsOf(ctx context.Context, t LogTable, p Partition) ([]time.Time, error) {
	var months []time.Time
	for before := p.To; len(months) < mostMonthsOfSplit; {
		var newest *time.Time
		err := m.conn.QueryRow(ctx, "SELECT max("+quote(t.Time)+") FROM "+quote(p.Name)+" WHERE "+quote(t.Time)+" < $1", before).Scan(&newest)
		if err != nil {
			return nil, queryError(ctx, "looking for the months of "+p.Name, err)
		}
		if newest == nil {
			return months, nil
		}
		before = Month(*newest)
		months = append(months, before)
	}
	return months, nil
}

// copyBatch copies the next rows in the order of time. A row that is written
// behind the last one copied comes by the trigger.
func (m *Maintenance) copyBatch(ctx context.Context, t LogTable, batch int64) (copied int64, err error) {
	err = m.within(ctx, "copying unpartitioned rows of "+t.Name, func(tx pgx.Tx) error {
		columns, err := columnsOf(ctx, tx, t.Name)
		if err != nil {
			return err
		}
		list, at := strings.Join(columns, ", "), quote(t.Time)
		// The lock keeps a connection's row as it is until its copy is there: else
		// the trigger might miss the copy, and the copy the change. The rows of the
		// audit log never change, and are not written to for want of a lock.
		lock := ""
		if t == ConnectionLogTable {
			lock = "FOR SHARE OF " + quote(t.unpartitioned())
		}
		rows, err := tx.Query(ctx, fmt.Sprintf(`
WITH batch AS MATERIALIZED (
	SELECT %[1]s FROM %[2]s, (SELECT copied_time, copied_id FROM %[3]s) AS s
	WHERE copied_time IS NULL OR (%[4]s, id) > (copied_time, copied_id)
	ORDER BY %[4]s, id LIMIT $1 %[6]s
), inserted AS (
	INSERT INTO %[5]s (%[1]s) SELECT %[1]s FROM batch ON CONFLICT DO NOTHING
)
SELECT %[4]s, id, count(*) OVER () FROM batch ORDER BY %[4]s DESC, id DESC LIMIT 1`,
			list, quote(t.unpartitioned()), quote(t.split()+"_state"), at, quote(t.split()), lock), batch)
		if err != nil {
			return err
		}
		var (
			last   time.Time
			lastID uuid.UUID
		)
		copied = 0
		if _, err := pgx.ForEachRow(rows, []any{&last, &lastID, &copied}, func() error { return nil }); err != nil || copied == 0 {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE "+quote(t.split()+"_state")+" SET copied_time = $1, copied_id = $2", last, lastID)
		return err
	})
	return copied, err
}

// endSplit puts the months in the place of the unpartitioned rows, and drops
// those.
func (m *Maintenance) endSplit(ctx context.Context, t LogTable) (made []string, err error) {
	doing := "ending the split of " + t.Name
	// In one snapshot, which sees of each change either both or none.
	var whole, copied int64
	err = m.conn.QueryRow(ctx, "SELECT (SELECT count(*) FROM "+quote(t.unpartitioned())+"), (SELECT count(*) FROM "+quote(t.split())+")").Scan(&whole, &copied)
	if err != nil {
		return nil, queryError(ctx, doing, err)
	}
	if whole != copied {
		return nil, fmt.Errorf("%s: %d rows, of which %d were copied; nothing was changed", doing, whole, copied)
	}
	months, err := Partitions(ctx, m.conn, LogTable{t.split(), t.Time})
	if err != nil {
		return nil, err
	}
	err = m.within(ctx, doing, func(tx pgx.Tx) error {
		made = []string{}
		columns, err := columnsOf(ctx, tx, t.Name)
		if err != nil {
			return err
		}
		list := strings.Join(columns, ", ")
		steps := []string{
			"LOCK TABLE " + quote(t.Name) + ", " + quote(t.unpartitioned()) + ", " + quote(t.split()) + " IN ACCESS EXCLUSIVE MODE",
			"DROP TRIGGER follow ON " + quote(t.unpartitioned()),
			"ALTER TABLE " + quote(t.Name) + " DETACH PARTITION " + quote(t.unpartitioned()),
		}
		for _, p := range months {
			if p.Default {
				continue
			}
			made = append(made, p.Name)
			steps = append(steps,
				"ALTER TABLE "+quote(t.split())+" DETACH PARTITION "+quote(p.Name),
				"ALTER TABLE "+quote(t.Name)+" ATTACH PARTITION "+quote(p.Name)+
					" FOR VALUES FROM ('"+p.From.Format(time.RFC3339)+"') TO ('"+p.To.Format(time.RFC3339)+"')",
				"ALTER TABLE "+quote(p.Name)+" DROP CONSTRAINT month",
				guardTruncate(p.Name))
		}
		steps = append(steps,
			"INSERT INTO "+quote(t.defaultPartition())+" ("+list+") SELECT "+list+" FROM "+quote(t.split()+"_default"),
			"DROP TABLE "+quote(t.unpartitioned())+", "+quote(t.split())+", "+quote(t.split()+"_state"),
			"DROP FUNCTION "+quote(t.split()+"_follow")+"()")
		for _, sql := range steps {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	return made, err
}
