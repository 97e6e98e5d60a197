package compiler

import (
	"reflect"

	"github.com/rowfence/rowfence/sqlgen"
)

// maxBranches bounds the ways in which a condition is looked through for whether it
// can hold.
const maxBranches = 512

// impossible reports whether no row can satisfy a condition, as far as can be seen: in
// each of the ways in which its disjunctions can hold, two of its terms exclude each
// other.
func impossible(p sqlgen.Predicate) bool {
	left := maxBranches
	return noWay([]sqlgen.Predicate{p}, nil, nil, &left)
}

// noWay reports whether the terms, and the leaves and alternatives that were found so
// far, can't hold together.
func noWay(terms, leaves []sqlgen.Predicate, alternatives [][]sqlgen.Predicate, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	for len(terms) > 0 {
		p := terms[len(terms)-1]
		terms = terms[:len(terms)-1]
		switch q := p.(type) {
		case sqlgen.And:
			terms = append(terms[:len(terms):len(terms)], q...)
			continue
		case sqlgen.Or:
			alternatives = append(alternatives[:len(alternatives):len(alternatives)], q)
			continue
		case sqlgen.Not:
			switch of := q.Of.(type) {
			case sqlgen.Not:
				terms = append(terms[:len(terms):len(terms)], of.Of)
				continue
			case sqlgen.Or:
				terms = append(terms[:len(terms):len(terms)], negated(of)...)
				continue
			case sqlgen.And:
				alternatives = append(alternatives[:len(alternatives):len(alternatives)], negated(of))
				continue
			}
		}
		for _, leaf := range leaves {
			if contradictory(leaf, p) {
				return true
			}
		}
		leaves = append(leaves[:len(leaves):len(leaves)], p)
	}
	if sqlgen.Simplify(sqlgen.And(leaves)) == sqlgen.Predicate(sqlgen.False) {
		return true
	}
	if len(alternatives) == 0 {
		return false
	}
	for _, p := range alternatives[0] {
		if !noWay([]sqlgen.Predicate{p}, leaves, alternatives[1:], left) {
			return false
		}
	}
	return true
}

func negated(ps []sqlgen.Predicate) []sqlgen.Predicate {
	out := make([]sqlgen.Predicate, len(ps))
	for i, p := range ps {
		out[i] = sqlgen.Not{Of: p}
	}
	return out
}

// contradictory reports whether one condition is the negation of the other, or no two
// values compare in both ways.
func contradictory(a, b sqlgen.Predicate) bool {
	if n, ok := a.(sqlgen.Not); ok && reflect.DeepEqual(n.Of, b) {
		return true
	}
	if n, ok := b.(sqlgen.Not); ok && reflect.DeepEqual(n.Of, a) {
		return true
	}
	x, okX := a.(sqlgen.Compare)
	y, okY := b.(sqlgen.Compare)
	if !okX || !okY {
		return false
	}
	switch {
	case reflect.DeepEqual(x.L, y.L) && reflect.DeepEqual(x.R, y.R):
	case reflect.DeepEqual(x.L, y.R) && reflect.DeepEqual(x.R, y.L):
		y.Op = y.Op.Flip()
	default:
		return false
	}
	return disjoint(x.Op, y.Op)
}

// disjoint reports whether no two values compare in both ways.
func disjoint(a, b sqlgen.Op) bool {
	for order := -1; order <= 1; order++ {
		if holds(a, order) && holds(b, order) {
			return false
		}
	}
	return true
}
