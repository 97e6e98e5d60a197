package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// A server waits for another one's migrations this long, asking every second.
const (
	lockPeriodSeconds = 1
	lockAttempts      = 600
)

// A migration holds the lock on one connection, notes the version on another, and may
// do its work on a third.
const migrationConns = 3

// Migrate brings the database to this server's version. Several servers may do
// so at once: one migrates, the others wait for it. A database that is further
// is left as it is.
func Migrate(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	latest, err := latestMigration()
	if err != nil {
		return err
	}
	return migrateTo(ctx, pool, log, latest)
}

func migrateTo(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, version int64) (err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPeriodSeconds, lockAttempts))
	if err != nil {
		return fmt.Errorf("making the migration lock: %w", err)
	}
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("reading the embedded migrations: %w", err)
	}
	if config := pool.Config(); config.MaxConns < migrationConns {
		config.MaxConns, config.MinConns, config.MinIdleConns = migrationConns, 0, 0
		if pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
			return fmt.Errorf("opening the database: %w", err)
		}
		defer pool.Close()
	}
	db := stdlib.OpenDBFromPool(pool)
	// This gives the connections back; the pool stays open.
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithGoMigrations(append(indexings(pool), partitioning(pool))...),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("reading the embedded migrations: %w", err)
	}
	results, err := provider.UpTo(ctx, version)
	if err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	for _, r := range results {
		log.InfoContext(ctx, "database migrated", "version", r.Source.Version, "duration", r.Duration)
	}
	return nil
}

// latestMigration is the version of a database that has all migrations.
func latestMigration() (int64, error) {
	files, err := fs.ReadDir(migrationFiles, "migrations")
	if err != nil {
		return 0, fmt.Errorf("reading the embedded migrations: %w", err)
	}
	latest := int64(partitioningVersion)
	for version := range organizationIndexes {
		latest = max(latest, version)
	}
	for _, f := range files {
		version, err := goose.NumericComponent(f.Name())
		if err != nil {
			return 0, fmt.Errorf("reading the version of migration %s: %w", f.Name(), err)
		}
		latest = max(latest, version)
	}
	return latest, nil
}
