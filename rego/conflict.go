package rego

import (
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Full evaluation stops with an error where a complete rule, a function or an
// object gets two values, and so allows nothing. Partial evaluation drops such an
// error inside a negation that depends on an unknown, and goes on as if the negated
// expression were undefined: it would allow. So what may conflict below such a
// negation is looked for when the query is prepared: a rule is evaluated once more
// by itself, where the error is not dropped; a function can't be, and is refused.

// Of a function with known arguments it does not even look whether the values differ:
// each is one way for the query to be true. Such functions are left in the residual, as
// if they read something unknown.

// conflicting are the functions whose definitions may disagree.
func conflicting(c *ast.Compiler) []*ast.Term {
	seen := map[string]*ast.Term{}
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			if path := r.Ref().GroundPrefix(); len(r.Head.Args) > 0 && mayConflict(c.GetRulesExact(path), exclusive) {
				seen[path.String()] = ast.NewTerm(path)
			}
		}
	}
	out := make([]*ast.Term, 0, len(seen))
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, seen[name])
	}
	return out
}

// A negation is a rule with a negated expression below which something may
// conflict.
type negation struct {
	function  bool      // its arguments may be unknown, whatever it reads
	reads     []ast.Ref // into the input, and to rules: all that the rule does
	data      []ast.Ref // into the data
	rules     []ast.Ref // that may have two values
	functions []*UnfaithfulError
}

// dependsOn reports whether the negated expression may depend on one of the
// unknowns. The rule's whole body counts: a reference may reach the negation through
// a variable.
func (n negation) dependsOn(unknowns []ast.Ref) bool {
	return n.function || overlap(n.reads, unknowns)
}

// overlap reports whether one of the references reads an unknown, a part of one, or
// what holds one.
func overlap(reads, unknowns []ast.Ref) bool {
	for _, r := range reads {
		for _, u := range unknowns {
			if r.HasPrefix(u) || u.HasPrefix(r) {
				return true
			}
		}
	}
	return false
}

// negations are those of the policy.
func (p *Policy) negations() []negation {
	var out []negation
	for _, rule := range p.rules() {
		n := negation{function: len(rule.Head.Args) > 0}
		ast.WalkExprs(rule, func(e *ast.Expr) bool {
			if _, not := e.Terms.(*ast.Not); e.Negated || not {
				n.visit(p, e, map[*ast.Rule]bool{})
			}
			return false
		})
		if len(n.rules)+len(n.functions) == 0 {
			continue
		}
		// the compiler's order of rules is that of a map
		slices.SortFunc(n.rules, func(a, b ast.Ref) int { return a.Compare(b) })
		slices.SortFunc(n.functions, func(a, b *UnfaithfulError) int { return a.Location.Compare(b.Location) })
		n.reads = p.reads(rule)
		out = append(out, n)
	}
	return out
}

func mayConflictBelowNot(at *ast.Location, function ast.Ref) *UnfaithfulError {
	return &UnfaithfulError{
		Kind: MayConflict, Location: at, Subject: function,
		text: fmt.Sprintf("%v may have two values, below a negation that depends on an unknown", function),
	}
}

// reads are the references that may be unknown of x, and of the rules that it refers
// to: those into the input, those of expressions with modifiers, and those to rules.
func (p *Policy) reads(x any) []ast.Ref {
	n := negation{}
	n.visit(p, x, map[*ast.Rule]bool{})
	return n.reads
}

// dataReads are the references to data of x, and of the rules that it refers to, up to
// their first part that is not a constant.
func (p *Policy) dataReads(x any) []ast.Ref {
	n := negation{}
	n.visit(p, x, map[*ast.Rule]bool{})
	return n.data
}

// visit collects what x, and the rules that it refers to, read and may conflict in.
func (n *negation) visit(p *Policy, x any, seen map[*ast.Rule]bool) {
	ast.WalkTerms(x, func(t *ast.Term) bool {
		if oc, ok := t.Value.(*ast.ObjectComprehension); ok && !ast.IsConstant(oc.Value.Value) && !keyedByLoop(oc) {
			n.functions = append(n.functions, mayConflictBelowNot(t.Location, ast.Ref{ast.StringTerm("an object comprehension")}))
		}
		return false
	})
	ast.WalkRefs(x, func(ref ast.Ref) bool {
		switch {
		case ref.HasPrefix(ast.InputRootRef):
			n.reads = append(n.reads, ref.ConstantPrefix())
		case ref.HasPrefix(p.with.root):
			n.reads = append(n.reads, ref.ConstantPrefix())
			if m, _ := p.with.find(ref); m != nil {
				n.visit(p, m.body, seen)
			}
		case ref.HasPrefix(ast.DefaultRootRef):
			n.data = append(n.data, ref.ConstantPrefix())
			n.reads = append(n.reads, ref.ConstantPrefix()) // it may be a derived parameter
			for _, r := range p.desugared.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}) {
				if seen[r] {
					continue
				}
				seen[r] = true
				n.rule(p.desugared, r)
				n.visit(p, r, seen)
			}
		}
		return false
	})
}

func (n *negation) rule(c *ast.Compiler, r *ast.Rule) {
	path := r.Ref().GroundPrefix()
	group := c.GetRulesExact(path)
	if len(group) == 0 {
		group = []*ast.Rule{r}
	}
	if !mayConflict(group, exclusive) {
		return
	}
	if len(r.Head.Args) > 0 {
		n.functions = append(n.functions, mayConflictBelowNot(r.Loc(), path))
		return
	}
	n.rules = append(n.rules, path)
}

// mayConflict reports whether the definitions of one rule may give it two values.
func mayConflict(rules []*ast.Rule, exclusive func(a, b *ast.Rule) bool) bool {
	for i, a := range rules {
		if a.Head.RuleKind() == ast.MultiValue || a.Default {
			continue
		}
		if len(a.Head.Ref()) > len(a.Head.Ref().GroundPrefix()) {
			return true // an object: its keys are not looked at
		}
		if loops(a) {
			return true
		}
		for _, b := range rules[i+1:] {
			if !b.Default && !sameValue(a, b) && !exclusive(a, b) {
				return true
			}
		}
	}
	return false
}

func sameValue(a, b *ast.Rule) bool {
	return ast.IsConstant(a.Head.Value.Value) && a.Head.Value.Equal(b.Head.Value)
}

// loops reports whether one definition may have several values: the value is not the same
// in all solutions of its body, of which there may be several. A reference in the body has
// a variable beside its head that does not have its value from elsewhere, or it calls a
// builtin of several results. What loops inside a comprehension makes one value.
func loops(r *ast.Rule) bool {
	if ast.IsConstant(r.Head.Value.Value) {
		return false
	}
	found := false
	facts := FactsOf(r)
	if _, ok := facts.name(r.Head.Value); ok {
		return false
	}
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension, *ast.Every, *ast.Not:
			return true
		case *ast.Expr:
			if x.IsCall() {
				b, ok := ast.BuiltinMap[x.Operator().String()]
				found = found || ok && b.Relation
			}
			return x.Negated
		case ast.Ref:
			for _, t := range x[1:] {
				v, isVar := t.Value.(ast.Var)
				found = found || isVar && facts.names[v] == ""
			}
		}
		return found
	}).Walk(r.Body)
	return found
}

// keyedByLoop reports whether the keys of an object comprehension are those of the one
// collection that it goes through, which has each once.
func keyedByLoop(oc *ast.ObjectComprehension) bool {
	var keys []*ast.Term
	calls := false
	ast.WalkExprs(oc.Body, func(e *ast.Expr) bool {
		if e.IsCall() {
			b, ok := ast.BuiltinMap[e.Operator().String()]
			calls = calls || ok && b.Relation
		}
		return false
	})
	ast.WalkRefs(oc.Body, func(ref ast.Ref) bool {
		for _, t := range ref[1:] {
			if !ast.IsConstant(t.Value) {
				keys = append(keys, t)
			}
		}
		return false
	})
	return !calls && len(keys) == 1 && keys[0].Equal(oc.Key)
}
