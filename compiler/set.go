package compiler

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// asSet is a set as entries under their conditions; ok is false of anything else.
func asSet(op operand) (set ruleSet, ok bool) {
	set.kind = rankSet
	switch op := op.(type) {
	case known:
		if _, ok := op.v.(ast.Set); !ok {
			return set, false
		}
		for _, e := range elements(op.v) {
			set.entries = append(set.entries, entry{solution{when: sqlgen.True}, knownValue(e), nil})
		}
		return set, true
	case list:
		for _, e := range op.elems {
			set.entries = append(set.entries, entry{solution{when: sqlgen.True}, e, nil})
		}
		return set, op.set
	case ruleSet:
		return op, op.kind == rankSet
	default:
		return set, false
	}
}

// fewElements is how many elements of a known set are each looked for in a collection
// of the row, rather than the collection's elements in the set: an index may serve.
const fewElements = 8

// intersect is a & b.
func (t *translator) intersect(a, b operand) value {
	if !isSet(a) || !isSet(b) {
		return nil
	}
	if k, ok := b.(known); ok && k.v.(ast.Set).Len() <= fewElements && loopsSomewhere(a) {
		a, b = b, a
	}
	if k, ok := a.(known); ok && (k.v.(ast.Set).Len() > fewElements || !loopsSomewhere(b)) {
		a, b = b, a
	}
	return t.sieve(a, func(x operand) sqlgen.Predicate { return memberOf(x, b) })
}

// subtract is a - b, of sets.
func (t *translator) subtract(a, b operand) value {
	if !isSet(a) || !isSet(b) {
		return nil
	}
	return t.sieve(a, func(x operand) sqlgen.Predicate { return sqlgen.Not{Of: memberOf(x, b)} })
}

// unite is a | b.
func (t *translator) unite(a, b operand) value {
	x, okA := asSet(a)
	y, okB := asSet(b)
	if !okA || !okB {
		return nil
	}
	all := append(x.entries[:len(x.entries):len(x.entries)], y.entries...)
	return value{{sqlgen.True, ruleSet{entries: all, kind: rankSet, t: t}}}
}

func isSet(op operand) bool { return rankOf(op) == rankSet }

// loopsSomewhere reports whether a set's elements come from loops.
func loopsSomewhere(op operand) bool {
	set, _ := asSet(op)
	for _, e := range set.entries {
		if len(e.from.scopes) > 0 {
			return true
		}
	}
	return false
}

// sieve is a set of the elements of which keep is true. The loops get names of their
// own, because keep may go through the same set again, inside of them.
func (t *translator) sieve(set operand, keep func(operand) sqlgen.Predicate) value {
	from, _ := asSet(set)
	out := ruleSet{kind: rankSet, t: t}
	for _, e := range from.entries {
		t.alive()
		e = t.reopen(e)
		kept := make(value, 0, len(e.key))
		for _, a := range e.key {
			if p := conjunction(a.when, keep(a.op)); p != sqlgen.Predicate(sqlgen.False) {
				kept = append(kept, alt{p, a.op})
			}
		}
		if len(kept) > 0 {
			e.key = kept
			out.entries = append(out.entries, e)
		}
	}
	return value{{sqlgen.True, out}}
}

// foldSets is intersection or union of a set of sets.
func (t *translator) foldSets(sets operand, fold func(a, b operand) value) value {
	var all []value
	switch s := sets.(type) {
	case known:
		for _, e := range elements(s.v) {
			all = append(all, knownValue(e))
		}
	case list:
		all = s.elems
	case ruleSet:
		refuse(CodeBuiltin, "a set of sets that depends on the row", "write a & b, or a | b")
	}
	if !isSet(sets) {
		return nil
	}
	var out value
	combine(all, nil, sqlgen.True, func(ops []operand, when sqlgen.Predicate) {
		result := knownValue(ast.NewSet())
		for i, op := range ops {
			if !isSet(op) {
				result = nil
				break
			}
			if i == 0 {
				result = value{{sqlgen.True, op}}
				continue
			}
			result = fold(result[0].op, op)
		}
		out = append(out, result.under(when)...)
	})
	return out
}
