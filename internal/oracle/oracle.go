// Package oracle checks the promise: that the SQL of a policy selects a row exactly
// when a full OPA evaluation, with the row's document in the place of the unknown,
// allows it.
package oracle

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// DB is what the oracle needs of a connection.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Row is a row of the resource's table and its document.
type Row struct {
	ID  int64
	Doc map[string]any
}

// Case is a policy, what is known of the request, and the rows to decide on. The
// table has a bigint column row_id that is none of the resource's fields.
type Case struct {
	Query    *rego.Query
	Resource *compiler.Resource
	Input    map[string]any // without the row's document
	Rows     []Row
}

// Difference is a row on which OPA and PostgreSQL disagree.
type Difference struct {
	Row     Row
	Allowed bool   // by OPA; the SQL says the opposite
	SQL     string // inlined
}

// Error says which way the row went wrong.
func (d *Difference) Error() string {
	verdict := "lost: OPA allows it and the SQL does not select it"
	if !d.Allowed {
		verdict = "leaked: the SQL selects it and OPA does not allow it"
	}
	return fmt.Sprintf("row %d is %s\n  document: %v\n  SQL: %s", d.Row.ID, verdict, d.Row.Doc, d.SQL)
}

// Check compiles the case and compares, row by row. It returns the filter, an
// error of the compiler where the policy is refused, a *[Difference] where the
// promise is broken, and other errors where something fails to run.
func Check(ctx context.Context, db DB, c Case) (sqlgen.Filter, error) {
	compiled, err := compiler.Compile(ctx, c.Query, c.Resource, c.Input)
	if err != nil {
		return sqlgen.Never(), err
	}
	f := compiled.Filter
	where, args := f.SQL(1)
	selected, err := ids(ctx, db, c.Resource.Table, where, args)
	if err != nil {
		return f, fmt.Errorf("running %s: %w", where, err)
	}
	inlined, err := ids(ctx, db, c.Resource.Table, f.Inline(), nil)
	if err != nil {
		return f, fmt.Errorf("running %s: %w", f.Inline(), err)
	}
	if !maps.Equal(selected, inlined) {
		return f, fmt.Errorf("bound and inlined SQL select different rows: %s, %s %v", f.Inline(), where, args)
	}
	for _, row := range c.Rows {
		input, err := Input(c.Resource, c.Input, row.Doc)
		if err != nil {
			return f, err
		}
		allowed, err := c.Query.Eval(ctx, input)
		if err != nil {
			allowed = false // an evaluation that stops allows nothing
		}
		if allowed != selected[row.ID] {
			return f, &Difference{row, allowed, f.Inline()}
		}
	}
	return f, nil
}

// Input is the request with the row's document at the resource's root.
func Input(r *compiler.Resource, input, doc map[string]any) (ast.Value, error) {
	full := maps.Clone(input)
	if full == nil {
		full = map[string]any{}
	}
	at := full
	path := r.Root[1:]
	for i, key := range path {
		k := string(key.Value.(ast.String))
		if i == len(path)-1 {
			at[k] = doc
			break
		}
		next, _ := at[k].(map[string]any)
		next = maps.Clone(next)
		if next == nil {
			next = map[string]any{}
		}
		at[k] = next
		at = next
	}
	v, err := ast.InterfaceToValue(full)
	if err != nil {
		return nil, fmt.Errorf("making the input of a row: %w", err)
	}
	return v, nil
}

func ids(ctx context.Context, db DB, table, where string, args []any) (map[int64]bool, error) {
	rows, err := db.Query(ctx, "SELECT row_id FROM "+table+" WHERE "+where, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	set := make(map[int64]bool, len(list))
	for _, id := range list {
		set[id] = true
	}
	return set, nil
}
