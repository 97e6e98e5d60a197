package compiler

import (
	"reflect"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// maxDepth bounds how deep rules refer to rules. Rego has no recursion; this stops
// what would be a mistake here from filling the stack.
const maxDepth = 500

// ruleValue is the value of a rule: of a function for its arguments, of a partial
// rule the collection.
func (t *translator) ruleValue(rules []*ast.Rule, args []value) value {
	t.asked[rules[0]] = true
	if len(args) == 0 {
		if v, ok := t.memo[rules[0]]; ok {
			return v
		}
	}
	if t.depth++; t.depth > maxDepth {
		refuse(CodeExpression, "rules refer to rules too deep", "")
	}
	outerExpr, outerRule := t.expr, t.rule
	var v value
	if isPartial(rules[0]) {
		v = t.partialRule(rules)
	} else {
		v = t.completeRule(rules, args)
	}
	t.depth--
	t.spend(v)
	t.expr, t.rule = outerExpr, outerRule
	if len(args) == 0 {
		t.memo[rules[0]] = v
	}
	return v
}

func isPartial(r *ast.Rule) bool {
	return r.Head.RuleKind() == ast.MultiValue || len(r.Head.Ref()) > len(r.Head.Ref().GroundPrefix())
}

// completeRule is a rule or function with one value.
func (t *translator) completeRule(rules []*ast.Rule, args []value) value {
	var out value
	var fallback *ast.Rule
	var all []definition
	for _, r := range rules {
		if r.Default {
			fallback = r
			continue
		}
		t.rule = r
		var v value
		for _, s := range t.bodySolutions(r, args) {
			for _, f := range t.eval(r.Head.Value, s) {
				v = appended(v, t.leave(f))
			}
		}
		if len(v) > 0 {
			all = append(all, definition{rule: r, v: merge(v)})
			out = append(out, v...)
		}
	}
	out = merge(out)
	t.checkConflict(all)
	if fallback != nil {
		t.rule = fallback
		none := sqlgen.Not{Of: out.defined()}
		for _, f := range t.eval(fallback.Head.Value, solution{when: sqlgen.True}) {
			out = append(out, f.val.under(none)...)
		}
	}
	return out
}

// leave is a rule's value, outside of the loops in which it was found.
func (t *translator) leave(f found) value {
	out := make(value, len(f.val))
	for i, a := range f.val {
		out[i] = alt{f.holdsWith(a.when), a.op}
		if readsLoop(a.op, f.scopes) && out[i].when != sqlgen.Predicate(sqlgen.False) {
			out[i].op = fold(f.and(a.when)[0], a.op)
		}
	}
	return out
}

// bodySolutions matches a rule's arguments and solves its body.
func (t *translator) bodySolutions(r *ast.Rule, args []value) []solution {
	if r.Else != nil {
		t.expr = r.Body[0]
		refuse(CodeExpression, "an else that partial evaluation left", "")
	}
	sols := []solution{{when: sqlgen.True}}
	for i, pattern := range r.Head.Args {
		if i >= len(args) {
			refuse(CodeExpression, "a function without all of its arguments", "")
		}
		var next []solution
		for _, s := range sols {
			next = appended(next, t.unifyValue(pattern, args[i], s))
		}
		sols = next
	}
	var out []solution
	for _, s := range sols {
		out = appended(out, t.solve(r.Body, s))
	}
	return out
}

// unasked refuses what may have two values where partial evaluation found the rest of
// the body to be false: full evaluation stops there before it gets to that.
func (t *translator) unasked() {
	for _, rules := range t.residual.MayConflict() {
		if t.asked[rules[0]] {
			continue
		}
		if len(rules[0].Head.Args) > 0 {
			t.rule, t.expr = rules[0], rules[0].Body[0]
			refuse(CodeConflict, "the function may have two values for one row", "make the bodies exclude each other, or use else")
		}
		t.ruleValue(rules, nil)
	}
}

// definition is one of the definitions of a rule, and the rule's value by it.
type definition struct {
	rule  *ast.Rule
	v     value
	facts *rego.Facts // once they are asked for
}

func (d *definition) factsOf() rego.Facts {
	if d.facts == nil {
		facts := rego.FactsOf(d.rule)
		d.facts = &facts
	}
	return *d.facts
}

// checkConflict refuses a rule that may have two values for one row: OPA stops
// there with an error, and so allows nothing, where a choice might allow.
func (t *translator) checkConflict(all []definition) {
	for i := range all {
		a := &all[i]
		for j, x := range a.v {
			t.checkAlternatives(all, x, a.v[j+1:])
		}
		for j := range all[i+1:] {
			b := &all[i+1+j]
			if agree(a.v, b.v) || t.residual.Exclusive(a.rule, b.rule, a.factsOf(), b.factsOf()) {
				continue
			}
			for _, x := range a.v {
				t.checkAlternatives(all, x, b.v)
			}
		}
	}
}

// agree reports whether two values are known and the same in all of their alternatives.
func agree(v, w value) bool {
	first, ok := v[0].op.(known)
	same := func(a alt) bool {
		k, ok := a.op.(known)
		return ok && k.v.Compare(first.v) == 0
	}
	return ok && !slices.ContainsFunc(v, func(a alt) bool { return !same(a) }) && !slices.ContainsFunc(w, func(a alt) bool { return !same(a) })
}

// checkAlternatives refuses an alternative that may hold with one of others, of another
// value.
func (t *translator) checkAlternatives(all []definition, a alt, others value) {
	t.alive()
	for _, b := range others {
		if differ := differ(a.op, b.op); differ != sqlgen.Predicate(sqlgen.False) && !impossible(sqlgen.And{a.when, b.when, differ}) {
			t.rule, t.expr = all[0].rule, all[0].rule.Body[0]
			refuse(CodeConflict, "the rule may have two values for one row", "make the bodies exclude each other, or use else")
		}
	}
}

// differ is a condition that is true at least where two values differ.
func differ(a, b operand) sqlgen.Predicate {
	ka, okA := a.(known)
	kb, okB := b.(known)
	if okA && okB {
		return sqlgen.Const(ka.v.Compare(kb.v) != 0)
	}
	if reflect.DeepEqual(a, b) {
		return sqlgen.False
	}
	single := func(op operand) bool {
		switch rankOf(op) {
		case rankNull, rankBool, rankNumber, rankString:
			switch op := op.(type) {
			case tally:
				return false
			case computed:
				return op.whole != nil
			}
			return true
		}
		return false
	}
	if single(a) && single(b) {
		return compareOperands(sqlgen.NE, a, b)
	}
	return sqlgen.True
}

// merge joins the alternatives with the same known value.
func merge(v value) value {
	if len(v) < 2 {
		return v
	}
	at := map[writing]int{}
	var out value // nil while it would be the same
	joined := map[int][]sqlgen.Predicate{}
	for i, a := range v {
		if k, ok := a.op.(known); ok {
			w := writingOf(k.v)
			if j, ok := at[w]; ok {
				if out == nil {
					out = slices.Clone(v[:i])
				}
				if joined[j] == nil {
					joined[j] = []sqlgen.Predicate{out[j].when}
				}
				joined[j] = append(joined[j], a.when)
				continue
			}
			at[w] = i
			if out != nil {
				at[w] = len(out)
			}
		}
		if out != nil {
			out = append(out, a)
		}
	}
	if out == nil {
		return v
	}
	for j, whens := range joined {
		out[j].when = disjunction(whens)
	}
	return out
}

// writing is a value in one way of writing it: 1 and 1.0 are two.
type writing struct {
	rank rank
	text string
}

func writingOf(v ast.Value) writing {
	if s, ok := v.(ast.String); ok {
		return writing{rankString, string(s)}
	}
	return writing{rankOfValue(v), v.String()}
}

// partialRule is a rule that defines a set or an object.
func (t *translator) partialRule(rules []*ast.Rule) value {
	set := ruleSet{kind: rankObject, t: t}
	if rules[0].Head.RuleKind() == ast.MultiValue {
		set.kind = rankSet
	}
	for _, r := range rules {
		t.rule = r
		ref := r.Head.Ref()
		keys := ref[len(ref.GroundPrefix()):]
		multi := r.Head.RuleKind() == ast.MultiValue
		if multi && len(keys) > 0 || !multi && len(keys) != 1 {
			t.expr = r.Body[0]
			refuse(CodeReference, "a rule with several variable keys", "use one key")
		}
		for _, s := range t.bodySolutions(r, nil) {
			keyTerm := r.Head.Key
			if !multi {
				keyTerm = keys[0]
			}
			for _, k := range t.eval(keyTerm, s) {
				if multi {
					set.entries = append(set.entries, entry{k.solution, k.val, nil})
					continue
				}
				for _, v := range t.eval(r.Head.Value, k.solution) {
					set.entries = append(set.entries, entry{v.solution, k.val, v.val})
				}
			}
		}
	}
	t.rule, t.expr = rules[0], rules[0].Body[0]
	t.checkKeys(set)
	return value{{sqlgen.True, set}}
}

// checkKeys refuses an object that may have two values for one key.
func (t *translator) checkKeys(set ruleSet) {
	for i, a := range set.entries {
		t.alive()
		if a.val == nil {
			continue
		}
		if len(a.from.scopes) > 0 && !keyedByLoop(a) && (len(a.val) > 1 || readsLoop(a.val[0].op, a.from.scopes)) {
			refuseKeys()
		}
		for _, b := range set.entries[i+1:] {
			var differs []sqlgen.Predicate
			for _, x := range a.val {
				for _, y := range b.val {
					differs = append(differs, conjunction(x.when, y.when, differ(x.op, y.op)))
				}
			}
			both := sqlgen.And{a.from.when, b.from.when}
			for _, sc := range slices.Concat(a.from.scopes, b.from.scopes) {
				both = append(both, sc.when)
			}
			differ := disjunction(differs)
			if differ == sqlgen.Predicate(sqlgen.False) {
				continue
			}
			if !impossible(append(both, compareValues(sqlgen.EQ, a.key, b.key), differ)) {
				refuseKeys()
			}
		}
	}
}

func refuseKeys() {
	refuse(CodeConflict, "the object may have two values for one key", "make the bodies exclude each other")
}

// keyedByLoop reports whether the entry's key is that of the only loop in which it was
// found: no two elements have the same.
func keyedByLoop(e entry) bool {
	if len(e.from.scopes) != 1 || len(e.key) != 1 || e.key[0].when != sqlgen.Predicate(sqlgen.True) {
		return false
	}
	key, isScalar := e.key[0].op.(scalar)
	over, isElement := e.from.scopes[0].over.(sqlgen.ExistsElement)
	return isScalar && isElement && key.e == over.ElementKey()
}
