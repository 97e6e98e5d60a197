// Package peer asks OPA's own SQL target, v1/rego/compile, for the SQL of each
// conformance file of Rowfence. It is a module of its own, so that what that target
// depends on reaches no user of Rowfence.
//
// Its test keeps the section opa of the files. Package oracle of Rowfence runs the SQL
// that stands there, and holds it against full evaluation.
package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/rego/compile"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/conformance"
)

// table is how OPA is told of a resource. Its unknowns are the fields that are columns,
// and its known input the document's constants, as for Rowfence; OPA's documentation
// has the whole document unknown, and then some constructs less are exact. It has no
// way to say what type a column has, or what NULL looks like.
type table struct {
	unknowns  []*ast.Term
	constants ast.Value // the document that is known, or nil
	mappings  map[string]any
	root      ast.Ref
}

func newTable(r *compiler.Resource) (table, error) {
	columns := map[string]any{"$self": r.Table}
	constants := map[string]any{}
	t := table{root: r.Root}
	for _, f := range r.Fields {
		if f.Const != nil {
			if err := put(constants, f.Path, f.Const); err != nil {
				return t, err
			}
			continue
		}
		ref := slices.Clone(r.Root)
		for _, key := range f.Path {
			ref = append(ref, ast.StringTerm(key))
		}
		t.unknowns = append(t.unknowns, ast.NewTerm(ref))
		if f.Column.Name != "" {
			columns[strings.Join(f.Path, ".")] = f.Column.Name
		}
	}
	if len(r.Root) != 2 {
		return t, fmt.Errorf("OPA wants a root of one key below the input, and not %v", r.Root)
	}
	name, _ := r.Root[1].Value.(ast.String)
	t.mappings = map[string]any{string(name): columns}
	var err error
	t.constants, err = ast.InterfaceToValue(constants)
	return t, err
}

// put sets the value at a path of an object of objects.
func put(object map[string]any, path []string, v ast.Value) error {
	for _, key := range path[:len(path)-1] {
		next, ok := object[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			object[key] = next
		}
		object = next
	}
	value, err := ast.JSON(v)
	object[path[len(path)-1]] = value
	return err
}

// ask is what OPA makes of a construct. SQL that holds the time or random numbers of
// when it was made is not the policy's, and is left out.
func (t table) ask(ctx context.Context, f conformance.File) (conformance.Peer, error) {
	first, err := t.askAt(ctx, f, moment{time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), 1})
	if err != nil {
		return first, err
	}
	second, err := t.askAt(ctx, f, moment{time.Date(2028, 2, 2, 2, 2, 2, 2, time.UTC), 2})
	if err == nil && first.SQL != second.SQL {
		return conformance.Peer{Moment: true}, nil
	}
	return first, err
}

// moment is what a policy can see of when it is evaluated.
type moment struct {
	now  time.Time
	seed byte
}

func (t table) askAt(ctx context.Context, f conformance.File, at moment) (p conformance.Peer, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = conformance.Peer{Crashes: fmt.Sprint(r)}, nil
		}
	}()
	known, err := ast.InterfaceToValue(f.Input)
	if err != nil {
		return p, fmt.Errorf("reading the input: %w", err)
	}
	if obj, ok := known.(ast.Object); ok && obj.Get(t.root[1]) == nil {
		obj.Insert(t.root[1], ast.NewTerm(t.constants))
	}
	offline := ast.CapabilitiesForThisVersion()
	offline.AllowNet = []string{}
	options := []func(*rego.Rego){
		rego.ParsedInput(known),
		rego.Store(inmem.NewFromObject(f.Data)),
		rego.Capabilities(offline),
	}
	for name, text := range f.Policy() {
		options = append(options, rego.Module(name, text))
	}
	prepared, err := compile.New(
		compile.Target("sql", "postgresql"),
		compile.ParsedUnknowns(t.unknowns...),
		compile.ParsedQuery(ast.MustParseBody("data.authz.allow")),
		compile.Mappings(t.mappings),
		compile.Rego(options...),
	).Prepare(ctx)
	if err != nil {
		return conformance.Peer{Refuses: message(err)}, nil
	}
	filters, err := prepared.Compile(ctx, rego.EvalTime(at.now), rego.EvalSeed(rand.NewChaCha8([32]byte{at.seed})))
	if err != nil {
		return conformance.Peer{Refuses: message(err)}, nil
	}
	switch where := filters.For("sql", "postgresql").Query.(type) {
	case nil:
		p.SQL = conformance.PeerNone
	case string:
		if strings.ContainsAny(where, "\r\n") {
			return p, fmt.Errorf("SQL of several lines: %s", where)
		}
		p.SQL = where
		if where == "" {
			p.SQL = conformance.PeerAll
		}
	default:
		err = fmt.Errorf("OPA made a %T", where)
	}
	return p, err
}

// message is what the error says, once and without places and ways out.
func message(err error) string {
	var errs ast.Errors
	if !errors.As(err, &errs) {
		return err.Error()
	}
	var out []string
	for _, e := range errs {
		out = append(out, e.Message)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "; ")
}
