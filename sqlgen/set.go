package sqlgen

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/google/uuid"
)

// subset reports whether every element of a is one of b. Each is an array literal, one
// literal, or none; elements that print the same are the same.
func subset(a, b Literal) bool {
	return ofBoth(a, b,
		func(x, y []string) bool { return subsetOf(x, y, cmp.Compare[string]) },
		func(x, y []uuid.UUID) bool { return subsetOf(x, y, compareUUIDs) },
		func(x, y []int64) bool { return subsetOf(x, y, cmp.Compare[int64]) })
}

// disjoint reports whether a and b have no element in common.
func disjoint(a, b Literal) bool {
	return ofBoth(a, b,
		func(x, y []string) bool { return disjointFrom(x, y, cmp.Compare[string]) },
		func(x, y []uuid.UUID) bool { return disjointFrom(x, y, compareUUIDs) },
		func(x, y []int64) bool { return disjointFrom(x, y, cmp.Compare[int64]) })
}

func compareUUIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// ofBoth asks the one of the questions that is of the type of the elements; that of
// their texts where there is none.
func ofBoth(a, b Literal, texts func(x, y []string) bool, uuids func(x, y []uuid.UUID) bool, ints func(x, y []int64) bool) bool {
	if x, y, ok := elemsOfBoth[string](a, b); ok {
		return texts(x, y)
	}
	if x, y, ok := elemsOfBoth[uuid.UUID](a, b); ok {
		return uuids(x, y)
	}
	if x, y, ok := elemsOfBoth[int64](a, b); ok {
		return ints(x, y)
	}
	return texts(a.barePrints(), b.barePrints())
}

func elemsOfBoth[T any](a, b Literal) (x, y []T, ok bool) {
	if x, ok = elemsOf[T](a); ok {
		y, ok = elemsOf[T](b)
	}
	return x, y, ok
}

func elemsOf[T any](l Literal) ([]T, bool) {
	switch v := l.Value.(type) {
	case nil:
		return nil, true
	case T:
		return []T{v}, true
	case []T:
		return v, true
	default:
		return nil, false
	}
}

// barePrints are the texts of an array's elements, or of the one literal.
func (l Literal) barePrints() []string {
	if l.Value == nil {
		return nil
	}
	if !l.Type.Array {
		return []string{l.bare()}
	}
	var out []string
	for _, e := range l.Elems() {
		out = append(out, e.bare())
	}
	return out
}

// fewElems is up to how many elements are looked for one by one.
const fewElems = 8

func subsetOf[T comparable](x, y []T, order func(a, b T) int) bool {
	return !anyElem(x, y, order, false)
}

func disjointFrom[T comparable](x, y []T, order func(a, b T) int) bool {
	return !anyElem(x, y, order, true)
}

// anyElem reports whether an element of x is in y, or is not.
func anyElem[T comparable](x, y []T, order func(a, b T) int, in bool) bool {
	if len(y) <= fewElems {
		return slices.ContainsFunc(x, func(e T) bool { return slices.Contains(y, e) == in })
	}
	if slices.IsSortedFunc(y, order) {
		return slices.ContainsFunc(x, func(e T) bool {
			_, found := slices.BinarySearchFunc(y, e, order)
			return found == in
		})
	}
	have := make(map[T]bool, len(y))
	for _, e := range y {
		have[e] = true
	}
	return slices.ContainsFunc(x, func(e T) bool { return have[e] == in })
}
