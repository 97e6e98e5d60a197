package compiler

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// isLiteral reports whether an operand is a collection literal that depends on the row.
func isLiteral(op operand) bool {
	switch op.(type) {
	case list, record:
		return true
	}
	return false
}

// compareLiteral compares two values of which one is a literal that depends on the row,
// or two sets: part by part.
func compareLiteral(op sqlgen.Op, a, b operand) sqlgen.Predicate {
	if op != sqlgen.EQ && op != sqlgen.NE {
		return orderCollections(op, a, b)
	}
	if !isLiteral(a) && isLiteral(b) {
		a, b = b, a
	}
	if op == sqlgen.NE {
		return sqlgen.Not{Of: equalLiteral(a, b)}
	}
	return equalLiteral(a, b)
}

func equalLiteral(a, b operand) sqlgen.Predicate {
	if rankOf(b) != rankSet {
		if same, ok := sameEntries(b, a); ok {
			return same
		}
	}
	var have, want []value
	var fits sqlgen.Predicate
	switch x := a.(type) {
	case record:
		want = x.vals
		have, fits = objectParts(b, x.keys)
	case list:
		if x.set {
			break
		}
		want = x.elems
		have, fits = arrayParts(b, len(x.elems))
	}
	if fits == nil { // sets
		if rankOf(b) != rankSet {
			return sqlgen.False // no value of the row is a set
		}
		return conjunction(subset(a, b), subset(b, a))
	}
	all := []sqlgen.Predicate{fits}
	for i, h := range have {
		all = append(all, compareValues(sqlgen.EQ, want[i], h))
	}
	return conjunction(all...)
}

// subset is true where each element of a set is one of another.
func subset(x, y operand) sqlgen.Predicate {
	in := func(v value) sqlgen.Predicate {
		any := make([]sqlgen.Predicate, len(v))
		for i, a := range v {
			any[i] = conjunction(a.when, memberOf(a.op, y))
		}
		return disjunction(any)
	}
	var all []sqlgen.Predicate
	switch s := x.(type) {
	case known:
		for _, e := range elements(s.v) {
			all = append(all, memberOf(known{e}, y))
		}
	case list:
		for _, e := range s.elems {
			all = append(all, in(e))
		}
	case ruleSet:
		for _, e := range s.entries {
			if len(e.from.scopes) > 0 {
				e = s.t.reopen(e) // y may go through the same collection
			}
			all = append(all, sqlgen.Not{Of: e.from.holdsWith(conjunction(e.key.defined(), sqlgen.Not{Of: in(e.key)}))})
		}
	default:
		refuse(CodeCompare, "a comparison of "+describe(x)+" with "+describe(y), "compare their elements")
	}
	return conjunction(all...)
}

// maxCounted bounds the elements that are counted by what may be the same of them: the
// SQL doubles with each.
const maxCounted = 6

// distinct is the number of different elements of a set literal.
func distinct(elems []value) value {
	if len(elems) > maxCounted {
		set, _ := asSet(list{elems, true})
		return value{{sqlgen.True, tally{set}}}
	}
	again := make([]sqlgen.Predicate, len(elems))
	for i, e := range elems {
		var same []sqlgen.Predicate
		for _, before := range elems[:i] {
			same = append(same, compareValues(sqlgen.EQ, before, e))
		}
		again[i] = disjunction(same)
	}
	return tallyOf(again, true)
}

// tallyOf is how many of the conditions hold, or do not.
func tallyOf(conditions []sqlgen.Predicate, negated bool) value {
	counts := []sqlgen.Predicate{sqlgen.True} // by the number so far
	for _, c := range conditions {
		no := sqlgen.Predicate(sqlgen.Not{Of: c})
		if k, ok := c.(sqlgen.Const); ok {
			no = !k
		}
		if negated {
			c, no = no, c
		}
		next := make([]sqlgen.Predicate, len(counts)+1)
		for n := range next {
			var any []sqlgen.Predicate
			if n < len(counts) {
				any = append(any, conjunction(counts[n], no))
			}
			if n > 0 {
				any = append(any, conjunction(counts[n-1], c))
			}
			next[n] = disjunction(any)
		}
		counts = next
	}
	var out value
	for n, when := range counts {
		if when != sqlgen.Predicate(sqlgen.False) {
			out = append(out, alt{when, known{ast.IntNumberTerm(n).Value}})
		}
	}
	return out
}

// placed is the element of an array comprehension at a place that is known, where what
// is in it depends on the row, but no loop does.
func placed(c ruleSet, key operand) value {
	k, isKnown := key.(known)
	loops := len(c.entries) > maxCounted || c.repeats // its elements are in no order that is known
	for _, e := range c.entries {
		loops = loops || len(e.from.scopes) > 0
	}
	if !isKnown || loops {
		refuse(CodeReference, "an element of an array comprehension by its place", "use x in …")
	}
	at, ok := index(k.v)
	if !ok {
		return nil
	}
	var out value
	var before []sqlgen.Predicate
	for _, e := range c.entries {
		for _, a := range tallyOf(before, false) {
			if a.op.(known).v.Compare(ast.IntNumberTerm(int(at)).Value) == 0 {
				out = append(out, e.key.under(conjunction(a.when, e.from.when))...)
			}
		}
		before = append(before, conjunction(e.from.when, e.key.defined()))
	}
	return out
}

// recordOf is a known object as a literal.
func recordOf(obj ast.Object) record {
	var r record
	obj.Foreach(func(k, v *ast.Term) {
		r.keys, r.vals = append(r.keys, k.Value), append(r.vals, knownValue(v.Value))
	})
	return r
}
