// Package postgres is the server's storage: connections, migrations, and all
// the SQL text that the server has of its own. The conditions on logs come from
// auditquery and the authorization filter.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	googleuuid "github.com/vgarvardt/pgx-google-uuid/v5"
)

const (
	// A request uses two connections at its peak, for the page and the count.
	defaultMaxConns = 16
	// How long PostgreSQL may take to stop a query whose request is over.
	// After that the connection is given up.
	cancelTimeout = 2 * time.Second
)

// Open returns a pool of connections to the database, which are made when they
// are first used. A pool_max_conns in the URL is kept.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx leaves passwords out of the error.
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = defaultMaxConns
	}
	// A statement with an array argument must be planned with its value: the
	// generic plan that PostgreSQL may keep for a prepared one can't know which
	// organizations are asked for, and takes seconds. Described statements are
	// planned at each execution.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	// The default closes the connection and leaves PostgreSQL working on a query
	// that nobody waits for.
	config.ConnConfig.BuildContextWatcherHandler = abandon
	config.PrepareConn = usable
	// Otherwise each uuid is asked for its driver.Value, which is a text that is parsed
	// again: an auditor of 1,000 organizations has as many in each statement.
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		googleuuid.Register(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	return pool, nil
}

// DB answers the server's questions from a migrated database.
type DB struct {
	pool   *pgxpool.Pool
	limits pageLimits
	ended  horizon
}

// NewDB returns the storage on the pool, which stays the caller's to close. It
// must be one that [Open] made.
func NewDB(pool *pgxpool.Pool) *DB { return &DB{pool: pool, limits: usualLimits} }

// Ready reports whether the database answers and has this server's migrations.
func (db *DB) Ready(ctx context.Context) error {
	var applied int64
	err := db.pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&applied)
	if err != nil {
		return queryError(ctx, "asking for the database's version", err)
	}
	latest, err := latestMigration()
	if err != nil {
		return err
	}
	if applied < latest {
		return fmt.Errorf("the database has migration %d, this server needs %d", applied, latest)
	}
	return nil
}

// queryError says what was being done, and keeps the values of the query out of
// the text: PostgreSQL's messages on data (class 22) quote them. A query that
// was cancelled because ctx is over is ctx's error.
func queryError(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "22") {
		return dataError{doing, pgErr}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

type dataError struct {
	doing string
	cause *pgconn.PgError
}

func (e dataError) Error() string {
	return fmt.Sprintf("%s: PostgreSQL refuses a value (SQLSTATE %s, %s)", e.doing, e.cause.Code, e.cause.Routine)
}

func (e dataError) Unwrap() error { return e.cause }

// Temporary reports whether connecting can succeed later: nobody listens yet, or
// PostgreSQL is starting. A wrong password or database stays wrong.
func Temporary(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code == "57P03" // cannot_connect_now
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}
