// Package demo fills a database with demo data: organizations of skewed sizes,
// their people, documents and logs, and sessions for five people who may see
// different parts of it, and for a service that may write logs.
//
// The data are those of a seed, a number of rows and a day: the same three give
// the same rows, byte for byte. The tokens follow from the seed alone and are
// known to whoever reads this code, so a database with demo data is no place for
// other data; [Load] refuses one that has any.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
)

const (
	// DefaultRows is the number of audit logs when none is asked for.
	DefaultRows = 200_000
	// MinRows are the fewest audit logs that show what the data are to show.
	MinRows = 100
	// DefaultOrganizations is their number when none is asked for, and the least.
	DefaultOrganizations = 50
)

// Options says which demo data to load.
type Options struct {
	// Rows is the number of audit logs; 0 is DefaultRows.
	Rows int
	// Organizations is their number; 0 is [DefaultOrganizations]. For each there are
	// ten users. From 200 on the largest has a smaller part of the logs, and some
	// users do much more than others.
	Organizations int
	// Seed chooses names, ids, tokens and what happened.
	Seed uint64
	// Now is the time at whose day (UTC midnight) the logs end; they begin a year
	// before. The zero time is the current time.
	Now time.Time
	// Progress is told how the loading gets on. Nil discards it.
	Progress io.Writer
	// Others says how to come by other demo data than the database has, when
	// it has some. Empty is that an empty database is needed.
	Others string
}

// Result says what the database holds.
type Result struct {
	// People are those who have a session, always six in the same order: owner,
	// site-auditor, org-auditor, member, scoped-token, ingester.
	People []Person
	// Loaded is false when the data had been loaded before: Rows and Seed are
	// theirs then, whatever was asked for.
	Loaded bool
	Rows   int // audit logs
	Seed   uint64
	// Duration is how long loading the audit logs took, with their indexes. 0 if
	// Loaded is false.
	Duration time.Duration
}

// The table is made in the transaction that loads the data: where it is, they
// are complete.
const (
	createMarker = `
CREATE TABLE demo_data (
	seed    bigint  NOT NULL,
	rows    bigint  NOT NULL,
	organizations integer NOT NULL,
	day     date    NOT NULL,
	-- Whether the tables were vacuumed and analyzed after the load.
	settled boolean NOT NULL DEFAULT false
)`
	markerExists = "SELECT to_regclass('demo_data') IS NOT NULL"

	// Roles come with the migrations.
	anyData = `
SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM organizations) OR EXISTS (SELECT FROM audit_logs)
	OR EXISTS (SELECT FROM connection_logs)`

	// An arbitrary number that stands for loading demo data.
	advisoryLock = "SELECT pg_advisory_xact_lock(7236154021)"

	vacuum = `VACUUM (ANALYZE) users, organizations, organization_members, roles, groups, group_members,
	sessions, documents, audit_logs, connection_logs, connection_sessions, resources`
)

// Load fills a migrated, empty database with demo data, in one transaction.
// Where demo data are already, it loads nothing, and says to Progress in what
// they differ from what was asked for. It is an error if there are other data.
func Load(ctx context.Context, pool *pgxpool.Pool, opts Options) (Result, error) {
	if opts.Rows == 0 {
		opts.Rows = DefaultRows
	}
	if opts.Rows < MinRows {
		return Result{}, fmt.Errorf("demo data: %d audit logs are too few, at least %d are needed", opts.Rows, MinRows)
	}
	if opts.Organizations == 0 {
		opts.Organizations = DefaultOrganizations
	}
	if opts.Organizations < DefaultOrganizations {
		return Result{}, fmt.Errorf("demo data: %d organizations are too few, at least %d are needed", opts.Organizations, DefaultOrganizations)
	}
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	if opts.Others == "" {
		opts.Others = "others need an empty database"
	}
	result, err := load(ctx, pool, opts)
	if err != nil {
		return Result{}, fmt.Errorf("loading demo data: %w", err)
	}
	if err := settle(ctx, pool, opts.Progress); err != nil {
		return Result{}, fmt.Errorf("loading demo data: %w", err)
	}
	return result, nil
}

func load(ctx context.Context, pool *pgxpool.Pool, opts Options) (result Result, err error) {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return result, fmt.Errorf("beginning a transaction: %w", err)
	}
	// Does nothing after a commit. An interrupted load is to leave nothing.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// Another server may be loading into the same database.
	if _, err := tx.Exec(ctx, advisoryLock); err != nil {
		return result, fmt.Errorf("waiting for another load: %w", err)
	}
	// See settle: the rows' own commit has to be on disk too.
	if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
		return result, fmt.Errorf("asking for a durable commit: %w", err)
	}
	var loaded, used bool
	if err := tx.QueryRow(ctx, markerExists).Scan(&loaded); err != nil {
		return result, fmt.Errorf("looking for demo data: %w", err)
	}
	if loaded {
		if result, err = loadedBefore(ctx, tx, opts); err != nil {
			return result, err
		}
		return result, tx.Commit(ctx)
	}
	if err := tx.QueryRow(ctx, anyData).Scan(&used); err != nil {
		return result, fmt.Errorf("looking for other data: %w", err)
	}
	if used {
		return result, errors.New("the database holds other data; demo data need an empty one")
	}

	day := opts.Now.UTC().Truncate(24 * time.Hour)
	w := newWorld(opts.Seed, day, opts.Organizations)
	fmt.Fprintf(opts.Progress, "Loading demo data: %d organizations, %d users, %d audit logs\n", len(w.orgs), len(w.users), opts.Rows)
	if err := w.copyTo(ctx, tx); err != nil {
		return result, err
	}
	if err := copyRows(ctx, tx, "sessions", sessionColumns, pgx.CopyFromRows(w.sessions(opts.Rows))); err != nil {
		return result, err
	}
	// Rows of months without a partition would all be in one.
	for _, t := range postgres.LogTables {
		if err := postgres.AddMonths(ctx, tx, t, day.AddDate(-1, 0, 0), day); err != nil {
			return result, err
		}
	}
	if err := copyRows(ctx, tx, "connection_logs", connectionColumns, newConnectionLogs(w)); err != nil {
		return result, err
	}
	if err := w.addIngester(ctx, tx); err != nil {
		return result, err
	}
	start := time.Now()
	if err := copyAuditLogs(ctx, tx, w, opts); err != nil {
		return result, err
	}
	duration := time.Since(start)
	if _, err := tx.Exec(ctx, "SELECT register_resources(), register_connection_sessions()"); err != nil {
		return result, fmt.Errorf("registering what the logs speak of: %w", err)
	}
	if _, err := tx.Exec(ctx, createMarker); err != nil {
		return result, fmt.Errorf("marking the data as loaded: %w", err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO demo_data (seed, rows, organizations, day) VALUES ($1, $2, $3, $4)",
		int64(opts.Seed), opts.Rows, opts.Organizations, day)
	if err != nil {
		return result, fmt.Errorf("marking the data as loaded: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return result, fmt.Errorf("committing: %w", err)
	}
	fmt.Fprintf(opts.Progress, "Loaded %d audit logs in %.1f s (%.0f rows/s)\n",
		opts.Rows, duration.Seconds(), math.Round(float64(opts.Rows)/duration.Seconds()))
	return Result{People: w.people(), Loaded: true, Rows: opts.Rows, Seed: opts.Seed, Duration: duration}, nil
}

// loadedBefore describes the demo data that are there.
func loadedBefore(ctx context.Context, tx pgx.Tx, opts Options) (Result, error) {
	var (
		seed   int64
		result Result
		day    time.Time
	)
	// Data of earlier versions do not say how many organizations they have.
	const loaded = "SELECT seed, rows, coalesce((to_jsonb(demo_data)->>'organizations')::integer, $1), day FROM demo_data"
	var organizations int
	if err := tx.QueryRow(ctx, loaded, DefaultOrganizations).Scan(&seed, &result.Rows, &organizations, &day); err != nil {
		return result, fmt.Errorf("reading what was loaded before: %w", err)
	}
	result.Seed = uint64(seed)
	w := newWorld(result.Seed, day, organizations)
	result.People = w.people()
	if err := w.addIngester(ctx, tx); err != nil {
		return result, err
	}
	for _, p := range result.People {
		var valid bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM sessions WHERE token_hash = $1 AND expires_at > now())",
			audit.TokenHash(p.Token)).Scan(&valid)
		if err != nil {
			return result, fmt.Errorf("looking up the session of %s: %w", p.Name, err)
		}
		if !valid {
			return result, fmt.Errorf("the database has demo data, but no session of %s that is valid; an empty database is needed", p.Name)
		}
	}
	if result.Rows != opts.Rows {
		fmt.Fprintf(opts.Progress, "The database has demo data of %d audit logs, not %d: they are kept; %s.\n",
			result.Rows, opts.Rows, opts.Others)
	}
	if result.Seed != opts.Seed {
		fmt.Fprintf(opts.Progress, "The database has demo data of seed %d, not %d: they are kept; %s.\n",
			result.Seed, opts.Seed, opts.Others)
	}
	return result, nil
}

// settle vacuums and analyzes the tables, which can't be done inside the
// transaction: without it no scan is index-only, and the planner guesses. It may
// have been interrupted the last time.
func settle(ctx context.Context, pool *pgxpool.Pool, progress io.Writer) error {
	var settled bool
	if err := pool.QueryRow(ctx, "SELECT settled FROM demo_data").Scan(&settled); err != nil {
		return fmt.Errorf("reading what was loaded: %w", err)
	}
	if settled {
		return nil
	}
	fmt.Fprintln(progress, "Vacuuming and analyzing")
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("vacuuming and analyzing: %w", err)
	}
	defer conn.Release()
	for _, sql := range []string{
		// Where commits are asynchronous, VACUUM marks no page as visible to all
		// whose rows' commit may not be on disk yet; its own commits between the
		// tables put that off for their neighbours.
		"SET synchronous_commit = on",
		vacuum,
		"RESET synchronous_commit",
		"UPDATE demo_data SET settled = true",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("vacuuming and analyzing: %w", err)
		}
	}
	return nil
}

func copyRows(ctx context.Context, tx pgx.Tx, table string, columns []string, rows pgx.CopyFromSource) error {
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, rows); err != nil {
		return fmt.Errorf("copying %s: %w", table, err)
	}
	return nil
}

// copyAuditLogs copies the rows without secondary indexes and builds those
// afterwards: a million rows took 13 seconds so, and 64 with the indexes in
// place. The transaction puts them back if anything goes wrong.
func copyAuditLogs(ctx context.Context, tx pgx.Tx, w *world, opts Options) error {
	indexes, err := dropIndexes(ctx, tx)
	if err != nil {
		return err
	}
	m := newMeter(opts.Progress, "Audit logs", "rows", opts.Rows)
	if err := copyRows(ctx, tx, "audit_logs", auditColumns, newAuditLogs(w, opts.Rows, m)); err != nil {
		return err
	}
	m.finish()
	return createIndexes(ctx, tx, indexes, opts.Progress)
}
