package oracle

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// A compilerFunc is a compiler with a mistake.
type compilerFunc = func(context.Context, *rego.Query, *compiler.Resource, any) (*compiler.Compilation, error)

// mistaken changes what the compiler makes.
func mistaken(change func(sqlgen.Predicate) sqlgen.Predicate) compilerFunc {
	var all func(sqlgen.Predicate) sqlgen.Predicate
	all = func(p sqlgen.Predicate) sqlgen.Predicate {
		switch p := p.(type) {
		case sqlgen.And:
			out := make(sqlgen.And, len(p))
			for i, q := range p {
				out[i] = all(q)
			}
			return change(out)
		case sqlgen.Or:
			out := make(sqlgen.Or, len(p))
			for i, q := range p {
				out[i] = all(q)
			}
			return change(out)
		case sqlgen.Not:
			return change(sqlgen.Not{Of: all(p.Of)})
		default:
			return change(p)
		}
	}
	return func(ctx context.Context, q *rego.Query, r *compiler.Resource, input any) (*compiler.Compilation, error) {
		c, err := compiler.Compile(ctx, q, r, input)
		if err == nil {
			c.Filter = sqlgen.When(all(c.Filter.Predicate()))
		}
		return c, err
	}
}

// mistakes are those that the oracle must find.
var mistakes = map[string]compilerFunc{
	"no negation": mistaken(func(p sqlgen.Predicate) sqlgen.Predicate {
		if not, ok := p.(sqlgen.Not); ok {
			if _, null := not.Of.(sqlgen.Null); !null {
				return not.Of
			}
		}
		return p
	}),
	"less or equal": mistaken(func(p sqlgen.Predicate) sqlgen.Predicate {
		if c, ok := p.(sqlgen.Compare); ok && c.Op == sqlgen.LT {
			c.Op = sqlgen.LE
			return c
		}
		return p
	}),
	"no row for NULL": mistaken(func(p sqlgen.Predicate) sqlgen.Predicate {
		if d, ok := p.(sqlgen.Distinct); ok {
			return sqlgen.Compare{Op: sqlgen.NE, L: d.L, R: d.R}
		}
		return p
	}),
}

// TestShrinkFindsMistakes breaks the translation: random policies find it, and what is
// left of the first is a few lines.
func TestShrinkFindsMistakes(t *testing.T) {
	for name, compile := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			r := newRunner(t, 1)
			r.compile = compile
			for range 500 {
				found := r.next(ctx)
				if found.err == nil {
					continue
				}
				s, err := Shrink(ctx, r.db, found.at, found.row, 3000)
				require.NoError(t, err)
				t.Logf("%v at %v after %d tries:\n%s\n%s\n%v\n%v", s.Symptom, s.Position, s.Tries, s.Policy(), s.Row.Columns, s.Input, s.Filter)
				require.LessOrEqual(t, strings.Count(strings.TrimSpace(s.Policy()), "\n"), 12)
				require.NotZero(t, s.Position.Row)
				return
			}
			t.Fatal("no policy shows the mistake")
		})
	}
}

// TestShrink takes off everything that has nothing to do with the difference.
func TestShrink(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	policy, err := rego.Load(ctx, rego.Module("one.rego", `package authz

import data.other
import data.unused

default allow := false

allow if {
	input.subject.admin
	input.object.t == "nobody"
}

allow if {
	some role in data.roles[input.subject.id]
	role == "reader"
	every x in input.object.ta { not x == "secret" }
	not other.hidden
	other.level == "high"
}

unused if input.object.b
`), rego.Module("two.rego", `package other

hidden if {
	input.object.i >= 3
	not open
}

open if input.object.e == "open"

level := "high" if {
	input.object.w != "x"
} else := "low"
`), rego.Data(map[string]any{"roles": map[string]any{uuidA: []any{"writer", "reader"}, "other": 5}}))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)
	c := Case{
		Query: query, Resource: f.resources["null"], Key: "row_id", Compile: mistakes["less or equal"],
		Input: map[string]any{"subject": map[string]any{"id": uuidA, "groups": []any{}, "name": "x"}, "other": []int{1, 2}},
	}
	report, err := Check(ctx, f.db, c, f.rows["null"])
	require.NoError(t, err)
	require.False(t, report.Exact())
	row := append(report.Lost, report.Leaked...)[0]

	s, err := Shrink(ctx, f.db, c, row, 5000)
	require.NoError(t, err)
	t.Logf("%v after %d tries:\n%s\n%s", s.Position, s.Tries, s.Policy(), s.Row.Columns)
	require.Equal(t, map[string]string{
		"one.rego": "package authz\n\nimport data.other\n\nallow if not other.hidden\n",
		"two.rego": "package other\n\nhidden if input.object.i >= 3\n",
	}, s.Modules)
	require.Equal(t, ast.NewObject(), s.Data)
	require.NotContains(t, s.Input, "other")
	require.Contains(t, s.Row.Columns, `"b":null,"b0":false,`)
	require.Empty(t, s.Row.Key, "it is not the row of the table any more")
	require.Equal(t, "(i <= 3 OR i IS NULL)", s.Filter.Inline())
	require.Equal(t, compiler.Position{File: "two.rego", Row: 4, Col: 2}, s.Position)

	few, err := Shrink(ctx, f.db, c, row, 5)
	require.NoError(t, err)
	require.LessOrEqual(t, few.Tries, 5)
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Shrink(ctx, f.db, c, row, 5000)
	require.Error(t, err)

	c.Compile = nil
	_, err = Shrink(context.Background(), f.db, c, row, 100)
	require.ErrorIs(t, err, ErrNoDifference)
	require.False(t, errors.Is(err, context.Canceled))
}

// TestShrinkWhatFails shrinks a policy whose SQL does not run.
func TestShrinkWhatFails(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	policy, err := rego.Load(ctx, rego.Module("p.rego", "package authz\nallow if {\n\tinput.object.t == \"a\"\n\tinput.object.i == 3\n\tinput.object.b\n}\nallow if input.object.u == \"x\"\n"))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)
	c := Case{Query: query, Resource: f.resources["null"], Key: "row_id", Input: sharedInput, Compile: func(ctx context.Context, q *rego.Query, r *compiler.Resource, input any) (*compiler.Compilation, error) {
		c, err := compiler.Compile(ctx, q, r, input)
		if err == nil {
			c.Filter = sqlgen.When(sqlgen.Rewrite(c.Filter.Predicate(), func(e sqlgen.Expr) sqlgen.Expr {
				if column, ok := e.(sqlgen.Column); ok && column.Name == "i" {
					column.Name = "lost"
					return column
				}
				return e
			}))
		}
		return c, err
	}}
	tx, err := f.db.Begin(ctx) // which a statement that fails would end
	require.NoError(t, err)
	defer tx.Rollback(ctx)
	s, err := Shrink(ctx, tx, c, f.rows["null"][0], 500)
	require.NoError(t, err)
	require.Equal(t, Failed, s.Symptom)
	require.ErrorContains(t, s.Err, "42703")
	require.Equal(t, "package authz\n\nallow if input.object.i == 0\n", s.Policy())
	require.Equal(t, compiler.Position{File: "p.rego", Row: 4, Col: 2}, s.Position)
}
