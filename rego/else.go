package rego

import (
	"fmt"
	"hash/fnv"
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
//	__else_p_0 if { A; _ = a }
//	p := a if A
//	p := b if { not __else_p_0; B }
//
// where p stands for the place of the chain; see [chainName].
func desugarElse(m *ast.Module) *ast.Module {
	m = m.Copy()
	rules := make([]*ast.Rule, 0, len(m.Rules))
	for _, r := range m.Rules {
		if r.Else == nil {
			rules = append(rules, r)
			continue
		}
		rules = append(rules, flattenChain(r, chainName(r))...)
	}
	m.Rules = rules
	for _, r := range m.Rules {
		r.Module = m
	}
	return m
}

// chainPrefix begins the names that desugaring makes; a policy can't use it.
const chainPrefix = "__else_"

// chainName begins the names of the rules that desugaring makes of a chain. It
// says the file, too: the rules of one package may stand in several.
func chainName(first *ast.Rule) string {
	loc := first.Loc()
	if loc == nil {
		return ""
	}
	file := fnv.New32a()
	file.Write([]byte(loc.File))
	return fmt.Sprintf("%s%08x_%d_%d_", chainPrefix, file.Sum32(), loc.Row, loc.Col)
}

// checkReserved refuses names that desugaring could make.
func checkReserved(m *ast.Module) error {
	var errs ast.Errors
	for _, r := range m.Rules {
		ast.WalkVars(r, func(v ast.Var) bool {
			if strings.HasPrefix(string(v), chainPrefix) {
				errs = append(errs, ast.NewError(ast.CompileErr, r.Loc(), "%v: names that begin with %s are reserved", v, chainPrefix))
			}
			return len(errs) > 0
		})
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
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
			return ast.Var(fmt.Sprintf("%sarg%d", name, n)), nil
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
