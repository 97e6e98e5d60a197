package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// partitioningVersion is the migration that partitions the logs. It is written in
// Go because what it does depends on what the tables hold.
const partitioningVersion = 11

// aheadAtFirst is how many months are partitioned beyond this one until the first
// maintenance.
const aheadAtFirst = 3

// partitioning is the migration that makes partitioned tables of the logs.
//
// A table that has rows becomes a partition itself, of all times up to the next
// month: no row is copied, and none is missing at any time. The indexes that it
// needs for that are built, and its rows' times are checked, while rows are read
// and written; then one transaction changes the tables' places. Each step can be
// repeated after an interruption.
func partitioning(pool *pgxpool.Pool) *goose.Migration {
	return goose.NewGoMigration(partitioningVersion, &goose.GoFunc{
		RunDB: func(ctx context.Context, _ *sql.DB) error { return partition(ctx, pool, time.Now()) },
	}, nil)
}

func partition(ctx context.Context, pool *pgxpool.Pool, now time.Time) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("partitioning the logs: %w", err)
	}
	defer conn.Release()
	for _, sql := range []string{fmt.Sprintf(transactionFunction, 0), guardFunctions} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return queryError(ctx, "making the guards of the logs", err)
		}
	}
	for _, t := range LogTables {
		if err := partitionLog(ctx, conn.Conn(), t, now); err != nil {
			return err
		}
	}
	return nil
}

func partitionLog(ctx context.Context, conn *pgx.Conn, t LogTable, now time.Time) error {
	doing := "partitioning " + t.Name
	var partitioned, used bool
	err := conn.QueryRow(ctx, "SELECT relkind = 'p' FROM pg_class WHERE oid = $1::text::regclass", t.Name).Scan(&partitioned)
	if err != nil || partitioned {
		return queryError(ctx, doing, err)
	}
	name := quote(t.Name)
	// 0 stands for the time before transactions were noted; a constant, for which
	// no row has to be written.
	err = whenUnlocked(ctx, doing, func() error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := waitShortly(ctx, tx); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "ALTER TABLE "+name+" ADD COLUMN IF NOT EXISTS written_in bigint NOT NULL DEFAULT 0"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "ALTER TABLE "+name+" ALTER COLUMN written_in SET DEFAULT log_transaction()")
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+name+")").Scan(&used); err != nil {
		return queryError(ctx, doing, err)
	}
	bound := boundOf(now)
	if used {
		for _, sql := range []string{
			// What an interrupted build leaves is of no use.
			"DROP INDEX CONCURRENTLY IF EXISTS " + t.Name + "_key",
			"CREATE UNIQUE INDEX CONCURRENTLY " + t.Name + "_key ON " + name + " (id, " + quote(t.Time) + ")",
			"DROP INDEX CONCURRENTLY IF EXISTS " + t.Name + "_sealing",
			"CREATE INDEX CONCURRENTLY " + t.sealingIndex(),
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return queryError(ctx, doing, err)
			}
		}
		if err := t.checkTimes(ctx, conn, bound); err != nil {
			return err
		}
	}
	return whenUnlocked(ctx, doing, func() error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := waitShortly(ctx, tx); err != nil {
				return err
			}
			return t.replace(ctx, tx, now, bound)
		})
	})
}

// boundOf is up to when the rows that there are become one partition. Events are
// taken until a day ahead: theirs is within it for as long as the migration takes.
func boundOf(now time.Time) time.Time { return Month(now.Add(48*time.Hour)).AddDate(0, 1, 0) }

// checkTimes sees to it that the table can become a partition without being read
// once more while it is locked. Where rows have a time beyond the bound it can't:
// then it is read, and these are moved before.
func (t LogTable) checkTimes(ctx context.Context, conn *pgx.Conn, bound time.Time) error {
	doing := "checking the times of " + t.Name
	name, at := quote(t.Name), quote(t.Time)
	var some bool
	err := whenUnlocked(ctx, doing, func() error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := waitShortly(ctx, tx); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "ALTER TABLE "+name+" DROP CONSTRAINT IF EXISTS partitioned_until"); err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+name+" WHERE "+at+" >= $1)", bound).Scan(&some); err != nil || some {
				return err
			}
			_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT partitioned_until CHECK (%s < '%s') NOT VALID", name, at, bound.Format(time.RFC3339)))
			return err
		})
	})
	if err != nil || some {
		return err
	}
	// It only keeps others from altering the table.
	_, err = conn.Exec(ctx, "ALTER TABLE "+name+" VALIDATE CONSTRAINT partitioned_until")
	return queryError(ctx, doing, err)
}

// sealingIndex gives the rows in the order in which they are sealed.
func (t LogTable) sealingIndex() string {
	return t.Name + "_sealing ON " + quote(t.Name) + " (written_in, " + quote(t.Time) + ", id)"
}

// replace puts a partitioned table in the place of the log.
func (t LogTable) replace(ctx context.Context, tx pgx.Tx, now, bound time.Time) error {
	name, before := quote(t.Name), quote(t.unpartitioned())
	if _, err := tx.Exec(ctx, "LOCK TABLE "+name+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return err
	}
	var empty bool
	var first time.Time // month that gets a partition
	if err := tx.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM "+name+")").Scan(&empty); err != nil {
		return err
	}
	indexes, err := t.secondaryIndexes(ctx, tx)
	if err != nil {
		return err
	}
	primaryKey := "PRIMARY KEY (id, " + quote(t.Time) + ")"
	steps := []string{"ALTER TABLE " + name + " RENAME TO " + before}
	oldKey := "ADD CONSTRAINT " + quote(t.unpartitioned()+"_pkey") + " " + primaryKey
	for _, i := range indexes {
		if i.name == t.Name+"_key" {
			oldKey = "ADD CONSTRAINT " + quote(t.unpartitioned()+"_pkey") + " PRIMARY KEY USING INDEX " + quote(i.name)
			continue
		}
		steps = append(steps, "ALTER INDEX "+quote(i.name)+" RENAME TO "+quote(t.unpartitioned()+strings.TrimPrefix(i.name, t.Name)))
	}
	steps = append(steps,
		"ALTER TABLE "+before+" DROP CONSTRAINT "+quote(t.Name+"_pkey")+", "+oldKey,
		"CREATE TABLE "+name+" (LIKE "+before+" INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMMENTS) PARTITION BY RANGE ("+quote(t.Time)+")",
		"ALTER TABLE "+name+" DROP CONSTRAINT IF EXISTS partitioned_until",
		"ALTER TABLE "+name+" ADD CONSTRAINT "+quote(t.Name+"_pkey")+" "+primaryKey,
	)
	sealing := false
	for _, i := range indexes {
		if i.name != t.Name+"_key" {
			steps = append(steps, i.create)
		}
		sealing = sealing || i.name == t.Name+"_sealing"
	}
	if !sealing {
		steps = append(steps, "CREATE INDEX "+t.sealingIndex())
	}
	steps = append(steps, "CREATE TABLE "+quote(t.defaultPartition())+" PARTITION OF "+name+" DEFAULT")
	if empty {
		steps = append(steps, copyGrants(t), "DROP TABLE "+before)
		first = Month(now).AddDate(0, -1, 0)
	} else {
		first = bound
		bound := "'" + bound.Format(time.RFC3339) + "'"
		steps = append(steps,
			"WITH moved AS (DELETE FROM "+before+" WHERE "+quote(t.Time)+" >= "+bound+" RETURNING *) INSERT INTO "+quote(t.defaultPartition())+" SELECT * FROM moved",
			"ALTER TABLE "+name+" ATTACH PARTITION "+before+" FOR VALUES FROM (MINVALUE) TO ("+bound+")",
			"ALTER TABLE "+before+" DROP CONSTRAINT IF EXISTS partitioned_until",
			copyGrants(t), guardTruncate(t.unpartitioned()))
	}
	steps = append(steps, guardTruncate(t.defaultPartition()))
	steps = append(steps, t.guards()...)
	for _, sql := range steps {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return AddMonths(ctx, tx, t, first, Month(now).AddDate(0, aheadAtFirst, 0))
}

type index struct{ name, create string }

func (t LogTable) secondaryIndexes(ctx context.Context, tx pgx.Tx) ([]index, error) {
	rows, err := tx.Query(ctx, `SELECT c.relname::text, pg_get_indexdef(i.indexrelid)
		FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
		WHERE i.indrelid = $1::text::regclass AND NOT i.indisprimary ORDER BY 1`, t.Name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (i index, err error) {
		return i, row.Scan(&i.name, &i.create)
	})
}

// copyGrants gives the partitioned table the owner and the grants of the one that
// it replaces.
func copyGrants(t LogTable) string {
	return fmt.Sprintf(`DO $$
DECLARE g record;
BEGIN
	FOR g IN SELECT a.grantee, a.privilege_type, a.is_grantable
		FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = %[1]s::regclass AND a.grantee <> c.relowner
	LOOP
		EXECUTE format('GRANT %%s ON %[2]s TO %%s%%s', g.privilege_type,
			CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
			CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
	END LOOP;
	IF (SELECT relowner FROM pg_class WHERE oid = %[1]s::regclass) <> current_user::regrole THEN
		EXECUTE format('ALTER TABLE %[2]s OWNER TO %%s', (SELECT relowner::regrole FROM pg_class WHERE oid = %[1]s::regclass));
	END IF;
END $$`, "'"+t.unpartitioned()+"'", quote(t.Name))
}
