package compiler

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// memberOf is true where x is an element of coll, as Rego's in means it: of an
// array or set its elements, of an object its values, of anything else nothing.
func memberOf(x, coll operand) sqlgen.Predicate {
	switch coll.(type) {
	case known, list: // each element is compared
	case array, jsonValue, extreme:
		x, coll = settled(x), settled(coll)
		refuseUnplaced([]operand{x})
		if k, ok := x.(known); ok && isScalar(k.v) {
			checkHashed(coll, k.v)
		}
	default:
		refuseUnplaced([]operand{x})
	}
	switch c := coll.(type) {
	case known:
		return memberOfKnown(x, c.v)
	case jsonValue:
		return memberOfJSON(x, c)
	case array:
		return memberOfArray(x, c)
	case rows:
		return memberOfRows(x, c)
	case list:
		any := make([]sqlgen.Predicate, len(c.elems))
		for i, e := range c.elems {
			any[i] = compareValues(sqlgen.EQ, value{{sqlgen.True, x}}, e)
		}
		return disjunction(any)
	case record:
		any := make([]sqlgen.Predicate, len(c.vals))
		for i, v := range c.vals {
			any[i] = compareValues(sqlgen.EQ, value{{sqlgen.True, x}}, v)
		}
		return disjunction(any)
	case ruleSet:
		if c.param != nil {
			return memberOfArray(x, array{c.param})
		}
		any := make([]sqlgen.Predicate, len(c.entries))
		for i, e := range c.entries {
			elem := e.key
			if e.val != nil {
				elem = e.val
			}
			any[i] = e.from.holdsWith(compareValues(sqlgen.EQ, value{{sqlgen.True, x}}, elem))
		}
		return disjunction(any)
	case object:
		var any []sqlgen.Predicate
		for _, key := range c.n.keys() {
			any = append(any, compareValues(sqlgen.EQ, value{{sqlgen.True, x}}, c.n.children[key].asValue()))
		}
		return disjunction(any)
	}
	return sqlgen.False
}

// elements are the elements of a known collection, the values of an object.
func elements(coll ast.Value) (elems []ast.Value) {
	add := func(t *ast.Term) { elems = append(elems, t.Value) }
	switch c := coll.(type) {
	case *ast.Array:
		c.Foreach(add)
	case ast.Set:
		c.Foreach(add)
	case ast.Object:
		c.Foreach(func(_, v *ast.Term) { add(v) })
	}
	return elems
}

// memberOfKnown tests a value of the row against a known collection: one array
// argument where the driver can bind one.
func memberOfKnown(x operand, coll ast.Value) sqlgen.Predicate {
	elems := elements(coll)
	s, isScalar := x.(scalar)
	if !isScalar || !bindsArray(sqlgen.TypeOf(s.e)) {
		any := make([]sqlgen.Predicate, len(elems))
		for i, e := range elems {
			any[i] = compareOperands(sqlgen.EQ, x, known{e})
		}
		return disjunction(any)
	}
	t := sqlgen.TypeOf(s.e)
	var lits []sqlgen.Literal
	for _, e := range elems {
		if rankOfValue(e) != rankOf(x) {
			continue
		}
		if lit, ok := equalTo(t, s.nanos, e); ok {
			lits = append(lits, lit)
		}
	}
	of, lits := casesFor(s.e, lits)
	if len(lits) == 0 {
		return sqlgen.False
	}
	return sqlgen.Member{Of: of, Set: sqlgen.ListOf(t, lits)}
}

// bindsArray reports whether values of the type compare natively, and as the
// elements of one array argument.
func bindsArray(t sqlgen.Type) bool {
	switch t.Kind {
	case sqlgen.KindUUID, sqlgen.KindText, sqlgen.KindInt, sqlgen.KindFloat, sqlgen.KindTimestamptz, sqlgen.KindDate:
		return !t.Array
	default:
		return false
	}
}

// memberOfJSON looks for x in a jsonb value. Containment in a jsonb array finds
// its elements and, unlike the ? operator, no JSON string that equals x; the
// values of an object are looked at apart, because SQL would look at its keys.
func memberOfJSON(x operand, coll jsonValue) sqlgen.Predicate {
	var probe sqlgen.Expr
	switch x := x.(type) {
	case known:
		if !isScalar(x.v) { // [1] is contained in [1, 2]
			return elementOfJSON(x, coll)
		}
		lit, ok := jsonLiteral(ast.NewArray(ast.NewTerm(x.v)))
		if !ok {
			return sqlgen.False
		}
		probe = lit
	case scalar:
		probe = sqlgen.JSONArray{Of: shownAs(x)}
	case tally:
		return memberOfJSON(x.scalar(), coll)
	case computed, extreme:
		return memberOfJSON(settled(x), coll)
	default:
		return elementOfJSON(x, coll)
	}
	return inEither(coll, func(array sqlgen.Expr) sqlgen.Predicate {
		return sqlgen.JSONContains{L: array, R: probe}
	})
}

// inEither is true where a jsonb value is an array of which a condition is true, or an
// object of whose values it is. The condition must not be true of what is no array.
func inEither(coll jsonValue, is func(array sqlgen.Expr) sqlgen.Predicate) sqlgen.Predicate {
	switch rankOf(coll) {
	case rankArray:
		return is(coll.e)
	case rankObject:
		return is(sqlgen.JSONValues{Of: coll.e})
	case rankAny:
		return disjunction([]sqlgen.Predicate{is(coll.e), is(sqlgen.JSONValues{Of: coll.e})})
	default:
		return sqlgen.False
	}
}

// elementOfJSON compares a value that may be an array or object with each element.
func elementOfJSON(x operand, coll jsonValue) sqlgen.Predicate {
	forms, _ := asJSON(x)
	any := make([]sqlgen.Predicate, len(forms))
	for i, f := range forms {
		any[i] = conjunction(f.when, inEither(coll, func(array sqlgen.Expr) sqlgen.Predicate {
			return sqlgen.Member{Of: f.op.(jsonValue).e, Set: sqlgen.Apply(sqlgen.JSONElements, array)}
		}))
	}
	return disjunction(any)
}

// memberOfArray looks for x in an array column or parameter.
func memberOfArray(x operand, coll array) sqlgen.Predicate {
	elem := sqlgen.TypeOf(coll.e).Elem()
	sample := scalar{e: sqlgen.Column{Type: elem}}
	switch x := x.(type) {
	case known:
		if _, null := x.v.(ast.Null); null {
			if _, column := coll.e.(sqlgen.Column); !column { // others have none
				return sqlgen.False
			}
			return sqlgen.HasNull{Of: coll.e}
		}
		if rankOfValue(x.v) != rankOf(sample) {
			return sqlgen.False
		}
		if lit, ok := equalTo(elem, false, x.v); ok {
			return sqlgen.Member{Of: lit, Set: coll.e}
		}
		if s, ok := x.v.(ast.String); ok && !strings.Contains(string(s), "\x00") && (elem.Kind == sqlgen.KindEnum || elem.Kind == sqlgen.KindInet) {
			if elem.Kind == sqlgen.KindInet {
				break
			}
			return sqlgen.Member{Of: sqlgen.String(string(s)), Set: sqlgen.Text{Of: coll.e}}
		}
		return sqlgen.False
	case scalar:
		t := sqlgen.TypeOf(x.e)
		switch {
		case rankOf(x) != rankOf(sample):
			return sqlgen.False
		case x.nanos:
		case t == elem:
			return sqlgen.Member{Of: x.e, Set: coll.e}
		case textual(t) && textual(elem):
			return sqlgen.Member{Of: textOf(x.e), Set: textArray(coll.e)}
		}
	case tally:
		return memberOfArray(x.scalar(), coll)
	case computed, extreme:
		return memberOfArray(settled(x), coll)
	case jsonValue:
	default:
		return sqlgen.False
	}
	if all, ok := arrayJSON(coll); ok {
		return elementOfJSON(x, all)
	}
	refuse(CodeCompare, "membership of "+describe(x)+" in "+describe(coll), "give both the same type")
	return nil
}

// textual types are those whose plain cast to text is what the policy sees.
func textual(t sqlgen.Type) bool {
	return t.Kind == sqlgen.KindText || t.Kind == sqlgen.KindUUID || t.Kind == sqlgen.KindEnum
}

func textArray(e sqlgen.Expr) sqlgen.Expr {
	if sqlgen.TypeOf(e).Kind == sqlgen.KindText {
		return e
	}
	return sqlgen.Text{Of: e}
}
