package rego

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// beyondDouble are the constants of modules that are numbers beyond a double. OPA's
// index of rules looks for them by their text.
func beyondDouble(modules map[string]*ast.Module) (out []*ast.Term) {
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		EachBeyondDouble(modules[name], func(t *ast.Term) { out = append(out, t) })
	}
	return out
}

// EachBeyondDouble visits the numbers in a value, or a part of a policy, that no double
// holds.
func EachBeyondDouble(in any, visit func(*ast.Term)) {
	ast.WalkTerms(in, func(t *ast.Term) bool {
		if IsBeyondDouble(t.Value) {
			visit(t)
		}
		return false
	})
}

// IsBeyondDouble reports whether a value is a number that no double holds.
func IsBeyondDouble(v ast.Value) bool {
	n, ok := v.(ast.Number)
	if !ok {
		return false
	}
	_, ok = n.Float64()
	return !ok
}

// Respelt is a constant of the policy that is a number beyond a double, and how the
// policy, its data or what is known of the input writes it otherwise; nil where there is
// none. To the index of rules, which partial evaluation does without in places, such
// numbers differ; to a comparison they are equal.
func (p *Policy) Respelt(known ast.Value) (constant *ast.Term, as ast.Number) {
	if len(p.beyond) == 0 { // nearly always
		return nil, ""
	}
	compare := func(other *ast.Term) {
		for _, c := range p.beyond {
			if constant == nil && c.Value != other.Value && c.Value.Compare(other.Value) == 0 {
				constant, as = c, other.Value.(ast.Number)
			}
		}
	}
	for _, c := range p.beyond {
		compare(c)
	}
	EachBeyondDouble(ast.NewTerm(p.data), compare)
	EachBeyondDouble(ast.NewTerm(known), compare)
	return constant, as
}
