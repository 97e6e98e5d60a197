package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Rules are the rules that the query depends on, as OPA's compiler leaves them: with
// references resolved, and the arguments of calls in variables of their own. They are
// in the order of their places, and not to be changed.
func (q *Query) Rules() []*ast.Rule {
	c := q.policy.source
	seen := map[*ast.Rule]bool{}
	var out []*ast.Rule
	var visit func(rules []*ast.Rule)
	visit = func(rules []*ast.Rule) {
		for _, r := range rules {
			if seen[r] {
				continue
			}
			seen[r] = true
			out = append(out, r)
			ast.WalkRefs(r, func(ref ast.Ref) bool {
				if ref.HasPrefix(ast.DefaultRootRef) {
					visit(c.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}))
				}
				return false
			})
		}
	}
	visit(c.GetRules(ast.MustParseRef(q.text)))
	slices.SortFunc(out, func(a, b *ast.Rule) int { return a.Loc().Compare(b.Loc()) })
	return out
}

// Constant is the value of the rule at ref, where that is a constant: the rule has one
// definition, and no condition.
func (q *Query) Constant(ref ast.Ref) (v ast.Value, ok bool) {
	rules := q.policy.source.GetRulesExact(ref)
	if len(rules) != 1 {
		return nil, false
	}
	r := rules[0]
	if r.Head.RuleKind() != ast.SingleValue || len(r.Head.Args) > 0 || r.Else != nil || r.Head.Value == nil ||
		len(r.Head.Ref()) != len(r.Head.Ref().GroundPrefix()) || !ast.IsConstant(r.Head.Value.Value) ||
		len(r.Body) != 1 || !r.Body[0].Equal(ast.NewExpr(ast.BooleanTerm(true))) {
		return nil, false
	}
	return r.Head.Value.Value, true
}
