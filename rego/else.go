package rego

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// desugarElse rewrites each chain
//
//	p := a if A
//	else := b if B
//
// into independent rules that say the same, because partial evaluation leaves a
// chain whole:
//
//	__else_3_1_0 if { A; _ = a }
//	p := a if A
//	p := b if { not __else_3_1_0; B }
//
// where 3 and 1 are the row and column of the chain.
//
// The rules of one package may stand in several modules, so the new names are
// unique among all of them.
func desugarElse(modules map[string]*ast.Module) map[string]*ast.Module {
	prefix := freePrefix(modules)
	chains := 0
	out := make(map[string]*ast.Module, len(modules))
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m := modules[name].Copy()
		rules := make([]*ast.Rule, 0, len(m.Rules))
		for _, r := range m.Rules {
			if r.Else == nil {
				rules = append(rules, r)
				continue
			}
			rules = append(rules, flattenChain(r, fmt.Sprintf("%s_%d", prefix, chains))...)
			chains++
		}
		m.Rules = rules
		for _, r := range m.Rules {
			r.Module = m
		}
		out[name] = m
	}
	return out
}

// freePrefix begins no name of the policy.
func freePrefix(modules map[string]*ast.Module) string {
	prefix := "__else"
	for {
		taken := false
		for _, m := range modules {
			ast.WalkVars(m, func(v ast.Var) bool {
				taken = taken || strings.HasPrefix(string(v), prefix)
				return taken
			})
		}
		if !taken {
			return prefix
		}
		prefix += "_"
	}
}

func flattenChain(first *ast.Rule, name string) []*ast.Rule {
	nameWildcards(first, name)
	var out []*ast.Rule
	var guards []*ast.Expr
	step := 0
	for link := first; link != nil; step++ {
		next := link.Else
		rule := link.Copy()
		rule.Else = nil
		rule.Head.Reference = first.Head.Ref().Copy()
		rule.Head.Name = first.Head.Name
		rule.Head.Args = first.Head.Args.Copy()
		body := ast.Body{}
		for _, g := range guards {
			body.Append(g.Copy())
		}
		for _, e := range rule.Body {
			body.Append(e)
		}
		if next != nil {
			guard, held := holdsRule(rule, fmt.Sprintf("%s%d", name, step))
			out = append(out, held)
			guards = append(guards, guard)
		}
		rule.Body = body
		out = append(out, rule)
		link = next
	}
	return out
}

// holdsRule is a rule that is true when a link of the chain has a value, and the
// expression that says it has not.
func holdsRule(link *ast.Rule, name string) (*ast.Expr, *ast.Rule) {
	loc := link.Loc()
	held := link.Copy()
	held.Head = ast.NewHead(ast.Var(name), nil, ast.BooleanTerm(true))
	held.Head.Args = link.Head.Args.Copy()
	held.Head.Location = loc
	if v := link.Head.Value; v != nil && !ast.IsConstant(v.Value) {
		held.Body.Append(ast.Equality.Expr(ast.VarTerm(name+"_value"), v.Copy()).SetLocation(loc))
	}
	callee := ast.VarTerm(name).SetLocation(loc)
	var guard *ast.Expr
	if len(held.Head.Args) == 0 {
		guard = ast.NewExpr(callee)
	} else {
		terms := append([]*ast.Term{ast.RefTerm(callee)}, held.Head.Args.Copy()...)
		guard = ast.NewExpr(terms)
	}
	guard.Negated = true
	return guard.SetLocation(loc), held
}

// nameWildcards gives the wildcards among a function's arguments names, so that
// they can be passed on.
func nameWildcards(r *ast.Rule, name string) {
	n := 0
	for i, arg := range r.Head.Args {
		renamed, err := ast.TransformVars(arg, func(v ast.Var) (ast.Value, error) {
			if !v.IsWildcard() {
				return v, nil
			}
			n++
			return ast.Var(fmt.Sprintf("%s_arg%d", name, n)), nil
		})
		if err != nil {
			continue // the function above returns none
		}
		switch renamed := renamed.(type) {
		case *ast.Term:
			r.Head.Args[i] = renamed
		case ast.Value:
			r.Head.Args[i] = ast.NewTerm(renamed).SetLocation(arg.Location)
		}
	}
}
