package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// indexes are the references into arrays, in negated expressions, by a variable that
// has its value from outside of the negation: partial evaluation goes through the places
// of a known array, and forgets which it is at where the value is not known.
func (p *Policy) indexes() []refusal {
	var out []refusal
	for _, rule := range p.rules() {
		ast.WalkBodies(rule, func(body ast.Body) bool {
			for _, e := range body {
				if _, not := e.Terms.(*ast.Not); e.Negated || not {
					out = append(out, p.indexesIn(rule, body, e)...)
				}
			}
			return false
		})
	}
	return out
}

// indexesIn are those of one negated expression.
func (p *Policy) indexesIn(rule *ast.Rule, body ast.Body, e *ast.Expr) []refusal {
	var out []refusal
	ast.WalkTerms(e, func(t *ast.Term) bool {
		ref, ok := t.Value.(ast.Ref)
		if !ok {
			return false
		}
		for i, key := range ref[1:] {
			v, ok := key.Value.(ast.Var)
			if !ok || v.IsWildcard() || !outside(rule, body, e, v) {
				continue
			}
			reads := p.boundTo(rule, v, t)
			switch {
			case len(rule.Head.Args) > 0:
				reads = []ast.Ref{ast.InputRootRef, p.with.root}
			case len(reads) == 0:
				reads = p.reads(rule)
			}
			for _, r := range p.arraysAt(rule, ref[:i+1], t) {
				r.reads, r.err = reads, &UnfaithfulError{
					Kind: ArrayIndex, Location: e.Location,
					text: "an array at a place that may depend on the row, below a negation",
				}
				out = append(out, r)
			}
		}
		return false
	})
	return out
}

// outside reports whether a variable stands in a rule's head, or beside the expression
// in its body.
func outside(rule *ast.Rule, body ast.Body, e *ast.Expr, v ast.Var) bool {
	for _, arg := range rule.Head.Args {
		if varsOf(arg).Contains(v) {
			return true
		}
	}
	if !slices.ContainsFunc(rule.Body, func(x *ast.Expr) bool { return x == e }) {
		return true // in a body inside of another
	}
	return slices.ContainsFunc(body, func(x *ast.Expr) bool { return x != e && varsOf(x).Contains(v) })
}

// arraysAt are refusals, without what they read and say, where a reference may lead to
// a known array: one where it does whatever the input, or one for each part of the
// input that it may be.
func (p *Policy) arraysAt(rule *ast.Rule, ref ast.Ref, t *ast.Term) []refusal {
	prefix := ref.ConstantPrefix()
	keys := len(ref) - len(prefix)
	switch {
	case ref.HasPrefix(ast.InputRootRef):
		return []refusal{{array: prefix, keys: keys}}
	case ref.HasPrefix(ast.DefaultRootRef):
		if leadsToArray(p.data, prefix[1:], keys) {
			return []refusal{{}}
		}
		return nil // rules keep the place
	}
	head, ok := ref[0].Value.(ast.Var)
	if !ok {
		return []refusal{{}}
	}
	bound := p.boundTo(rule, head, t)
	if len(bound) == 0 {
		if p.isObject(rule, head) {
			return nil
		}
		return []refusal{{}}
	}
	out := make([]refusal, len(bound))
	for i, b := range bound {
		out[i] = refusal{array: b, keys: maxKeys}
	}
	return out
}

// isObject reports whether a variable equals an object of which no member is an array.
func (p *Policy) isObject(rule *ast.Rule, v ast.Var) bool {
	found := false
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if !e.IsEquality() || e.Negated {
			return false
		}
		for i, operand := range e.Operands() {
			obj, ok := e.Operand(1 - i).Value.(ast.Object)
			found = found || ok && operand.Value.Compare(v) == 0 && ast.IsConstant(obj) && !holdsArray(obj, maxKeys)
		}
		return found
	})
	return found
}

// maxKeys is more keys than a reference has.
const maxKeys = 1000

// leadsToArray reports whether there is an array at a path, or at most so many keys
// behind it.
func leadsToArray(v ast.Value, path ast.Ref, keys int) bool {
	at, err := v.Find(path)
	return err == nil && holdsArray(at, keys)
}

func holdsArray(v ast.Value, keys int) bool {
	switch v := v.(type) {
	case *ast.Array:
		return true
	case ast.Object:
		return keys > 0 && v.Until(func(_, e *ast.Term) bool { return holdsArray(e.Value, keys-1) })
	default:
		return false
	}
}
