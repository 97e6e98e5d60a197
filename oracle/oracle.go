// Package oracle checks the promise: that the SQL of a policy selects a row exactly
// when a full OPA evaluation, with the row's document in the place of the unknown,
// allows it.
//
// It reads rows of a real table, or takes rows that it makes, lets PostgreSQL make
// their documents, decides on each with OPA and compares with what the SQL selects.
// Everything it sends to the database is a SELECT.
package oracle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/open-policy-agent/opa/v1/ast"
	"golang.org/x/sync/errgroup"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// DB is what the oracle needs of a database. A transaction that reads one snapshot is
// best: a row that changes between two statements looks like a difference.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Case is a policy, a resource and what is known of the request.
type Case struct {
	Query    *rego.Query
	Resource *compiler.Resource
	Input    map[string]any // without the row's document
	// Key is a SQL expression that names a row of the table as text. The default is
	// the row's place, which views don't have.
	Key string
	// Compile takes the place of [compiler.Compile], unless it is nil: for tests of
	// the oracle itself.
	Compile func(context.Context, *rego.Query, *compiler.Resource, any) (*compiler.Compilation, error)
	// Direct has OPA's verdict on each row held against that of package rego's direct
	// evaluation, too, where that evaluates the policy.
	Direct bool
}

// placeOfRow is unique in a partitioned table, too.
const placeOfRow = "tableoid::text || ctid::text"

func (c Case) key() string {
	if c.Key == "" {
		return "(" + placeOfRow + ")"
	}
	return "(" + c.Key + ")::text"
}

// Row is a row of the resource's table.
type Row struct {
	Key      string    // names the row; empty for one that was made
	Document ast.Value // as PostgreSQL makes it
	Columns  string    // the row as jsonb, an object of all its columns
}

// Report is what a check found.
type Report struct {
	Filter  sqlgen.Filter
	Rows    int   // looked at
	Allowed []Row // by OPA
	Leaked  []Row // the SQL selects them, and OPA does not allow them
	Lost    []Row // OPA allows them, and the SQL does not select them
}

// Exact reports whether the promise holds for all rows.
func (r *Report) Exact() bool { return len(r.Leaked)+len(r.Lost) == 0 }

// Err describes the first difference; nil where there is none.
func (r *Report) Err() error {
	switch {
	case len(r.Leaked) > 0:
		return fmt.Errorf("%d rows leaked: the SQL selects them and OPA does not allow them\n  document: %v\n  SQL: %v", len(r.Leaked), r.Leaked[0].Document, r.Filter)
	case len(r.Lost) > 0:
		return fmt.Errorf("%d rows lost: OPA allows them and the SQL does not select them\n  document: %v\n  SQL: %v", len(r.Lost), r.Lost[0].Document, r.Filter)
	default:
		return nil
	}
}

// Check compiles the case and compares, row by row, all at one instant. The rows are of the resource's
// table. The error is the compiler's where the policy is refused, and another where
// something fails to run; a difference is none.
func Check(ctx context.Context, db DB, c Case, rows []Row) (*Report, error) {
	c.Query = c.Query.At(c.Query.Now())
	f, err := c.compile(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.Key
	}
	where, args := f.SQL(2)
	selected, err := c.selected(ctx, db, where, keys, args)
	if err != nil {
		return nil, err
	}
	inlined, err := c.selected(ctx, db, f.Inline(), keys, nil)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(selected, inlined) {
		return nil, fmt.Errorf("bound and inlined SQL select different rows: %s, %s %v", f.Inline(), where, args)
	}
	return c.compare(ctx, f, rows, func(i int) bool { return selected[rows[i].Key] })
}

func (c Case) compile(ctx context.Context) (sqlgen.Filter, error) {
	compile := c.Compile
	if compile == nil {
		compile = compiler.Compile
	}
	compiled, err := compile(ctx, c.Query, c.Resource, c.Input)
	if err != nil {
		return sqlgen.Never(), err
	}
	return compiled.Filter, nil
}

// compare holds the filter's verdict on each row against OPA's.
func (c Case) compare(ctx context.Context, f sqlgen.Filter, rows []Row, selected func(int) bool) (*Report, error) {
	report := &Report{Filter: f, Rows: len(rows)}
	known, err := ast.InterfaceToValue(c.Input)
	if err != nil {
		return nil, fmt.Errorf("reading the input: %w", err)
	}
	allowed := make([]bool, len(rows))
	var direct *rego.Derivation
	if c.Direct {
		direct = c.Query.Direct()
	}
	var work errgroup.Group
	size := max(1, len(rows)/(4*runtime.GOMAXPROCS(0)))
	work.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < len(rows); from += size {
		work.Go(func() (err error) {
			for i := from; i < min(from+size, len(rows)) && err == nil; i++ {
				allowed[i], err = c.allows(ctx, direct, known, rows[i].Document)
			}
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	for i, row := range rows {
		switch {
		case allowed[i] && !selected(i):
			report.Lost = append(report.Lost, row)
		case !allowed[i] && selected(i):
			report.Leaked = append(report.Leaked, row)
		}
		if allowed[i] {
			report.Allowed = append(report.Allowed, row)
		}
	}
	return report, nil
}

// allows is OPA's verdict. An evaluation that stops with an error allows nothing.
func (c Case) allows(ctx context.Context, direct *rego.Derivation, known, document ast.Value) (bool, error) {
	input, err := replaced(known, c.Resource.Root[1:], document)
	if err != nil {
		return false, fmt.Errorf("making the input of a row: %w", err)
	}
	allowed, err := c.Query.Eval(ctx, input)
	if ctx.Err() != nil {
		return false, fmt.Errorf("evaluating the policy for a row: %w", ctx.Err())
	}
	allowed = allowed && err == nil
	if direct != nil {
		values, err := direct.Eval(ctx, input)
		if says := err == nil && values[0] != nil && values[0].Compare(ast.Boolean(true)) == 0; says != allowed {
			return false, fmt.Errorf("direct evaluation says %v, and OPA %v: %v (%w)", says, allowed, input, err)
		}
	}
	return allowed, nil
}

// selected are the keys of the rows for which the condition is true. Arguments of the
// condition are numbered from 2.
func (c Case) selected(ctx context.Context, db DB, where string, keys []string, args []any) (map[string]bool, error) {
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE (%s) AND %[1]s = ANY($1::text[])", c.key(), sqlgen.QuoteName(c.Resource.Table), where)
	if c.Key == "" { // the rows of these places are read, and not the whole table
		sql += fmt.Sprintf(" AND ctid = ANY($%d::tid[])", len(args)+2)
		args = append(slices.Clone(args), places(keys))
	}
	rows, err := db.Query(ctx, sql, append([]any{keys}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", where, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", where, err)
	}
	set := make(map[string]bool, len(list))
	for _, key := range list {
		set[key] = true
	}
	return set, nil
}

// places are the ctids in keys of the default form.
func places(keys []string) []string {
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = key[strings.IndexByte(key, '('):]
	}
	return out
}

// CheckMade is [Check] of rows that are in no table: each is an object of columns, as
// [Row] has it.
func CheckMade(ctx context.Context, db DB, c Case, columns []string) (*Report, error) {
	c.Query = c.Query.At(c.Query.Now())
	f, err := c.compile(ctx)
	if err != nil {
		return nil, err
	}
	document, err := c.Resource.DocumentSQL()
	if err != nil {
		return nil, err
	}
	where, args := f.SQL(2)
	table := sqlgen.QuoteName(c.Resource.Table)
	sql := fmt.Sprintf("SELECT %s, (%s) IS TRUE, (%s) IS TRUE FROM jsonb_populate_recordset(NULL::%s, $1::jsonb) AS %s",
		document, where, f.Inline(), table, table[strings.LastIndexByte(table, '.')+1:])
	rows, err := db.Query(ctx, sql, append([]any{"[" + strings.Join(columns, ",") + "]"}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", where, err)
	}
	var made []Row
	var selected []bool
	var text string
	var bound, inlined bool
	_, err = pgx.ForEachRow(rows, []any{&text, &bound, &inlined}, func() error {
		if bound != inlined {
			return fmt.Errorf("bound and inlined SQL select different rows: %s, %s %v", f.Inline(), where, args)
		}
		doc, err := ast.ValueFromReader(strings.NewReader(text))
		if err != nil {
			return fmt.Errorf("reading the document of a row: %w", err)
		}
		made = append(made, Row{Document: doc, Columns: columns[len(made)]})
		selected = append(selected, bound)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", where, err)
	}
	return c.compare(ctx, f, made, func(i int) bool { return selected[i] })
}

// replaced is v with another value at a path of keys; what stands in the way makes
// room for it.
func replaced(v ast.Value, path ast.Ref, by ast.Value) (ast.Value, error) {
	if len(path) == 0 {
		return by, nil
	}
	obj, ok := v.(ast.Object)
	if !ok {
		if _, null := v.(ast.Null); v != nil && !null {
			return nil, errors.New("the row's document stands inside a value that is no object")
		}
		obj = ast.NewObject()
	}
	out := ast.NewObject()
	obj.Foreach(func(k, x *ast.Term) { out.Insert(k, x) })
	var have ast.Value
	if x := obj.Get(path[0]); x != nil {
		have = x.Value
	}
	below, err := replaced(have, path[1:], by)
	if err != nil {
		return nil, err
	}
	out.Insert(path[0], ast.NewTerm(below))
	return out, nil
}
