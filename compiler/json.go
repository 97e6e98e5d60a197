package compiler

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// maxShapes bounds the forms that one array or object literal may have in jsonb.
const maxShapes = 64

// showsJSON reports whether an operand can be made jsonb, if it is a JSON value.
func showsJSON(op operand) bool {
	switch op := op.(type) {
	case known, scalar, jsonValue, tally, computed, list, record:
		return true
	case array:
		_, ok := arrayJSON(op)
		return ok
	case ruleSet:
		return op.kind == rankSet
	default:
		return false
	}
}

// asJSON is an operand as jsonb, in each of its forms; total is false where it has
// others, which are no JSON: a set, or a text with a NUL.
func asJSON(op operand) (forms value, total bool) {
	switch op := op.(type) {
	case known:
		lit, ok := jsonLiteral(op.v)
		if !ok {
			return nil, false
		}
		return value{{sqlgen.True, jsonValue{lit}}}, true
	case scalar:
		return value{{sqlgen.True, jsonValue{sqlgen.ToJSON{Of: shownAs(op)}}}}, true
	case jsonValue:
		return value{{sqlgen.True, op}}, true
	case tally:
		return asJSON(op.scalar())
	case computed:
		return asJSON(settled(op))
	case array:
		if e, ok := arrayJSON(op); ok {
			return value{{sqlgen.True, e}}, true
		}
	case list:
		if op.set {
			return nil, false
		}
		return buildJSON(nil, op.elems)
	case record:
		names := make([]string, len(op.keys))
		for i, k := range op.keys {
			name, ok := k.(ast.String)
			if _, fits := jsonLiteral(k); !ok || !fits {
				return nil, false
			}
			names[i] = string(name)
		}
		return buildJSON(names, op.vals)
	case ruleSet:
		if op.kind == rankSet {
			return nil, false
		}
	}
	refuse(CodeCompare, describe(op)+" as a JSON value", "compare its parts")
	return nil, false
}

// shownAs is a scalar as the policy sees it: of a timestamp that is a number, the
// number.
func shownAs(s scalar) sqlgen.Expr {
	if s.nanos {
		return sqlgen.ToNumeric{Of: s.e}
	}
	return s.e
}

// wholeJSON is an operand as jsonb in all of its forms.
func wholeJSON(op operand) value {
	forms, total := asJSON(op)
	if !total {
		refuse(CodeCompare, describe(op)+" in the place of a JSON value", "use values that JSON has")
	}
	return forms
}

// buildJSON is the jsonb of an array, or with keys an object, of values.
func buildJSON(keys []string, vals []value) (forms value, total bool) {
	type shape struct {
		when sqlgen.Predicate
		vals []sqlgen.Expr
	}
	shapes, total := []shape{{sqlgen.True, nil}}, true
	for _, v := range vals {
		parts, all := shownParts(v)
		total = total && all
		var next []shape
		for _, s := range shapes {
			for _, p := range parts {
				next = append(next, shape{conjunction(s.when, p.when), append(s.vals[:len(s.vals):len(s.vals)], p.op.(jsonValue).e)})
			}
		}
		if shapes = next; len(shapes) > maxShapes {
			refuse(CodeExpression, fmt.Sprintf("an array or object of more than %d forms", maxShapes), "compare its parts")
		}
	}
	for _, s := range shapes {
		forms = append(forms, alt{s.when, jsonValue{sqlgen.JSONBuild{Keys: keys, Values: s.vals}}})
	}
	return forms, total
}

// shownParts are the expressions that a value is within a jsonb array or object, where
// a NULL is shown as null.
func shownParts(v value) (parts value, total bool) {
	if e, ok := nullShown(v); ok {
		return value{{sqlgen.True, jsonValue{e}}}, true
	}
	total = true
	for _, a := range v {
		if s, ok := a.op.(scalar); ok {
			parts = append(parts, alt{a.when, jsonValue{shownAs(s)}})
			continue
		}
		forms, all := asJSON(a.op)
		total = total && all
		parts = append(parts, forms.under(a.when)...)
	}
	return parts, total
}

// nullShown is a value that is an expression, and null where that is NULL.
func nullShown(v value) (sqlgen.Expr, bool) {
	if len(v) != 2 {
		return nil, false
	}
	k, ok := v[1].op.(known)
	if !ok || rankOfValue(k.v) != rankNull {
		return nil, false
	}
	null, ok := v[1].when.(sqlgen.Null)
	if !ok {
		return nil, false
	}
	var e sqlgen.Expr
	switch op := v[0].op.(type) {
	case scalar:
		e = op.e
	case jsonValue:
		e = op.e
	default:
		return nil, false
	}
	same := fmt.Sprint(null.Of) == fmt.Sprint(e) && fmt.Sprint(v[0].when) == fmt.Sprint(sqlgen.NotNull(e))
	if s, ok := v[0].op.(scalar); ok {
		e = shownAs(s)
	}
	return e, same
}

// jsonArray is the condition under which an operand is an array, and the array as
// jsonb.
func jsonArray(op operand) (is sqlgen.Predicate, forms value) {
	switch op := op.(type) {
	case jsonValue:
		return sqlgen.JSONTypeIs{Of: op.e, Types: []string{"array"}}, value{{sqlgen.True, op}}
	default:
		if rankOf(op) != rankArray {
			return sqlgen.False, nil
		}
		return sqlgen.True, wholeJSON(op)
	}
}

// sameJSON is true where both values are JSON, and the same.
func sameJSON(a, b operand) sqlgen.Predicate {
	left, _ := asJSON(a)
	right, _ := asJSON(b)
	return eachForm(left, right, func(x, y sqlgen.Expr) sqlgen.Predicate { return sqlgen.Eq(x, y) })
}

// orderOfJSON orders two values of which PostgreSQL has to look at all parts.
func orderOfJSON(op sqlgen.Op, a, b operand) sqlgen.Predicate {
	return eachForm(wholeJSON(a), wholeJSON(b), func(x, y sqlgen.Expr) sqlgen.Predicate {
		return sqlgen.Compare{Op: op, L: sqlgen.Apply(sqlgen.SortKey, x), R: sqlgen.Apply(sqlgen.SortKey, y)}
	})
}

func eachForm(a, b value, is func(x, y sqlgen.Expr) sqlgen.Predicate) sqlgen.Predicate {
	var any []sqlgen.Predicate
	for _, x := range a {
		for _, y := range b {
			any = append(any, conjunction(x.when, y.when, is(x.op.(jsonValue).e, y.op.(jsonValue).e)))
		}
	}
	return disjunction(any)
}
