package compiler

import (
	"math"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// collectionBuiltins are the builtin functions of arrays, sets and objects.
var collectionBuiltins = map[string]symbolic{
	"internal.member_3": memberAt,
	"array.slice":       sliceArray,
	"object.filter":     func(args []operand) value { return selectKeys(args[0], keysParam(args[1]), true) },
	"object.remove":     func(args []operand) value { return selectKeys(args[0], keysParam(args[1]), false) },
	"json.filter":       func(args []operand) value { return selectKeys(args[0], pathsParam(args[1]), true) },
	"json.remove":       func(args []operand) value { return selectKeys(args[0], pathsParam(args[1]), false) },
}

// ofCollections is a builtin function that makes a collection of others; ok is false
// where it is none, or one of numbers.
func (t *translator) ofCollections(name string, args []operand) (v value, ok bool) {
	switch name {
	case "and":
		return t.intersect(args[0], args[1]), true
	case "or":
		return t.unite(args[0], args[1]), true
	case "minus":
		if !isSet(args[0]) && !isSet(args[1]) {
			return nil, false
		}
		return t.subtract(args[0], args[1]), true
	case "intersection":
		return t.foldSets(args[0], t.intersect), true
	case "union":
		return t.foldSets(args[0], t.unite), true
	case "object.keys":
		return t.keysOf(args[0]), true
	case "array.concat":
		return t.concat(args[0], args[1]), true
	case "array.reverse":
		return reverseArray(args[0]), true
	default:
		return nil, false
	}
}

// memberAt is "key, value in collection". Of a set, an element is its own key.
func memberAt(args []operand) value {
	key, val, coll := args[0], args[1], args[2]
	return truth(compareValues(sqlgen.EQ, lookup(coll, key), value{{sqlgen.True, val}}))
}

// keysOf is the set of an object's keys.
func (t *translator) keysOf(op operand) value {
	set := ruleSet{kind: rankSet, t: t}
	switch op := op.(type) {
	case object:
		for _, k := range op.n.keys() {
			set.entries = append(set.entries, entry{solution{when: op.n.children[k].asValue().defined()}, knownValue(ast.String(k)), nil})
		}
	case record:
		terms := make([]*ast.Term, len(op.keys))
		for i, k := range op.keys {
			terms[i] = ast.NewTerm(k)
		}
		return knownValue(ast.NewSet(terms...))
	case jsonValue:
		over := t.over(op.e, true)
		from := solution{when: sqlgen.True}.enter(scope{over: over, when: sqlgen.True})
		set.entries = []entry{{from, value{{sqlgen.True, scalar{e: over.ElementKey()}}}, nil}}
		return value{{sqlgen.JSONTypeIs{Of: op.e, Types: []string{"object"}}, set}}
	case ruleSet:
		if op.kind != rankObject {
			return nil
		}
		for _, e := range op.entries {
			set.entries = append(set.entries, entry{e.from, e.key, nil})
		}
	default:
		return nil
	}
	return value{{sqlgen.True, set}}
}

// concat is one array behind another.
func (t *translator) concat(a, b operand) value {
	x, okA := sequence(a)
	y, okB := sequence(b)
	if okA && okB {
		return value{{sqlgen.True, list{elems: append(x[:len(x):len(x)], y...)}}}
	}
	whenA, formsA, loopsA := t.asArray(a)
	whenB, formsB, loopsB := t.asArray(b)
	when := conjunction(whenA, whenB)
	if loopsA != nil || loopsB != nil {
		return value{{when, t.joinLoops(a, b)}}
	}
	var out value
	for _, f := range formsA {
		for _, g := range formsB {
			all := sqlgen.Apply(sqlgen.ConcatArrays, f.op.(jsonValue).e, g.op.(jsonValue).e)
			out = append(out, alt{conjunction(when, f.when, g.when), jsonValue{all}})
		}
	}
	return out
}

// asArray is an array as jsonb, or as what a comprehension finds, and when it is one.
func (t *translator) asArray(op operand) (is sqlgen.Predicate, forms value, loops *ruleSet) {
	if r, ok := op.(ruleSet); ok && r.kind == rankArray {
		return sqlgen.True, nil, &r
	}
	is, forms = jsonArray(op)
	return is, forms, nil
}

// joinLoops are the elements of two arrays of which one is a comprehension: their
// places are not known.
func (t *translator) joinLoops(a, b operand) ruleSet {
	out := ruleSet{kind: rankArray, t: t}
	for _, op := range []operand{a, b} {
		if r, ok := op.(ruleSet); ok {
			out.repeats = out.repeats || r.repeats
			out.entries = append(out.entries, r.entries...)
			continue
		}
		if elems, ok := sequence(op); ok {
			for _, e := range elems {
				out.entries = append(out.entries, entry{solution{when: sqlgen.True}, e, nil})
			}
			continue
		}
		for _, l := range t.loopsOver(op) {
			out.entries = append(out.entries, entry{solution{when: sqlgen.True}.enter(l.in), l.value, nil})
		}
	}
	return out
}

func reverseArray(op operand) value {
	if elems, ok := sequence(op); ok {
		elems = slices.Clone(elems)
		slices.Reverse(elems)
		return value{{sqlgen.True, list{elems: elems}}}
	}
	if r, ok := op.(ruleSet); ok && r.kind == rankArray {
		return value{{sqlgen.True, r}}
	}
	is, forms := jsonArray(op)
	return mapJSON(is, forms, func(e sqlgen.Expr) sqlgen.Expr { return sqlgen.Apply(sqlgen.ReverseArray, e) })
}

// sliceArray is array.slice between constant places.
func sliceArray(args []operand) value {
	is := make([]sqlgen.Predicate, 0, 2)
	place := func(op operand) int64 {
		k, ok := op.(known)
		if !ok {
			refuse(CodeBuiltin, "array.slice at a place that the row says", "use constant places")
		}
		n, ok := k.v.(ast.Number)
		i, isInt := n.Int64()
		if !ok || !isInt {
			is = append(is, sqlgen.False)
		}
		return max(i, 0)
	}
	from, to := place(args[1]), place(args[2])
	if len(is) > 0 {
		return nil
	}
	if elems, ok := sequence(args[0]); ok {
		to = min(to, int64(len(elems)))
		return value{{sqlgen.True, list{elems: elems[min(from, to):to]}}}
	}
	if r, ok := args[0].(ruleSet); ok && r.kind == rankArray {
		refuse(CodeIteration, "a part of an array comprehension", "loop over the values only")
	}
	isArray, forms := jsonArray(args[0])
	return mapJSON(isArray, forms, func(e sqlgen.Expr) sqlgen.Expr {
		return sqlgen.Apply(sqlgen.SliceArray, e, sqlgen.Int(from), sqlgen.Int(min(to, math.MaxInt32)))
	})
}

func mapJSON(when sqlgen.Predicate, forms value, f func(sqlgen.Expr) sqlgen.Expr) value {
	var out value
	for _, a := range forms {
		out = append(out, alt{conjunction(when, a.when), jsonValue{f(a.op.(jsonValue).e)}})
	}
	return out
}

// keySet are the keys that object.filter or object.remove is told; ok is false where
// the function fails.
type keySet struct {
	keys []ast.Value
	ok   bool
}

func (k keySet) has(key ast.Value) bool {
	return slices.ContainsFunc(k.keys, func(have ast.Value) bool { return have.Compare(key) == 0 })
}

func keysParam(op operand) keySet {
	k, ok := op.(known)
	if !ok {
		if rankOf(op) != rankAny && rankOf(op) < rankArray {
			return keySet{}
		}
		refuse(CodeBuiltin, "keys that the row says", "use constant keys")
	}
	if obj, ok := k.v.(ast.Object); ok {
		var keys []ast.Value
		obj.Foreach(func(k, _ *ast.Term) { keys = append(keys, k.Value) })
		return keySet{keys, true}
	}
	return keySet{elements(k.v), rankOfValue(k.v) >= rankArray}
}

// pathsParam are the keys that json.filter or json.remove is told, where each path is
// one key.
func pathsParam(op operand) keySet {
	given := keysParam(op)
	out := keySet{ok: given.ok && rankOf(op) != rankObject}
	for _, path := range given.keys {
		switch p := path.(type) {
		case ast.String:
			name := strings.TrimLeft(string(p), "/")
			if strings.Contains(name, "/") {
				refuse(CodeBuiltin, "a path of several keys", "use object.get, or compare the part itself")
			}
			if p == "" {
				continue
			}
			out.keys = append(out.keys, ast.String(strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")))
		case *ast.Array:
			switch p.Len() {
			case 0:
			case 1:
				out.keys = append(out.keys, p.Elem(0).Value)
			default:
				refuse(CodeBuiltin, "a path of several keys", "use object.get, or compare the part itself")
			}
		default:
			return keySet{}
		}
	}
	return out
}

// selectKeys is an object with only some keys, or without them.
func selectKeys(op operand, keys keySet, keep bool) value {
	if !keys.ok {
		return nil
	}
	switch op := op.(type) {
	case object:
		children := map[string]*node{}
		for name, child := range op.n.children {
			if keys.has(ast.String(name)) == keep {
				children[name] = child
			}
		}
		return value{{sqlgen.True, object{&node{children: children}}}}
	case record:
		var out record
		for i, k := range op.keys {
			if keys.has(k) == keep {
				out.keys, out.vals = append(out.keys, k), append(out.vals, op.vals[i])
			}
		}
		return recordValue(out)
	case jsonValue:
		var names []sqlgen.Literal
		for _, k := range keys.keys {
			if name, ok := k.(ast.String); ok {
				if lit, ok := equalToString(sqlgen.Type{Kind: sqlgen.KindText}, string(name)); ok {
					names = append(names, lit)
				}
			}
		}
		of := sqlgen.OmitKeys
		if keep {
			of = sqlgen.PickKeys
		}
		is := sqlgen.JSONTypeIs{Of: op.e, Types: []string{"object"}}
		return value{{is, jsonValue{sqlgen.Apply(of, op.e, sqlgen.ListOf(sqlgen.Type{Kind: sqlgen.KindText}, names))}}}
	case ruleSet:
		if op.kind == rankObject {
			refuse(CodeBuiltin, "a part of an object that rules make of the row", "refer to a key")
		}
	}
	return nil
}

// objectGet is object.get(object, key, default). An array of keys is a path.
func objectGet(args []operand) value {
	var isObject sqlgen.Predicate = sqlgen.True
	switch op := args[0].(type) {
	case jsonValue:
		isObject = sqlgen.JSONTypeIs{Of: op.e, Types: []string{"object"}}
	default:
		if rankOf(op) != rankObject {
			return nil
		}
	}
	path := []value{{{sqlgen.True, args[1]}}}
	if elems, ok := sequence(args[1]); ok {
		path = elems
	} else if r := rankOf(args[1]); r == rankArray || r == rankAny {
		refuse(CodeBuiltin, "object.get with a path that the row says", "write object.get with constant keys, or a reference")
	}
	found := value{{sqlgen.True, args[0]}}
	for _, key := range path {
		var next value
		for _, f := range found {
			for _, k := range key {
				if both := conjunction(f.when, k.when); both != sqlgen.Predicate(sqlgen.False) {
					next = append(next, lookup(f.op, k.op).under(both)...)
				}
			}
		}
		found = merge(next)
	}
	out := found.under(isObject)
	return append(out, alt{conjunction(isObject, sqlgen.Not{Of: found.defined()}), args[2]})
}
