package compiler

import (
	"math"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// lookup is coll[key], undefined where there is none.
func lookup(coll, key operand) value {
	refuseUnplaced([]operand{key})
	switch c := coll.(type) {
	case object:
		if k, ok := key.(known); ok {
			if s, ok := k.v.(ast.String); ok && c.n.children[string(s)] != nil {
				return c.n.children[string(s)].asValue()
			}
			return nil
		}
		var out value
		for _, name := range c.n.keys() {
			out = append(out, c.n.children[name].asValue().under(
				compareOperands(sqlgen.EQ, key, known{ast.String(name)}))...)
		}
		return out
	case known:
		return lookupKnown(c.v, key)
	case jsonValue:
		return lookupJSON(c, key)
	case record:
		var out value
		for i, k := range c.keys {
			out = append(out, c.vals[i].under(compareOperands(sqlgen.EQ, key, known{k}))...)
		}
		return out
	case list:
		return lookupList(c, key)
	case array:
		if k, ok := key.(known); ok {
			return lookupArray(c, k.v)
		}
		if e, ok := arrayJSON(c); ok {
			return lookupJSON(e, key)
		}
	case ruleSet:
		return lookupRule(c, key)
	case rows:
		return lookupRows(c, key)
	case scalar, tally:
		return nil
	}
	refuse(CodeReference, "a reference into "+describe(coll)+" by "+describe(key), "use a constant key")
	return nil
}

func lookupKnown(coll ast.Value, key operand) value {
	if k, ok := key.(known); ok {
		v, err := coll.Find(ast.Ref{ast.NewTerm(k.v)})
		if err != nil {
			return nil
		}
		return knownValue(v)
	}
	_, isArray := coll.(*ast.Array)
	var out value
	each(coll, func(k, v ast.Value) {
		same := compareOperands(sqlgen.EQ, key, known{k})
		if isArray {
			same = isPlace(key, k)
		}
		out = append(out, knownValue(v).under(same)...)
	})
	return out
}

// each visits the keys and values of a known collection; a set's elements are
// their own keys.
func each(coll ast.Value, visit func(k, v ast.Value)) {
	switch c := coll.(type) {
	case *ast.Array:
		for i := range c.Len() {
			visit(ast.IntNumberTerm(i).Value, c.Elem(i).Value)
		}
	case ast.Set:
		c.Foreach(func(t *ast.Term) { visit(t.Value, t.Value) })
	case ast.Object:
		c.Foreach(func(k, v *ast.Term) { visit(k.Value, v.Value) })
	}
}

// lookupJSON is a member of a jsonb value: by text in an object, by an integer in
// an array. PostgreSQL's operators make that distinction, too; only an index below
// zero means something else to it.
func lookupJSON(c jsonValue, key operand) value {
	var k sqlgen.Expr
	var isArray sqlgen.Predicate = sqlgen.True
	switch key := key.(type) {
	case known:
		switch v := key.v.(type) {
		case ast.String:
			lit, ok := equalToString(sqlgen.Type{Kind: sqlgen.KindText}, string(v))
			if !ok {
				return nil
			}
			k = lit
		case ast.Number:
			i, ok := index(v)
			if !ok || i > math.MaxInt32 {
				return nil
			}
			k = sqlgen.Int(i)
			if i == 0 { // to PostgreSQL, the element 0 of a JSON scalar is the scalar
				isArray = sqlgen.JSONTypeIs{Of: c.e, Types: []string{"array"}}
			}
		default:
			return nil
		}
	case scalar:
		if rankOf(key) == rankString {
			k = textOf(key.e)
			break
		}
		if k = placeOf(key); k == nil {
			return nil
		}
		isArray = sqlgen.JSONTypeIs{Of: c.e, Types: []string{"array"}}
	case jsonValue:
		text := sqlgen.JSONTypeIs{Of: key.e, Types: []string{"string"}}
		number := sqlgen.JSONTypeIs{Of: key.e, Types: []string{"number"}}
		isArray := sqlgen.JSONTypeIs{Of: c.e, Types: []string{"array"}}
		byText, byPlace := sqlgen.JSONGet{Of: c.e, Key: sqlgen.JSONString{Of: key.e}}, sqlgen.JSONGet{Of: c.e, Key: placeOf(key)}
		return value{
			{conjunction(text, sqlgen.NotNull(byText)), jsonValue{byText}},
			{conjunction(isArray, number, sqlgen.NotNull(byPlace)), jsonValue{byPlace}},
		}
	case tally:
		return lookupJSON(c, key.scalar())
	case computed, extreme:
		return lookupJSON(c, settled(key))
	default: // jsonb has no such keys
		return nil
	}
	get := sqlgen.JSONGet{Of: c.e, Key: k}
	return value{{conjunction(isArray, sqlgen.NotNull(get)), jsonValue{get}}}
}

// placeOf is a number as the place of an element, NULL where it is none; nil where it
// can't be.
func placeOf(key operand) sqlgen.Expr {
	switch key := key.(type) {
	case scalar:
		switch {
		case key.nanos:
			return sqlgen.Apply(sqlgen.PlaceOfInt, sqlgen.ToNumeric{Of: key.e})
		case sqlgen.TypeOf(key.e).Kind == sqlgen.KindInt:
			return sqlgen.Apply(sqlgen.PlaceOfInt, key.e)
		case rankOf(key) == rankNumber:
			return sqlgen.Apply(sqlgen.PlaceOfNumber, sqlgen.ToNumeric{Of: key.e})
		}
	case jsonValue:
		return sqlgen.Apply(sqlgen.PlaceOfJSON, key.e)
	}
	return nil
}

// isPlace is true where a key is the place in an array.
func isPlace(key operand, place ast.Value) sqlgen.Predicate {
	switch k := key.(type) {
	case tally:
		return isPlace(k.scalar(), place)
	case scalar:
		if k.nanos || sqlgen.TypeOf(k.e).Kind == sqlgen.KindInt {
			break
		}
		if i, ok := index(place); ok && rankOf(k) == rankNumber {
			return sqlgen.Eq(placeOf(k), sqlgen.Int(i))
		}
	case jsonValue:
		if i, ok := index(place); ok {
			return sqlgen.Eq(placeOf(k), sqlgen.Int(i))
		}
	}
	return compareOperands(sqlgen.EQ, key, known{place})
}

// lookupList is the element of an array literal at a place, or of a set literal that
// equals the key.
func lookupList(c list, key operand) value {
	if c.set {
		return value{{memberOf(key, c), key}}
	}
	if k, ok := key.(known); ok {
		if i, ok := index(k.v); ok && i < int64(len(c.elems)) {
			return c.elems[i]
		}
		return nil
	}
	var out value
	for i, e := range c.elems {
		out = append(out, e.under(isPlace(key, ast.IntNumberTerm(i).Value))...)
	}
	return out
}

// lookupArray is the element of an array column at a known place.
func lookupArray(c array, key ast.Value) value {
	i, ok := index(key)
	if !ok || i > math.MaxInt32/2 {
		return nil
	}
	if part, ok := splitPart(c, i); ok {
		return part
	}
	get := sqlgen.ArrayGet{Of: c.e, Index: i}
	if _, column := c.e.(sqlgen.Column); !column { // it holds no NULL
		return scalarValue(sqlgen.NotNull(get), get)
	}
	there := sqlgen.Compare{Op: sqlgen.GT, L: sqlgen.Length{Of: c.e}, R: sqlgen.Int(i)}
	return value{
		{sqlgen.NotNull(get), scalar{e: get}},
		{conjunction(there, sqlgen.Null{Of: get}), known{ast.NullValue}},
	}
}

// index is a key of an array.
func index(v ast.Value) (int64, bool) {
	n, ok := v.(ast.Number)
	if !ok {
		return 0, false
	}
	i, ok := n.Int64() // 1e0 is no index to OPA
	return i, ok && i >= 0
}

func lookupRule(c ruleSet, key operand) value {
	if c.kind == rankArray {
		return placed(c, key)
	}
	if c.param != nil {
		return value{{memberOf(key, c), key}}
	}
	var out value
	k := value{{sqlgen.True, key}}
	for _, e := range c.entries {
		same := compareValues(sqlgen.EQ, k, e.key)
		if e.val == nil {
			out = append(out, alt{e.from.holdsWith(same), key})
			continue
		}
		for _, a := range e.val {
			if readsLoop(a.op, e.from.scopes) {
				refuse(CodeIteration, "a rule's object whose values come from a loop over the row", "test for the value inside the rule")
			}
			out = append(out, alt{e.from.holdsWith(conjunction(same, a.when)), a.op})
		}
	}
	return merge(out)
}
