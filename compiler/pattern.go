package compiler

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// unifyPattern matches an array or object with free variables against a value.
func (t *translator) unifyPattern(pattern ast.Value, v value, s solution) []solution {
	var parts []*ast.Term
	var keys []ast.Value
	switch p := pattern.(type) {
	case *ast.Array:
		parts = collectTerms(p.Foreach)
	case ast.Object:
		p.Foreach(func(k, x *ast.Term) {
			keys, parts = append(keys, t.constantKey(k, s)), append(parts, x)
		})
	}
	var out []solution
	for _, f := range t.open(found{s, v}) {
		for _, a := range f.val {
			var vals []value
			var fits sqlgen.Predicate
			if _, isObject := pattern.(ast.Object); isObject {
				vals, fits = objectParts(a.op, keys)
			} else {
				vals, fits = arrayParts(a.op, len(parts))
			}
			sols := f.and(conjunction(a.when, fits))
			for i, val := range vals {
				var next []solution
				for _, sol := range sols {
					next = append(next, t.unifyValue(parts[i], val, sol)...)
				}
				sols = next
			}
			out = append(out, sols...)
		}
	}
	return out
}

// constantKey is the key of an object, which may be no value of the row.
func (t *translator) constantKey(key *ast.Term, s solution) ast.Value {
	if fs := t.eval(key, s); len(fs) == 1 {
		if k, ok := fs[0].val.constant(); ok {
			return k
		}
	}
	refuse(CodeExpression, "an object whose keys depend on the row", "use constant keys")
	return nil
}

// arrayParts are the elements of an array of n elements, and the condition under which
// the operand is one.
func arrayParts(op operand, n int) ([]value, sqlgen.Predicate) {
	vals := make([]value, n)
	is := sqlgen.Predicate(sqlgen.True)
	switch x := op.(type) {
	case known:
		arr, ok := x.v.(*ast.Array)
		if !ok || arr.Len() != n {
			return nil, sqlgen.False
		}
		for i := range vals {
			vals[i] = knownValue(arr.Elem(i).Value)
		}
	case list:
		if x.set || len(x.elems) != n {
			return nil, sqlgen.False
		}
		vals = x.elems
	case array:
		is = sqlgen.Eq(sqlgen.Length{Of: x.e}, sqlgen.Int(int64(n)))
		for i := range vals {
			vals[i] = lookupArray(x, ast.IntNumberTerm(i).Value)
		}
	case jsonValue:
		is = conjunction(
			sqlgen.JSONTypeIs{Of: x.e, Types: []string{"array"}},
			sqlgen.Eq(sqlgen.Length{Of: x.e}, sqlgen.Int(int64(n))))
		for i := range vals {
			vals[i] = lookupJSON(x, known{ast.IntNumberTerm(i).Value})
		}
	default:
		if rankOf(op) == rankArray {
			refuse(CodeCompare, "a comparison of "+describe(op)+" with an array, part by part", "loop over it")
		}
		return nil, sqlgen.False
	}
	return vals, is
}

// objectParts are the values of an object that has these keys and no others, and the
// condition under which the operand is one.
func objectParts(op operand, keys []ast.Value) ([]value, sqlgen.Predicate) {
	vals := make([]value, len(keys))
	is := []sqlgen.Predicate{}
	switch x := op.(type) {
	case known:
		obj, ok := x.v.(ast.Object)
		if !ok || obj.Len() != len(keys) {
			return nil, sqlgen.False
		}
		for i, k := range keys {
			v := obj.Get(ast.NewTerm(k))
			if v == nil {
				return nil, sqlgen.False
			}
			vals[i] = knownValue(v.Value)
		}
	case record:
		if len(x.keys) != len(keys) {
			return nil, sqlgen.False
		}
		for i, k := range keys {
			at := x.index(k)
			if at < 0 {
				return nil, sqlgen.False
			}
			vals[i] = x.vals[at]
		}
	case object:
		for i, k := range keys {
			name, _ := k.(ast.String)
			if x.n.children[string(name)] == nil {
				return nil, sqlgen.False
			}
			vals[i] = x.n.children[string(name)].asValue()
		}
		for _, name := range x.n.keys() {
			if !slices.ContainsFunc(keys, func(k ast.Value) bool { return k.Compare(ast.String(name)) == 0 }) {
				is = append(is, sqlgen.Not{Of: x.n.children[name].asValue().defined()})
			}
		}
	case jsonValue:
		is = append(is,
			sqlgen.JSONTypeIs{Of: x.e, Types: []string{"object"}},
			sqlgen.Eq(sqlgen.Length{Of: sqlgen.JSONValues{Of: x.e}}, sqlgen.Int(int64(len(keys)))))
		for i, k := range keys {
			if _, ok := k.(ast.String); !ok {
				return nil, sqlgen.False
			}
			vals[i] = lookupJSON(x, known{k})
		}
	default:
		if rankOf(op) == rankObject {
			refuse(CodeCompare, "an object that rules or a comprehension make, as a whole", "look at its parts")
		}
		return nil, sqlgen.False
	}
	return vals, conjunction(is...)
}

func (r record) index(key ast.Value) int {
	return slices.IndexFunc(r.keys, func(k ast.Value) bool { return k.Compare(key) == 0 })
}
