package compiler

import (
	"github.com/rowfence/rowfence/sqlgen"
)

// extreme is the greatest or least element of a collection that has one. It has no
// SQL of its own, because elements are of any types: a comparison with it is one with
// all elements, or some.
type extreme struct {
	of    ruleSet
	least bool
}

func (extreme) operand() {}

// extremeOf is max or min of an array or set. Of an empty one it is undefined.
func (t *translator) extremeOf(op operand, least bool) value {
	set := ruleSet{kind: rankArray}
	var isArray sqlgen.Predicate = sqlgen.True
	switch x := op.(type) {
	case list:
		for _, e := range x.elems {
			set.entries = append(set.entries, entry{from: solution{when: sqlgen.True}, key: e})
		}
	case ruleSet:
		if x.kind == rankObject {
			return nil
		}
		set = x
	case array, jsonValue:
		if j, ok := x.(jsonValue); ok {
			isArray = sqlgen.JSONTypeIs{Of: j.e, Types: []string{"array"}}
		}
		for _, l := range t.loopsOver(x) {
			if over, ok := l.in.over.(sqlgen.ExistsElement); ok && !over.Values {
				set.entries = append(set.entries, entry{from: solution{when: sqlgen.True}.enter(l.in), key: l.value})
			}
		}
	case extreme:
		refuse(CodeBuiltin, "max or min of the result of another", "loop over the collection")
	default:
		return nil
	}
	return value{{conjunction(isArray, set.some(value.defined)), extreme{set, least}}}
}

// some is true where a condition holds of an element.
func (s ruleSet) some(is func(value) sqlgen.Predicate) sqlgen.Predicate {
	any := make([]sqlgen.Predicate, len(s.entries))
	for i, e := range s.entries {
		any[i] = e.from.holdsWith(is(e.key))
	}
	return disjunction(any)
}

// compareExtreme compares the greatest element: it is above b where some element is,
// and below where none is not.
func compareExtreme(op sqlgen.Op, x extreme, b operand) sqlgen.Predicate {
	switch b.(type) {
	case extreme, ruleSet, list, rows, row, record, object:
		refuse(CodeCompare, "a comparison of the result of max or min with "+describe(b), "compare it with a field or a constant")
	}
	beyond, reaches := sqlgen.GT, sqlgen.GE
	if x.least {
		beyond, reaches = sqlgen.LT, sqlgen.LE
	}
	some := func(op sqlgen.Op) sqlgen.Predicate {
		return x.of.some(func(e value) sqlgen.Predicate { return compareValues(op, e, value{{sqlgen.True, b}}) })
	}
	switch op {
	case beyond, reaches:
		return some(op)
	case sqlgen.EQ:
		return conjunction(some(sqlgen.EQ), sqlgen.Not{Of: some(beyond)})
	case sqlgen.NE:
		return sqlgen.Not{Of: compareExtreme(sqlgen.EQ, x, b)}
	default:
		return sqlgen.Not{Of: some(op.Complement())}
	}
}
