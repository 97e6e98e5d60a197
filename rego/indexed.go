package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// indexedMembers are the places where OPA's index of rules passes over a rule that holds:
// behind `x in coll`, where coll is a document and x is the variable of a loop, it takes
// x for coll, and a comparison of x with a constant for one of coll.
//
//	allow if { some x in input.object.a; x in input.object.b; x == "c" }
//
// What the policy means is then not what OPA says of it, whatever it reads.
func (q *Query) indexedMembers() []refusal {
	var out []refusal
	for _, rule := range q.Rules() {
		for ; rule != nil; rule = rule.Else {
			if at := indexedMember(rule.Body); at != nil {
				out = append(out, refusal{always: true, err: &UnfaithfulError{
					Kind: IndexedMember, Location: at,
					text: "a variable that was looked for in a document is compared with a constant: OPA's index of rules compares the document",
				}})
			}
		}
	}
	return out
}

// indexedMember is the place of such a comparison in a body; nil where there is none.
func indexedMember(body ast.Body) *ast.Location {
	places := map[ast.Var]bool{} // that stand for a place of the documents
	taken := map[ast.Var]bool{}  // for a collection
	for _, e := range body {
		if e.Negated || len(e.With) > 0 || !e.IsCall() {
			continue
		}
		args := e.Operands()
		switch {
		case e.IsEquality() || e.Operator().Equal(ast.Equal.Ref()):
			a, b := args[0].Value, args[1].Value
			x, isVar := a.(ast.Var)
			y, alsoVar := b.(ast.Var)
			switch {
			case isVar && alsoVar:
				taken[x], taken[y] = taken[x] || taken[y], taken[x] || taken[y]
				places[x], places[y] = places[x] || places[y], places[x] || places[y]
			case isVar && isPlace(b):
				places[x] = true
			case alsoVar && isPlace(a):
				places[y] = true
			case isVar && taken[x] && ast.IsConstant(b), alsoVar && taken[y] && ast.IsConstant(a):
				return e.Location
			}
		case e.Operator().Equal(ast.Member.Ref()) && len(args) == 2:
			x, ok := args[0].Value.(ast.Var)
			switch {
			case !ok:
			case taken[x] && ast.IsConstant(args[1].Value):
				return e.Location
			case !places[x]:
				switch args[1].Value.(type) {
				case ast.Ref, ast.Var:
					taken[x] = true
				}
			}
		default:
			if slices.ContainsFunc(args, func(t *ast.Term) bool {
				x, ok := t.Value.(ast.Var)
				return ok && taken[x]
			}) && slices.ContainsFunc(indexedBuiltins, func(b *ast.Builtin) bool { return e.Operator().Equal(b.Ref()) }) {
				return e.Location
			}
		}
	}
	return nil
}

// isPlace reports whether a value is a reference without variables.
func isPlace(v ast.Value) bool {
	ref, ok := v.(ast.Ref)
	return ok && ref.IsGround()
}

// indexedBuiltins are those beside comparisons that the index of rules looks at.
var indexedBuiltins = []*ast.Builtin{ast.GlobMatch, ast.StartsWith, ast.EndsWith, ast.AnyPrefixMatch, ast.AnySuffixMatch}
