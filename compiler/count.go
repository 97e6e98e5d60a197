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
		all := ruleSet{kind: rankObject}
		always := true
		for _, k := range x.n.keys() {
			there := x.n.children[k].asValue().defined()
			always = always && sqlgen.Simplify(there) == sqlgen.Predicate(sqlgen.True)
			all.entries = append(all.entries, entry{solution{when: there}, knownValue(ast.String(k)), nil})
		}
		if always {
			return knownValue(ast.IntNumberTerm(len(all.entries)).Value)
		}
		return value{{sqlgen.True, tally{all}}}
	case rows:
		return value{{sqlgen.True, tally{x.entries()}}}
	case ruleSet:
		if x.param != nil {
			return value{{sqlgen.True, number(x.param)}}
		}
		return value{{sqlgen.True, tally{x}}}
	case tally:
		return nil
	}
	refuse(CodeBuiltin, "count of "+describe(args[0])+" has no translation", "count a field")
	return nil
}

// compareTally compares the number of elements of a set with a number. Where only
// "none or some" decides, no element is counted.
func compareTally(op sqlgen.Op, t tally, b operand) sqlgen.Predicate {
	k, ok := b.(known)
	if !ok {
		return compareOperands(op, t.scalar(), b)
	}
	of := func(n string) bool { return holds(op, ast.Number(n).Compare(k.v)) }
	if one := ast.Number("1").Compare(k.v); of("1") != of("1e999") || one < 0 {
		return compareOperands(op, t.scalar(), b)
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

// scalar is the number of elements as SQL: of a set or object of those that differ.
func (t tally) scalar() scalar {
	if t.of.elements != nil {
		set := ruleSet{entries: t.of.elements, kind: rankSet, t: t.of.t}
		return scalar{e: sqlgen.Aggregate{Fn: sqlgen.Count, Distinct: true, Of: set.yields()}}
	}
	if t.of.repeats {
		refuse(CodeCompare, "the number of elements of an array comprehension that loops over a set of the row", "count a set")
	}
	return scalar{e: sqlgen.Aggregate{Fn: sqlgen.Count, Distinct: t.of.kind != rankArray, Of: t.of.yields()}}
}

// yields are the set's elements, or an object's keys, as values of SQL.
func (r ruleSet) yields() []sqlgen.Yield {
	type source struct {
		from []sqlgen.Loop
		when sqlgen.Predicate
		op   operand
	}
	var all []source
	for _, e := range r.entries {
		from, when := e.from.loops()
		for _, a := range e.key {
			all = append(all, source{from, conjunction(when, a.when), a.op})
		}
	}
	var out []sqlgen.Yield
	for _, s := range all {
		if r.kind == rankArray { // all count
			out = append(out, sqlgen.Yield{From: s.from, Where: s.when, Value: sqlgen.Bool(true)})
			continue
		}
		if x, ok := s.op.(scalar); ok && len(all) == 1 && !x.nanos {
			out = append(out, sqlgen.Yield{From: s.from, Where: s.when, Value: x.e})
			continue
		}
		if k, ok := s.op.(known); ok { // the others may equal it
			checkHashed(jsonValue{}, k.v)
		}
		for _, form := range wholeJSON(s.op) {
			out = append(out, sqlgen.Yield{From: s.from, Where: conjunction(s.when, form.when), Value: form.op.(jsonValue).e})
		}
	}
	return out
}

// loops are the collections that the solution goes through, and what must hold of
// their elements.
func (s solution) loops() ([]sqlgen.Loop, sqlgen.Predicate) {
	from, when := make([]sqlgen.Loop, len(s.scopes)), s.when
	for i, sc := range s.scopes {
		from[i] = sc.over.(sqlgen.Loop)
		when = conjunction(when, sc.when)
	}
	return from, when
}
