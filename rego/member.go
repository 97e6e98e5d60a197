package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
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
func memberFunctions() []func(*rego.Rego) {
	var out []func(*rego.Rego)
	for name, other := range memberNames {
		own := topdown.GetBuiltin(name)
		for _, b := range memberBuiltins {
			if b.Name == other.String() {
				out = append(out, rego.FunctionDyn(&rego.Function{Name: b.Name, Decl: b.Decl}, func(bctx rego.BuiltinContext, args []*ast.Term) (found *ast.Term, err error) {
					err = own(bctx, args, func(t *ast.Term) error {
						found = t
						return nil
					})
					return found, err
				}))
			}
		}
	}
	return out
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
		found = found || len(ref) == 2 && ref[0].Value.Compare(otherNames) == 0
		return found
	})
	ast.WalkVars(x, func(v ast.Var) bool {
		found = found || isDeclared(v)
		return found
	})
	return found
}

// restore is a rule without what is ours. What partial evaluation makes may share parts
// with the policy, so a rule is copied where it has some of it.
func restore(r *ast.Rule) *ast.Rule {
	if !hasOurs(r) {
		return r
	}
	r = r.Copy()
	restoreBody(r)
	return r
}

// restoreBody calls the operator by its own name, and takes our variables out, in place.
func restoreBody(x any) {
	undeclare(x)
	renameCalls(x, ownMemberNames)
}

func renameCalls(x any, names map[string]ast.Ref) {
	rename := func(terms []*ast.Term) {
		if ref, ok := terms[0].Value.(ast.Ref); ok {
			if name, ok := names[ref.String()]; ok {
				terms[0] = ast.NewTerm(name).SetLocation(terms[0].Location)
			}
		}
	}
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
