package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// The type checker looks into the operator in by its name. Partial evaluation drops
// what does not type-check, also where it is negated, and there takes the type of a
// list with unknown elements for that of the known ones: of not 5 in [input.x, "a"]
// nothing is left. So partial evaluation gets the operator by another name, which the
// type checker does not know.

var memberNames = map[string]ast.Ref{
	ast.Member.Name:        ast.MustParseRef("rowfence.member_2"),
	ast.MemberWithKey.Name: ast.MustParseRef("rowfence.member_3"),
}

var memberBuiltins = []*ast.Builtin{
	{Name: "rowfence.member_2", Decl: types.NewFunction(types.Args(types.A, types.A), types.A)},
	{Name: "rowfence.member_3", Decl: types.NewFunction(types.Args(types.A, types.A, types.A), types.A)},
}

// memberFunctions are the operator as OPA has it.
var memberFunctions = map[string]*topdown.Builtin{}

func init() {
	for name, other := range memberNames {
		for _, b := range memberBuiltins {
			if b.Name == other.String() {
				memberFunctions[b.Name] = &topdown.Builtin{Decl: b, Func: topdown.GetBuiltin(name)}
			}
		}
	}
}

// renameMember calls the operator by its other name, in place; not in some x in xs,
// which the compiler rewrites.
func renameMember(m *ast.Module) { renameCalls(m, memberNames) }

const otherNames = ast.Var("rowfence")

var ownMemberNames = map[string]ast.Ref{}

func init() {
	for name, other := range memberNames {
		ownMemberNames[other.String()] = ast.MustParseRef(name)
	}
}

// hasOurs reports whether x calls the operator by its other name, or has variables of
// ours.
func hasOurs(x any) bool {
	found := false
	ast.WalkRefs(x, func(ref ast.Ref) bool {
		found = found || isOurName(ref)
		return found
	})
	ast.WalkVars(x, func(v ast.Var) bool {
		found = found || isDeclared(v)
		return found
	})
	return found
}

// restore is a rule without what is ours. What partial evaluation makes may share parts
// with the policy, so that what has some of it is copied, and the rest is not.
func restore(r *ast.Rule) *ast.Rule {
	if r.Head.Key != nil && holdsOurs(r.Head.Key) || r.Head.Value != nil && holdsOurs(r.Head.Value) ||
		slices.ContainsFunc(r.Head.Args, holdsOurs) || slices.ContainsFunc(r.Head.Reference, holdsOurs) {
		r = r.Copy()
		restoreBody(r)
		return r
	}
	own := *r
	own.Body = restoredBody(r.Body)
	return &own
}

// restoredBody is a body without what is ours: itself where there is nothing.
func restoredBody(body ast.Body) ast.Body {
	shared := true
	for i, e := range body {
		own := restoredExpr(e)
		if own == e {
			continue
		}
		if shared {
			body, shared = slices.Clone(body), false
		}
		body[i] = own
	}
	return body
}

func restoredExpr(e *ast.Expr) *ast.Expr {
	terms, isCall := e.Terms.([]*ast.Term)
	term, isTerm := e.Terms.(*ast.Term)
	switch {
	case isTerm && len(e.With) == 0 && !holdsOurs(term):
		return e
	case !isCall || len(e.With) > 0 || slices.ContainsFunc(terms[1:], holdsOurs):
		if hasOurs(e) {
			e = e.Copy()
			restoreBody(e)
		}
		return e
	case !isOurName(terms[0].Value):
		return e
	}
	own := *e
	terms = slices.Clone(terms)
	own.Terms = terms
	renameOperator(terms, ownMemberNames)
	return &own
}

// holdsOurs is hasOurs of a term, and quick where it is a simple one.
func holdsOurs(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Var:
		return isDeclared(v)
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return false
	case ast.Ref:
		return isOurName(v) || slices.ContainsFunc(v, holdsOurs)
	default:
		return hasOurs(t)
	}
}

func isOurName(v ast.Value) bool {
	ref, ok := v.(ast.Ref)
	return ok && len(ref) == 2 && ref[0].Value.Compare(otherNames) == 0
}

// restoreBody calls the operator by its own name, and takes our variables out, in place.
func restoreBody(x any) {
	undeclare(x)
	renameCalls(x, ownMemberNames)
}

func renameOperator(terms []*ast.Term, names map[string]ast.Ref) {
	if ref, ok := terms[0].Value.(ast.Ref); ok {
		if name, ok := names[ref.String()]; ok {
			terms[0] = ast.NewTerm(name).SetLocation(terms[0].Location)
		}
	}
}

func renameCalls(x any, names map[string]ast.Ref) {
	rename := func(terms []*ast.Term) { renameOperator(terms, names) }
	var visitor *ast.GenericVisitor
	visitor = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.SomeDecl:
			for _, s := range x.Symbols {
				if call, ok := s.Value.(ast.Call); ok {
					for _, arg := range call[1:] {
						visitor.Walk(arg)
					}
				}
			}
			return true
		case *ast.Expr:
			if terms, ok := x.Terms.([]*ast.Term); ok {
				rename(terms)
			}
		case ast.Call:
			rename(x)
		}
		return false
	})
	visitor.Walk(x)
}
