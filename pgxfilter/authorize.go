package pgxfilter

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/marker"
	"github.com/rowfence/rowfence/sqlgen"
)

// DBTX is a pgx connection, pool or transaction, as generated code takes it.
type DBTX interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// DB runs queries with the filters of the context's request in the places of their
// markers. The name in a marker is that of the resource.
type DB struct{ db DBTX }

var _ DBTX = DB{}

// Authorize is db for queries that all say what they need:
//
//	/* authorize: document */ FALSE       the filter of the resource document
//	/* authorize: document as d */ FALSE  with the columns of d
//	/* authorize: none */                that no filter is needed
//
// A query that has none of them does not run, nor one that needs a filter where the
// context has no [rowfence.Request].
func Authorize(db DBTX) DB { return DB{db} }

// Exec runs a statement.
func (d DB) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	return d.db.Exec(ctx, query, arguments(fromContext{}, args)...)
}

// Query runs a query.
func (d DB) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	return d.db.Query(ctx, query, arguments(fromContext{}, args)...)
}

// QueryRow runs a query of one row.
func (d DB) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	return d.db.QueryRow(ctx, query, arguments(fromContext{}, args)...)
}

// fromContext rewrites queries with the filters of their context's request.
type fromContext struct{}

func (fromContext) RewriteQuery(ctx context.Context, _ *pgx.Conn, query string, args []any) (string, []any, error) {
	return marker.Replace(query, args, func(m marker.Marker) (sqlgen.Filter, error) {
		return rowfence.FilterFrom(ctx, m.Name)
	})
}
