// Package sqlfilter puts filters into queries that database/sql runs, with any driver
// for PostgreSQL.
//
//	query, args, err := sqlfilter.Rewrite(`SELECT title FROM documents AS d
//		WHERE d.folder_id = $1 AND /* authorize: document as d */ FALSE`, filters, folder)
//	rows, err := db.QueryContext(ctx, query, args...)
//
// An argument that is an array must not meet a generic plan, which can be 10,000 times
// slower (docs/decisions/arrays-and-plans.md), and drivers prepare what they run. So
// connect with [CustomPlans].
package sqlfilter

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/marker"
	"github.com/rowfence/rowfence/sqlgen"
)

// Filters are the filters of a query by the names in its markers.
type Filters map[string]sqlgen.Filter

// Rewrite puts filters in the places of a query's markers. Their arguments come after
// args; arrays are written as texts, which every driver can pass. Every marker needs a
// filter, and every filter a marker. On an error there is no query.
func Rewrite(query string, filters Filters, args ...any) (string, []any, error) {
	used := map[string]bool{}
	out, all, err := replace(query, args, func(m marker.Marker) (sqlgen.Filter, error) {
		f, ok := filters[m.Name]
		if !ok {
			return f, fmt.Errorf("query: no filter is given for the marker %q", m.Name)
		}
		used[m.Name] = true
		return f, nil
	})
	if err != nil {
		return "", nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		if !used[name] {
			return "", nil, fmt.Errorf("query: the filter %q is given, and there is no marker for it", name)
		}
	}
	return out, all, nil
}

func replace(query string, args []any, filter func(marker.Marker) (sqlgen.Filter, error)) (string, []any, error) {
	out, all, err := marker.Replace(query, args, filter)
	if err != nil {
		return "", nil, err
	}
	for i := range all[len(args):] {
		arg := &all[len(args)+i]
		if *arg, err = sqlgen.ArgText(*arg); err != nil {
			return "", nil, err
		}
	}
	return out, all, nil
}

// Condition is a filter as a condition and its arguments, numbered after so many that
// the query has already. alias is what the query calls the table; empty where columns
// are not qualified.
func Condition(f sqlgen.Filter, alias string, have int) (string, []any, error) {
	if alias != "" {
		f = f.As(alias)
	}
	where, args := f.SQL(have + 1)
	out := make([]any, len(args))
	for i, arg := range args {
		var err error
		if out[i], err = sqlgen.ArgText(arg); err != nil {
			return "", nil, err
		}
	}
	return where, out, nil
}

// DBTX is a *sql.DB, *sql.Conn or *sql.Tx, as generated code takes it.
type DBTX interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DB runs queries with the filters of the context's request in the places of their
// markers. The name in a marker is that of the resource.
type DB struct{ db DBTX }

var _ DBTX = DB{}

// Authorize is db for queries that all say what they need: see the marker's forms at
// pgxfilter.Authorize. A query without a marker does not run, nor one that needs a
// filter where the context has no [rowfence.Request].
func Authorize(db DBTX) DB { return DB{db} }

// ExecContext runs a statement.
func (d DB) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args, err := fromContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return d.db.ExecContext(ctx, query, args...)
}

// QueryContext runs a query.
func (d DB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, args, err := fromContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return d.db.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query of one row. What is wrong with it is the row's error.
func (d DB) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	query, args, err := fromContext(ctx, query, args)
	if err != nil {
		// Only a driver can make a row with an error: it gets an argument that is one.
		return d.db.QueryRowContext(ctx, "SELECT $1::text", refused{err})
	}
	return d.db.QueryRowContext(ctx, query, args...)
}

// refused is an argument that no driver can pass.
type refused struct{ err error }

// Value is the error.
func (r refused) Value() (driver.Value, error) { return nil, r.err }

// ErrPrepare is what [DB.PrepareContext] returns.
var ErrPrepare = errors.New("a statement with a filter is not prepared: it is another one for each request")

// PrepareContext always fails, with ErrPrepare.
func (d DB) PrepareContext(context.Context, string) (*sql.Stmt, error) { return nil, ErrPrepare }

func fromContext(ctx context.Context, query string, args []any) (string, []any, error) {
	return replace(query, args, func(m marker.Marker) (sqlgen.Filter, error) {
		return rowfence.FilterFrom(ctx, m.Name)
	})
}

const planCacheMode, forceCustom = "plan_cache_mode", "force_custom_plan"

// CustomPlans is a connection string with which PostgreSQL plans every statement with
// its arguments' values: a URL, or keywords and values. It is left as it is where it
// says something of plan_cache_mode already.
func CustomPlans(dsn string) (string, error) {
	if !strings.Contains(dsn, "://") {
		if strings.Contains(dsn, planCacheMode) {
			return dsn, nil
		}
		return strings.TrimSpace(dsn + " " + planCacheMode + "=" + forceCustom), nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("reading the connection string: %w", unquoted(err))
	}
	q := u.Query()
	if !q.Has(planCacheMode) {
		q.Set(planCacheMode, forceCustom)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// unquoted is an error without the connection string, which may hold a password.
func unquoted(err error) error {
	if e, ok := err.(*url.Error); ok { //nolint:errorlint // Parse returns nothing else
		return e.Err
	}
	return err
}
