package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Share makes equal arrays and objects within a JSON value one and the same, where
// they are written alike (1 is not 1.0). A subject often has the same permissions in
// each of its organizations: to see that they are the same takes no comparison then,
// and they are kept once. The value is changed in place, and must be the caller's own.
func Share(v ast.Value) { sharing{}.inside(v, shareDepth) }

// shareDepth is how deep in a value others are shared. The hash of [x] is that of x:
// comparing each of the levels with the one below would read all of them again.
const shareDepth = 32

// sharing has one value of each hash.
type sharing map[int]ast.Value

func (s sharing) inside(v ast.Value, depth int) {
	if depth == 0 {
		return
	}
	switch v := v.(type) {
	case *ast.Array:
		for i := range v.Len() {
			s.term(v.Elem(i), depth-1)
		}
	case ast.Object:
		v.Foreach(func(_, value *ast.Term) { s.term(value, depth-1) })
	}
}

func (s sharing) term(t *ast.Term, depth int) {
	if !compound(t.Value) {
		return // and the empty ones may be all of the program's
	}
	hash := t.Value.Hash()
	switch have, ok := s[hash]; {
	case !ok:
		s[hash] = t.Value
	case identical(have, t.Value):
		t.Value = have
		return
	}
	s.inside(t.Value, depth)
}

// compound reports whether v is an array or object with something in it.
func compound(v ast.Value) bool {
	switch v := v.(type) {
	case *ast.Array:
		return v.Len() > 0
	case ast.Object:
		return v.Len() > 0
	default:
		return false
	}
}

// hasKey reports whether the key, by which the object has a value, is written alike in it.
func hasKey(obj ast.Object, key *ast.Term) bool {
	switch key.Value.(type) {
	case ast.Null, ast.Boolean, ast.String: // as all keys of JSON
		return true
	default:
		return obj.Until(func(k, _ *ast.Term) bool { return identical(k.Value, key.Value) })
	}
}

// identical reports whether values are equal, and written alike.
func identical(x, y ast.Value) bool {
	switch x := x.(type) {
	case *ast.Array:
		y, ok := y.(*ast.Array)
		if !ok || x.Len() != y.Len() {
			return false
		}
		if x == y {
			return true
		}
		for i := range x.Len() {
			if !identical(x.Elem(i).Value, y.Elem(i).Value) {
				return false
			}
		}
		return true
	case ast.Object:
		y, ok := y.(ast.Object)
		return ok && x == y || ok && x.Len() == y.Len() && !x.Until(func(key, value *ast.Term) bool {
			other := y.Get(key)
			return other == nil || !identical(value.Value, other.Value) || !hasKey(y, key)
		})
	case ast.Set: // in the order of their elements
		y, ok := y.(ast.Set)
		return ok && slices.EqualFunc(x.Slice(), y.Slice(), func(s, t *ast.Term) bool { return identical(s.Value, t.Value) })
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return x == y
	default:
		return false
	}
}
