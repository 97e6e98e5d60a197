package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// boundTo are the references into the input from which a variable of a term in a rule
// has its value: which it equals, or of which it is an element or a key, itself or
// through other variables. There are none where it may have its value from elsewhere,
// too.
func (p *Policy) boundTo(rule *ast.Rule, v ast.Var, term *ast.Term) []ast.Ref {
	b := binding{policy: p, term: term, seen: map[ast.Var]bool{}}
	// of the bodies around the term: a variable may be one's of a comprehension
	ast.WalkBodies(rule, func(body ast.Body) bool {
		if holdsTerm(body, term) {
			b.exprs = append(b.exprs, body...)
		}
		return false
	})
	if !b.follow(v) {
		return nil
	}
	return b.refs
}

type binding struct {
	policy *Policy
	term   *ast.Term
	exprs  []*ast.Expr
	seen   map[ast.Var]bool
	refs   []ast.Ref
}

// follow adds what binds a variable, and reports whether it is known what does.
func (b *binding) follow(v ast.Var) bool {
	if b.seen[v] {
		return true
	}
	b.seen[v] = true
	bound := false
	for _, e := range b.exprs {
		every, isEvery := e.Terms.(*ast.Every)
		switch {
		case e.Negated:
		case isEvery:
			if declares(every, v) && holdsTerm(every.Body, b.term) {
				bound = true
				if !b.from(every.Domain) {
					return false
				}
			}
		case e.IsEquality():
			for i, operand := range e.Operands() {
				other := e.Operand(1 - i)
				switch {
				case inPattern(operand, v):
					bound = true
					if !b.from(other) {
						return false
					}
				case isKey(operand, v):
					bound = true
					if !b.from(operand) {
						return false
					}
				case b.mentions(operand, v):
					return false
				}
			}
		case e.IsCall():
			if b.resultOf(e, v) {
				return false
			}
		case b.mentions(e, v):
			return false
		}
	}
	return bound
}

// from adds the reference from which something is bound.
func (b *binding) from(t *ast.Term) bool {
	switch x := t.Value.(type) {
	case ast.Var:
		return b.follow(x)
	case ast.Ref:
		if x.HasPrefix(ast.InputRootRef) {
			b.refs = append(b.refs, x.ConstantPrefix())
			return true
		}
		head, ok := x[0].Value.(ast.Var)
		return ok && !ast.RootDocumentNames.Contains(x[0]) && b.follow(head)
	default:
		return false
	}
}

// resultOf reports whether a call may give a variable its value.
func (b *binding) resultOf(e *ast.Expr, v ast.Var) bool {
	arity := len(e.Operands())
	name := e.Operator()
	if builtin, ok := ast.BuiltinMap[name.String()]; ok {
		arity = len(builtin.Decl.FuncArgs().Args)
	} else if rules := b.policy.desugared.GetRulesExact(name); len(rules) > 0 {
		arity = len(rules[0].Head.Args)
	}
	for i, operand := range e.Operands() {
		if operand.Value.Compare(v) == 0 && i < arity {
			continue
		}
		if b.mentions(operand, v) {
			return true
		}
	}
	return false
}

// mentions reports whether a variable stands in x, as anything but the head of a
// reference, outside of the term and of all bodies: those around the term are looked at
// by themselves, and no other binds it.
func (b *binding) mentions(x any, v ast.Var) bool {
	found := false
	var vis *ast.GenericVisitor
	vis = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Term:
			return x == b.term
		case *ast.SetComprehension, *ast.ArrayComprehension, *ast.ObjectComprehension, *ast.Not, *ast.LogicalAnd, *ast.LogicalOr:
			return true
		case *ast.Every:
			vis.Walk(x.Domain)
			return true
		case ast.Ref:
			if !x.HasPrefix(b.policy.with.root) { // which only reads it
				for _, key := range x[1:] {
					vis.Walk(key)
				}
			}
			return true
		case ast.Var:
			found = found || x == v
		}
		return found
	})
	vis.Walk(x)
	return found
}

func declares(every *ast.Every, v ast.Var) bool {
	return every.Value.Value.Compare(v) == 0 || every.Key != nil && every.Key.Value.Compare(v) == 0
}

// inPattern reports whether a term is a variable, or a pattern with it.
func inPattern(t *ast.Term, v ast.Var) bool {
	switch x := t.Value.(type) {
	case ast.Var:
		return x == v
	case *ast.Array:
		return x.Until(func(e *ast.Term) bool { return inPattern(e, v) })
	case ast.Object:
		return x.Until(func(_, e *ast.Term) bool { return inPattern(e, v) })
	}
	return false
}

// isKey reports whether a term is a reference with the variable as one of its keys.
func isKey(t *ast.Term, v ast.Var) bool {
	ref, ok := t.Value.(ast.Ref)
	return ok && slices.ContainsFunc(ref[1:], func(key *ast.Term) bool { return key.Value.Compare(v) == 0 })
}

// holdsTerm reports whether a term stands in x: this one, and no other like it.
func holdsTerm(x any, term *ast.Term) bool {
	found := false
	ast.WalkTerms(x, func(t *ast.Term) bool {
		found = found || t == term
		return found
	})
	return found
}
