package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

// scope follows the variables of a rule to what they are bound to: OPA's compiler has
// given each one a name of its own.
type scope struct {
	query *rego.Query
	rule  *ast.Rule
	bound map[ast.Var]*ast.Term // to a reference or a constant
}

func newScope(q *rego.Query, rule *ast.Rule) *scope {
	s := &scope{query: q, rule: rule, bound: map[ast.Var]*ast.Term{}}
	twice := map[ast.Var]bool{}
	bind := func(v ast.Var, to *ast.Term) {
		have := s.bound[v]
		switch {
		case have == nil, ast.IsConstant(have.Value):
			s.bound[v] = to
		case !ast.IsConstant(to.Value) && !have.Equal(to):
			twice[v] = true
		}
	}
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if every, ok := e.Terms.(*ast.Every); ok {
			if v, ok := every.Value.Value.(ast.Var); ok {
				if elem, ok := elementOf(every.Domain); ok {
					bind(v, elem)
				}
			}
		}
		if b, ok := binding(e); ok {
			bind(b.name, b.term)
		}
		return false
	})
	// a name that two comprehensions use is not one variable
	for v := range twice {
		delete(s.bound, v)
	}
	for _, arg := range rule.Head.Args {
		ast.WalkVars(arg, func(v ast.Var) bool {
			delete(s.bound, v)
			return false
		})
	}
	return s
}

// elementOf is a reference to any element of a collection.
func elementOf(coll *ast.Term) (*ast.Term, bool) {
	switch v := coll.Value.(type) {
	case ast.Ref:
		return ast.NewTerm(v.Append(ast.VarTerm("$every"))), true
	case ast.Var:
		return ast.NewTerm(ast.Ref{coll, ast.VarTerm("$every")}), true
	}
	return nil, false
}

type bindingExpr struct {
	name ast.Var
	term *ast.Term
}

// binding reads a variable = a reference or a constant.
func binding(e *ast.Expr) (b bindingExpr, ok bool) {
	if e.Negated || !e.IsEquality() || len(e.With) > 0 {
		return b, false
	}
	for i := range 2 {
		v, isVar := e.Operand(i).Value.(ast.Var)
		to := e.Operand(1 - i)
		if !isVar || v.IsWildcard() {
			continue
		}
		if _, isRef := to.Value.(ast.Ref); isRef || ast.IsConstant(to.Value) {
			return bindingExpr{v, to}, true
		}
	}
	return b, false
}

// maxSteps bounds how far a variable is followed: x = y[_] and y = x[_] go round.
const maxSteps = 20

// expand follows a term to a reference into the input or data.
func (s *scope) expand(t *ast.Term) (ast.Ref, bool) {
	ref, ok := t.Value.(ast.Ref)
	if v, isVar := t.Value.(ast.Var); isVar {
		ref, ok = ast.Ref{ast.NewTerm(v)}, true
	}
	for step := 0; ok && step < maxSteps; step++ {
		head, isVar := ref[0].Value.(ast.Var)
		if !isVar {
			return nil, false
		}
		if ref.HasPrefix(ast.InputRootRef) || ref.HasPrefix(ast.DefaultRootRef) {
			return ref, true
		}
		to := s.bound[head]
		if to == nil {
			return nil, false
		}
		base, isRef := to.Value.(ast.Ref)
		if !isRef {
			return nil, false
		}
		ref = base.Concat(ref[1:])
	}
	return nil, false
}

// constant follows a term to a value that is known from the policy's text.
func (s *scope) constant(t *ast.Term) (ast.Value, bool) {
	if ast.IsConstant(t.Value) {
		return t.Value, true
	}
	if v, ok := t.Value.(ast.Var); ok {
		if to := s.bound[v]; to != nil && ast.IsConstant(to.Value) {
			return to.Value, true
		}
	}
	if ref, ok := s.expand(t); ok && ref.HasPrefix(ast.DefaultRootRef) && ref.IsGround() {
		return s.query.Constant(ref)
	}
	return nil, false
}

// place is what stands at a reference below a resource's root.
type place struct {
	is     what
	field  *compiler.Field
	beside []string // the fields that stand where one is lacking, by their whole paths
}

type what int

const (
	lacking what = iota // nothing; field is the one that has no parts, if that is why
	unclear             // it may be anything
	whole               // a field
	element             // of a field
)

func lookUp(r *compiler.Resource, ref ast.Ref) place {
	return below(r.Fields, nil, ref[len(r.Root):])
}

// below is what stands at keys below fields, which themselves stand at a path.
func below(fields []compiler.Field, at []string, keys ast.Ref) place {
	var names []string
	for i := range fields {
		f := &fields[i]
		n := 0
		for n < len(f.Path) && n < len(keys) && keys[n].Equal(ast.StringTerm(f.Path[n])) {
			n++
		}
		switch {
		case n < len(keys) && n < len(f.Path):
			if _, key := keys[n].Value.(ast.String); !key {
				return place{is: unclear}
			}
		case n < len(f.Path): // an object that holds fields
			return place{is: unclear}
		case n == len(keys):
			return place{is: whole, field: f}
		default:
			return inside(f, at, keys[n:])
		}
		names = append(names, strings.Join(slices.Concat(at, f.Path), "."))
	}
	return place{is: lacking, beside: names}
}

// inside is what stands at keys below a field.
func inside(f *compiler.Field, at []string, keys ast.Ref) place {
	_, key := keys[0].Value.(ast.String)
	switch {
	case f.Relation != nil && f.Relation.Many && key:
		return place{is: lacking, field: f}
	case f.Relation != nil && f.Relation.Many:
		if keys = keys[1:]; len(keys) == 0 { // a row
			return place{is: unclear}
		}
		return below(f.Relation.Fields, slices.Concat(at, f.Path), keys)
	case f.Relation != nil:
		return below(f.Relation.Fields, slices.Concat(at, f.Path), keys)
	case f.Const != nil && keys.IsGround():
		v, err := f.Const.Find(keys)
		if err != nil {
			return place{is: lacking}
		}
		return place{is: whole, field: &compiler.Field{Path: f.Path, Const: v}}
	case f.Const != nil:
		if len(keys) == 1 && isCollection(f.Const) {
			return place{is: element, field: f}
		}
		return place{is: unclear}
	case f.JSONType() == "any":
		return place{is: unclear}
	case !f.Column.Type.Array:
		return place{is: lacking, field: f}
	case len(keys) > 1:
		return place{is: unclear}
	case key:
		return place{is: lacking, field: f}
	default:
		return place{is: element, field: f}
	}
}

// static is the part of a reference that says which field of a resource is read: up
// to its first part that is not known, but for the one that goes through the rows of a
// relation. Variables are _, whichever they are.
func static(resources []*compiler.Resource, ref ast.Ref) ast.Ref {
	out := ref.ConstantPrefix()
	for len(out) < len(ref) {
		n := len(out)
		if !slices.ContainsFunc(resources, func(r *compiler.Resource) bool {
			if len(out) <= len(r.Root) || !out.HasPrefix(r.Root) {
				return false
			}
			found := lookUp(r, out)
			return found.is == whole && found.field.Relation != nil && found.field.Relation.Many
		}) {
			break
		}
		out = append(slices.Clone(out), ast.VarTerm("_"))
		for i := n + 1; i < len(ref) && ast.IsConstant(ref[i].Value); i++ {
			out = append(out, ref[i])
		}
	}
	return out
}

func isCollection(v ast.Value) bool {
	switch v.(type) {
	case *ast.Array, ast.Object, ast.Set:
		return true
	default:
		return false
	}
}

// describe says what a field is.
func describe(f *compiler.Field) string {
	name := strings.Join(f.Path, ".")
	if f.Const != nil {
		return fmt.Sprintf("%s is %v", name, f.Const)
	}
	switch {
	case f.Relation == nil:
	case f.Relation.Many:
		return fmt.Sprintf("%s is rows of %s", name, f.Relation.Table)
	default:
		return fmt.Sprintf("%s is a row of %s", name, f.Relation.Table)
	}
	kind := f.Column.Type.String()
	if f.Nanos {
		kind += " as nanoseconds"
	}
	return fmt.Sprintf("%s is %s %s", name, article(kind), kind)
}

func article(word string) string {
	if strings.ContainsAny(word[:1], "aeio") {
		return "an"
	}
	return "a"
}
