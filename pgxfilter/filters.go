// Package pgxfilter puts filters into queries that pgx runs.
//
// A query is written with a marker where a filter belongs: a comment, and behind it TRUE
// or FALSE, which the filter takes the place of. With FALSE the query selects nothing
// when it runs as it is written:
//
//	SELECT d.title FROM documents AS d
//	WHERE d.folder_id = $1 AND /* authorize: document as d */ FALSE
//
// [Filters] replaces the markers of one query, [Authorize] those of all queries of a
// connection, such as the ones that sqlc generates. Whatever is wrong with a marker or a
// filter, the query does not run.
//
// An argument that is an array must not meet a generic plan, which can be 10,000 times
// slower: docs/decisions/arrays-and-plans.md. [Filters.Args] and [Authorize] see to it
// for their queries, [ForceCustomPlans] for all of a connection.
package pgxfilter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/internal/marker"
	"github.com/rowfence/rowfence/sqlgen"
)

// Filters are the filters of a query by the names in its markers. It is a
// [pgx.QueryRewriter], and stands in front of the query's arguments:
//
//	rows, err := db.Query(ctx, query, filters.Args(folder)...)
//
// Every marker needs a filter, and every filter a marker.
type Filters map[string]sqlgen.Filter

var _ pgx.QueryRewriter = Filters{}

// RewriteQuery is that of a [pgx.QueryRewriter].
func (f Filters) RewriteQuery(_ context.Context, _ *pgx.Conn, query string, args []any) (string, []any, error) {
	used := map[string]bool{}
	query, args, err := marker.Replace(query, args, func(m marker.Marker) (sqlgen.Filter, error) {
		filter, ok := f[m.Name]
		if !ok {
			return filter, fmt.Errorf("query: no filter is given for the marker %q", m.Name)
		}
		used[m.Name] = true
		return filter, nil
	})
	if err != nil {
		return "", nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if !used[name] {
			return "", nil, fmt.Errorf("query: the filter %q is given, and there is no marker for it", name)
		}
	}
	return query, args, nil
}

// Args are the arguments of a query: f, an execution mode in which PostgreSQL plans the
// query with its values, and args, which may begin with another rewriter, such as
// [pgx.NamedArgs].
func (f Filters) Args(args ...any) []any { return arguments(f, args) }

func arguments(f pgx.QueryRewriter, args []any) []any {
	out := []any{pgx.QueryExecModeCacheDescribe}
	for i, arg := range args { // the options of pgx stand in front
		switch arg := arg.(type) {
		case pgx.QueryRewriter:
			return append(append(out, after{arg, f}), args[i+1:]...)
		case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
			out = append(out, arg)
			continue
		}
		return append(append(out, f), args[i:]...)
	}
	return append(out, f)
}

// after rewrites what another rewriter made, which leaves comments as they are.
type after struct{ first, then pgx.QueryRewriter }

func (a after) RewriteQuery(ctx context.Context, conn *pgx.Conn, query string, args []any) (string, []any, error) {
	query, args, err := a.first.RewriteQuery(ctx, conn, query, args)
	if err != nil {
		return "", nil, fmt.Errorf("query: %w", err)
	}
	return a.then.RewriteQuery(ctx, conn, query, args)
}

// ForceCustomPlans lets PostgreSQL plan every statement of a connection with its
// arguments' values, prepared ones, too. Planning costs some tenths of a millisecond.
func ForceCustomPlans(c *pgx.ConnConfig) {
	if c.RuntimeParams == nil {
		c.RuntimeParams = map[string]string{}
	}
	c.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
}

// Condition is a filter as a condition and its arguments, numbered after so many that
// the query has already. alias is what the query calls the table; empty where columns
// are not qualified.
func Condition(f sqlgen.Filter, alias string, have int) (string, []any) {
	if alias != "" {
		f = f.As(alias)
	}
	where, args := f.SQL(have + 1)
	return where, args
}

// Named is a filter as a condition whose arguments are added to those of the query.
// prefix tells its names from theirs.
func Named(f sqlgen.Filter, prefix string, into pgx.NamedArgs) (string, error) {
	where, args := f.Named(prefix)
	for name, v := range args {
		if _, taken := into[name]; taken {
			return "", fmt.Errorf("query: the argument %s is there already: choose another prefix than %s", name, strings.TrimSpace(prefix))
		}
		into[name] = v
	}
	return where, nil
}
