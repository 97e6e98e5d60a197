package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What events may change of a session's row. The trigger says what may become of
// each.
var completedColumns = []string{
	"connect_time", "organization_id", "workspace_owner_id", "workspace_name", "type", "ip", "code", "disconnect_time", "disconnect_reason",
}

// GrantServer gives a role the rights of a server: all on rows of other tables, but
// of the logs only to read, to add, and to complete connections. Which transaction
// wrote a row is not the role's to say. What it had before is taken back first. A role
// that owns the logs, or may act as their owner, is refused.
func GrantServer(ctx context.Context, pool *pgxpool.Pool, role string) error {
	doing := "granting a server's rights to " + role
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		to := quote(role)
		var owns bool
		err := tx.QueryRow(ctx, "SELECT bool_or(pg_has_role($1::text::name, relowner, 'MEMBER'))"+ownersOfLogs, role).Scan(&owns)
		if err != nil {
			return err
		}
		if owns {
			return errOwner
		}
		rows, err := tx.Query(ctx, `SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace
			AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1`)
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		var schema string
		if err := tx.QueryRow(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
			return err
		}
		steps := []string{
			"GRANT USAGE ON SCHEMA " + quote(schema) + " TO " + to,
			// Also of partitions, which are reached through their log.
			"REVOKE ALL ON ALL TABLES IN SCHEMA " + quote(schema) + " FROM " + to,
		}
		for _, table := range tables {
			i := slices.IndexFunc(LogTables, func(t LogTable) bool { return t.Name == table })
			switch {
			case i >= 0:
				columns, err := columnNames(ctx, tx, LogTables[i])
				if err != nil {
					return err
				}
				columns = slices.DeleteFunc(columns, func(c string) bool { return c == "written_in" })
				steps = append(steps, "GRANT SELECT, INSERT ("+quoteAll(columns)+") ON "+quote(table)+" TO "+to)
				if LogTables[i] == ConnectionLogTable {
					steps = append(steps, "GRANT UPDATE ("+quoteAll(completedColumns)+") ON "+quote(table)+" TO "+to)
				}
			case strings.HasPrefix(table, "log_"), table == "goose_db_version", table == "demo_data", strings.Contains(table, "_logs_"):
				steps = append(steps, "GRANT SELECT ON "+quote(table)+" TO "+to)
			default:
				steps = append(steps, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+quote(table)+" TO "+to)
			}
		}
		for _, sql := range steps {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
	return queryError(ctx, doing, err)
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}

// errOwner says that a role could do all that a server may not, whatever it is granted.
var errOwner = errors.New("the role owns the logs, is a member of the role that does, or is a superuser: it can't be kept from changing them")

const ownersOfLogs = " FROM pg_class WHERE oid = ANY(ARRAY['audit_logs', 'connection_logs']::regclass[])"

// MayMaintain is whether the pool's user owns the logs.
func MayMaintain(ctx context.Context, pool *pgxpool.Pool) (may bool, err error) {
	err = pool.QueryRow(ctx, "SELECT bool_and(pg_has_role(current_user, relowner, 'USAGE'))"+ownersOfLogs).Scan(&may)
	return may, queryError(ctx, "asking who owns the logs", err)
}
