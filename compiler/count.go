package compiler

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// count is the number of characters of a string, or of elements of a collection; of
// anything else it is undefined.
func count(args []operand) value {
	number := func(of sqlgen.Expr) operand { return scalar{e: sqlgen.Length{Of: of}} }
	switch x := args[0].(type) {
	case scalar:
		if rankOf(x) == rankString {
			return value{{sqlgen.True, number(textOf(x.e))}}
		}
		return nil
	case array:
		return value{{sqlgen.True, number(x.e)}}
	case jsonValue:
		is := func(t string) sqlgen.Predicate { return sqlgen.JSONTypeIs{Of: x.e, Types: []string{t}} }
		return value{
			{is("string"), number(sqlgen.JSONString{Of: x.e})},
			{is("array"), number(x.e)},
			{is("object"), number(sqlgen.JSONValues{Of: x.e})},
		}
	case list:
		if !x.set {
			return knownValue(ast.IntNumberTerm(len(x.elems)).Value)
		}
		return distinct(x.elems)
	case record:
		return knownValue(ast.IntNumberTerm(len(x.keys)).Value)
	case object:
		all := sqlgen.And{}
		for _, k := range x.n.keys() {
			all = append(all, x.n.children[k].asValue().defined())
		}
		if sqlgen.Simplify(all) == sqlgen.Predicate(sqlgen.True) {
			return knownValue(ast.IntNumberTerm(len(all)).Value)
		}
	case rows:
		return value{{sqlgen.True, tally{x.entries()}}}
	case ruleSet:
		return value{{sqlgen.True, tally{x}}}
	}
	refuse(CodeBuiltin, "count of "+describe(args[0])+" has no translation", "count a field")
	return nil
}

// compareTally compares the number of elements of a set with a number: where only
// "none or some" decides, since elements of several loops may be the same.
func compareTally(op sqlgen.Op, t tally, b operand) sqlgen.Predicate {
	k, ok := b.(known)
	if !ok {
		refuse(CodeCompare, "the size of a set compared with "+describe(b), "compare it with 0")
	}
	of := func(n string) bool { return holds(op, ast.Number(n).Compare(k.v)) }
	if one := ast.Number("1").Compare(k.v); of("1") != of("1e999") || one < 0 {
		refuse(CodeCompare, "the size of a set compared with "+k.v.String(), "compare it with 0")
	}
	any := make([]sqlgen.Predicate, len(t.of.entries))
	for i, e := range t.of.entries {
		any[i] = e.from.holdsWith(e.key.defined())
	}
	some := disjunction(any)
	return disjunction([]sqlgen.Predicate{
		conjunction(some, sqlgen.Const(of("1"))),
		conjunction(sqlgen.Not{Of: some}, sqlgen.Const(of("0"))),
	})
}
