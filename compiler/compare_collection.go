package compiler

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// compareCollections compares arrays, objects and sets of the row with others, of which
// one may be a jsonb value of any type.
func compareCollections(op sqlgen.Op, a, b operand) sqlgen.Predicate {
	if op != sqlgen.EQ && op != sqlgen.NE {
		return orderCollections(op, a, b)
	}
	if isSet(a) || isSet(b) { // the other is a jsonb value
		return sqlgen.Const(op == sqlgen.NE)
	}
	same, ok := sameEntries(a, b)
	if !ok {
		same, ok = sameEntries(b, a)
	}
	if ok {
		if op == sqlgen.NE {
			return sqlgen.Not{Of: same}
		}
		return same
	}
	checkJSON(a, b)
	if op == sqlgen.NE {
		return sqlgen.Not{Of: sameJSON(a, b)}
	}
	return sameJSON(a, b)
}

// checkJSON refuses a comparison of what can't be made jsonb.
func checkJSON(a, b operand) {
	if !showsJSON(a) || !showsJSON(b) {
		refuse(CodeCompare, "a comparison of "+describe(a)+" with "+describe(b), "compare their parts")
	}
}

func orderCollections(op sqlgen.Op, a, b operand) sqlgen.Predicate {
	switch setA, setB := isSet(a), isSet(b); {
	case setA && setB:
		refuse(CodeCompare, "the order of two sets", "compare their elements")
	case setA: // the other is a jsonb value, and below
		return sqlgen.Const(holds(op, 1))
	case setB:
		return sqlgen.Const(holds(op, -1))
	}
	if x, ok := sequence(a); ok {
		if y, ok := sequence(b); ok {
			return orderOfSequences(op, x, y)
		}
	}
	checkJSON(a, b)
	return orderOfJSON(op, a, b)
}

// sequence are the elements of an array whose length does not depend on the row.
func sequence(op operand) ([]value, bool) {
	switch op := op.(type) {
	case known:
		if _, ok := op.v.(*ast.Array); !ok {
			return nil, false
		}
		var out []value
		for _, e := range elements(op.v) {
			out = append(out, knownValue(e))
		}
		return out, true
	case list:
		return op.elems, !op.set
	default:
		return nil, false
	}
}

// orderOfSequences orders arrays by their first elements that differ, and else by their
// length.
func orderOfSequences(op sqlgen.Op, a, b []value) sqlgen.Predicate {
	if len(a) == 0 || len(b) == 0 {
		return sqlgen.Const(holds(op, len(a)-len(b)))
	}
	differs := sqlgen.LT
	if op == sqlgen.GT || op == sqlgen.GE {
		differs = sqlgen.GT
	}
	return disjunction([]sqlgen.Predicate{
		compareValues(differs, a[0], b[0]),
		conjunction(compareValues(sqlgen.EQ, a[0], b[0]), orderOfSequences(op, a[1:], b[1:])),
	})
}

// sameEntries is where an array or object that a comprehension or rules make of the row
// equals another value; ok is false where that can't be said by its entries.
func sameEntries(a, b operand) (same sqlgen.Predicate, ok bool) {
	x, ok := a.(ruleSet)
	if !ok {
		return nil, false
	}
	if x.kind == rankObject {
		y, ok := asEntries(b)
		if !ok {
			return nil, false
		}
		return conjunction(entriesIn(x, y), entriesIn(y, x)), true
	}
	elems, ok := sequence(b)
	if !ok {
		return nil, false
	}
	if len(elems) == 0 {
		return sqlgen.Not{Of: x.some(value.defined)}, true
	}
	for _, e := range elems[1:] { // the elements of a loop have no order, but where all are the same
		k, isKnown := e.constant()
		first, firstKnown := elems[0].constant()
		if !isKnown || !firstKnown || k.Compare(first) != 0 {
			return nil, false
		}
	}
	others := x.some(func(e value) sqlgen.Predicate {
		return conjunction(e.defined(), sqlgen.Not{Of: compareValues(sqlgen.EQ, e, elems[0])})
	})
	n := known{ast.IntNumberTerm(len(elems)).Value}
	return conjunction(sqlgen.Not{Of: others}, compareOperands(sqlgen.EQ, tally{x}, n)), true
}

// asEntries is an object as entries under their conditions.
func asEntries(op operand) (out ruleSet, ok bool) {
	switch op := op.(type) {
	case ruleSet:
		return op, op.kind == rankObject
	case known:
		obj, ok := op.v.(ast.Object)
		if !ok {
			return out, false
		}
		return asEntries(recordOf(obj))
	case record:
		out.kind = rankObject
		for i, k := range op.keys {
			out.entries = append(out.entries, entry{solution{when: op.vals[i].defined()}, knownValue(k), op.vals[i]})
		}
		return out, true
	default:
		return out, false
	}
}

// entriesIn is true where each entry of an object is one of another.
func entriesIn(x, y ruleSet) sqlgen.Predicate {
	all := make([]sqlgen.Predicate, len(x.entries))
	for i, e := range x.entries {
		if len(e.from.scopes) > 0 {
			e = x.t.reopen(e) // y may go through the same collection
		}
		any := make([]sqlgen.Predicate, len(y.entries))
		for j, f := range y.entries {
			any[j] = f.from.holdsWith(conjunction(compareValues(sqlgen.EQ, e.key, f.key), compareValues(sqlgen.EQ, e.val, f.val)))
		}
		there := conjunction(e.key.defined(), e.val.defined())
		all[i] = sqlgen.Not{Of: e.from.holdsWith(conjunction(there, sqlgen.Not{Of: disjunction(any)}))}
	}
	return conjunction(all...)
}
