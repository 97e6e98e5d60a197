package rego

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// demanded is the constant that a definition of a function demands of an argument: in
// its head, or by an equality in its body; nil where it demands none.
func demanded(r *ast.Rule, arg int) *ast.Term {
	x := r.Head.Args[arg]
	if ast.IsConstant(x.Value) {
		return x
	}
	for _, e := range r.Body {
		if e.Negated || len(e.With) > 0 || !e.IsEquality() {
			continue
		}
		for i, operand := range e.Operands() {
			if other := e.Operand(1 - i); operand.Equal(x) && ast.IsConstant(other.Value) {
				return other
			}
		}
	}
	return nil
}

// comparisons are the builtin functions that compare, and those that say the opposite.
var comparisons = map[string]string{
	ast.Equality.Name: ast.NotEqual.Name, ast.Equal.Name: ast.NotEqual.Name, ast.NotEqual.Name: ast.Equality.Name,
	ast.LessThan.Name: ast.GreaterThanEq.Name, ast.GreaterThanEq.Name: ast.LessThan.Name,
	ast.LessThanEq.Name: ast.GreaterThan.Name, ast.GreaterThan.Name: ast.LessThanEq.Name,
}

// failsFor reports whether a comparison in a definition's body is false where an
// argument is a constant.
func failsFor(r *ast.Rule, arg int, c *ast.Term) bool {
	x := r.Head.Args[arg]
	if _, ok := x.Value.(ast.Var); !ok {
		return false
	}
	for _, e := range r.Body {
		if len(e.With) > 0 || !e.IsCall() || len(e.Operands()) != 2 {
			continue
		}
		l, r := e.Operand(0), e.Operand(1)
		if l.Equal(x) {
			l = c
		}
		if r.Equal(x) {
			r = c
		}
		if !ast.IsConstant(l.Value) || !ast.IsConstant(r.Value) {
			continue
		}
		holds, known := compared(e.Operator().String(), l.Value, r.Value)
		if known && holds == e.Negated {
			return true
		}
	}
	return false
}

// compared is what a comparison of two constants says; known is false for any other
// function.
func compared(operator string, l, r ast.Value) (holds, known bool) {
	order := l.Compare(r)
	switch operator {
	case ast.Equality.Name, ast.Equal.Name:
		return order == 0, true
	case ast.NotEqual.Name:
		return order != 0, true
	case ast.LessThan.Name:
		return order < 0, true
	case ast.LessThanEq.Name:
		return order <= 0, true
	case ast.GreaterThan.Name:
		return order > 0, true
	case ast.GreaterThanEq.Name:
		return order >= 0, true
	case ast.Member.Name, memberNames[ast.Member.Name].String():
		found := false
		switch coll := r.(type) {
		case ast.Set:
			return coll.Contains(ast.NewTerm(l)), true
		case *ast.Array:
			coll.Foreach(func(e *ast.Term) { found = found || e.Value.Compare(l) == 0 })
			return found, true
		case ast.Object:
			coll.Foreach(func(_, e *ast.Term) { found = found || e.Value.Compare(l) == 0 })
			return found, true
		}
	}
	return false, false
}

// contradict reports whether a condition of one definition is the negation of one of
// the other. They have the same arguments, and no other variables.
func contradict(a, b *ast.Rule) bool {
	said := map[string]bool{}
	for _, e := range a.Body {
		if s, ok := condition(a, e, false); ok {
			said[s] = true
		}
	}
	for _, e := range b.Body {
		if s, ok := condition(b, e, true); ok && said[s] {
			return true
		}
	}
	return false
}

// condition is an expression, or its opposite, in words that are the same in every
// definition of the rule; ok is false where it reads variables that are no arguments.
func condition(r *ast.Rule, e *ast.Expr, opposite bool) (s string, ok bool) {
	if len(e.With) > 0 {
		return "", false
	}
	place := map[ast.Var]int{}
	for i, arg := range r.Head.Args {
		if v, ok := arg.Value.(ast.Var); ok {
			place[v] = i
		}
	}
	for v := range varsOf(e) {
		if _, ok := place[v]; !ok {
			return "", false
		}
	}
	plain := e.Copy()
	plain.Negated = false
	negated := e.Negated != opposite
	if e.IsCall() && len(e.Operands()) == 2 && negated && !e.Negated {
		// the opposite of a comparison holds only where both sides are defined, and so
		// where the comparison does not
		if other, ok := comparisons[e.Operator().String()]; ok {
			plain.Terms.([]*ast.Term)[0] = ast.NewTerm(ast.Ref{ast.VarTerm(other)})
			negated = false
		}
	}
	renamed, err := ast.TransformVars(plain, func(v ast.Var) (ast.Value, error) {
		if i, ok := place[v]; ok {
			return ast.Var(fmt.Sprintf("argument%d", i)), nil
		}
		return v, nil
	})
	if err != nil {
		return "", false
	}
	return fmt.Sprint(negated, renamed), true
}

// exclusive reports whether two definitions of a rule or function never hold together:
// they demand different constants of an argument, one demands a constant of which a
// condition of the other is false, one negates a condition of the other, or they are
// links of one chain of else.
func exclusive(a, b *ast.Rule) bool {
	for i := range min(len(a.Head.Args), len(b.Head.Args)) {
		x, y := demanded(a, i), demanded(b, i)
		if x != nil && y != nil && !x.Equal(y) {
			return true
		}
		if x != nil && failsFor(b, i, x) || y != nil && failsFor(a, i, y) {
			return true
		}
	}
	if contradict(a, b) {
		return true
	}
	return guardedBy(a.Body, chainName(b)) || guardedBy(b.Body, chainName(a)) ||
		chainOf(a) != "" && chainOf(a) == chainOf(b)
}

func guardedBy(body ast.Body, chain string) bool {
	return chain != "" && strings.HasPrefix(chainOfBody(body), chain)
}

func chainOf(r *ast.Rule) string { return chainOfBody(r.Body) }

// chainOfBody is the chain whose earlier links the body excludes.
func chainOfBody(body ast.Body) string {
	name := ""
	for _, e := range body {
		if !e.Negated {
			continue
		}
		ast.WalkRefs(e, func(ref ast.Ref) bool {
			last, _ := ref[len(ref)-1].Value.(ast.String)
			if i := strings.LastIndexByte(string(last), '_'); strings.HasPrefix(string(last), chainPrefix) && name == "" {
				name = string(last)[:i+1]
			}
			return false
		})
	}
	return name
}
