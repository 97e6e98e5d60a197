package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// The migrations that add indexes to a log that is partitioned. They are written in Go
// because PostgreSQL builds no index of a partitioned table while that is written to;
// those of its partitions it does.
//
// What an organization's auditor looks for is often frequent elsewhere and not in the
// organization: then it is found neither in the index of its organization nor in that
// of the condition without looking at many rows.
var organizationIndexes = map[int64][]partitionedIndex{
	30: {
		{AuditLogTable, "_organization_action", `(organization_id, action, "time" DESC, id DESC)`},               // action:x in one organization
		{AuditLogTable, "_organization_resource_type", `(organization_id, resource_type, "time" DESC, id DESC)`}, // resource_type:x in one organization
	},
	31: {
		{AuditLogTable, "_organization_user", `(organization_id, user_id, "time" DESC, id DESC)`},         // username:x, email:x in one organization
		{AuditLogTable, "_organization_resource", `(organization_id, resource_id, "time" DESC, id DESC)`}, // resource_id:x in one organization
	},
}

func indexings(pool *pgxpool.Pool) (all []*goose.Migration) {
	for version, indexes := range organizationIndexes {
		all = append(all, indexing(pool, version, indexes))
	}
	return all
}

func indexing(pool *pgxpool.Pool, version int64, indexes []partitionedIndex) *goose.Migration {
	return goose.NewGoMigration(version, &goose.GoFunc{
		RunDB: func(ctx context.Context, _ *sql.DB) error {
			conn, err := pool.Acquire(ctx)
			if err != nil {
				return fmt.Errorf("indexing the logs: %w", err)
			}
			defer conn.Release()
			for _, i := range indexes {
				if err := i.build(ctx, conn.Conn()); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil)
}

// A partitionedIndex is an index of a log: a part of each partition.
type partitionedIndex struct {
	log    LogTable
	suffix string // of its name, behind that of the table
	on     string
}

// partitionsWithout are those that have no part of the index.
const partitionsWithout = `
SELECT c.relname::text FROM pg_inherits AS p JOIN pg_class AS c ON c.oid = p.inhrelid
WHERE p.inhparent = $1::text::regclass AND NOT EXISTS (
	SELECT FROM pg_inherits AS i JOIN pg_index AS x ON x.indexrelid = i.inhrelid
	WHERE i.inhparent = $2::text::regclass AND x.indrelid = p.inhrelid)
ORDER BY 1`

// build makes the index while the log is read and written. It can be repeated after an
// interruption, and goes on with the partitions that are left. A partition that is made
// meanwhile gets its part with it.
func (i partitionedIndex) build(ctx context.Context, conn *pgx.Conn) error {
	name := i.log.Name + i.suffix
	doing := "building the index " + name
	var begun, used bool
	err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL, EXISTS (SELECT FROM "+quote(i.log.Name)+")", quote(name)).Scan(&begun, &used)
	if err != nil {
		return queryError(ctx, doing, err)
	}
	if !begun {
		of := "ONLY "
		if !used { // the parts as well, at once
			of = ""
		}
		if err := i.alter(ctx, conn, doing, "CREATE INDEX "+quote(name)+" ON "+of+quote(i.log.Name)+" "+i.on); err != nil {
			return err
		}
	}
	rows, err := conn.Query(ctx, partitionsWithout, i.log.Name, name)
	if err != nil {
		return queryError(ctx, doing, err)
	}
	partitions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return queryError(ctx, doing, err)
	}
	for _, p := range partitions {
		part := quote(p + i.suffix)
		for _, sql := range []string{
			// What an interrupted build leaves is of no use.
			"DROP INDEX CONCURRENTLY IF EXISTS " + part,
			"CREATE INDEX CONCURRENTLY " + part + " ON " + quote(p) + " " + i.on,
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return queryError(ctx, doing, err)
			}
		}
		if err := i.alter(ctx, conn, doing, "ALTER INDEX "+quote(name)+" ATTACH PARTITION "+part); err != nil {
			return err
		}
	}
	return nil
}

// alter changes the catalogue, for which it waits but shortly at a time.
func (i partitionedIndex) alter(ctx context.Context, conn *pgx.Conn, doing, sql string) error {
	return whenUnlocked(ctx, doing, func() error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := waitShortly(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, sql)
			return err
		})
	})
}
