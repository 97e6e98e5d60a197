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
