package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

// MigrateTo is Migrate up to a version, for tests of what a later one makes of a
// database that is in use.
var MigrateTo = migrateTo

// Hasty is the storage that gives a page's first statement no time.
func Hasty(db *DB) *DB { return &DB{pool: db.pool, limits: pageLimits{walk: time.Hour}} }

// Hastier is the storage that gives no statement of a page any, but for the last resort.
func Hastier(db *DB) *DB { return &DB{pool: db.pool} }

// WalkAuditLogs is the page of a walk, during which something happens before its rows
// are looked up by their keys.
func WalkAuditLogs(ctx context.Context, db *DB, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page, happens func()) ([]audit.Log, *auditquery.Stop, error) {
	q := &interrupted{db.pool, happens}
	return auditLogPages.walk(ctx, q, time.Hour, auditquery.ShapeOf(auditquery.AuditLogs(), authorized, search), authorized, search, page)
}

type interrupted struct {
	*pgxpool.Pool
	happens func()
}

// Query is how rows are looked up; the walk itself has a limit.
func (i *interrupted) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	i.happens()
	return i.Pool.Query(ctx, sql, args...)
}
