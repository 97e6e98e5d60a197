package sqlgen

import (
	"fmt"
	"slices"
)

// andMembers: what is in two sets is in their intersection.
func andMembers(p And) (Predicate, bool) {
	return mergeSets(p, demanded,
		intersection,
		func(of Expr, t Type, ls []Literal) Predicate { return Member{of, ListOf(t, ls)} },
		unwrapAnd)
}

// andExclusions: "<> a and <> b" is <> ALL.
func andExclusions(p And) (Predicate, bool) {
	return mergeSets(p, forbidden, union,
		func(of Expr, t Type, ls []Literal) Predicate { return Excluded{of, ListOf(t, ls)} },
		unwrapAnd)
}

// orEqualities: "= a or = b" is = ANY.
func orEqualities(p Or) (Predicate, bool) {
	return mergeSets(p, demanded, union,
		func(of Expr, t Type, ls []Literal) Predicate { return Member{of, ListOf(t, ls)} },
		unwrapOr)
}

func union(sets [][]Literal) []Literal { return slices.Concat(sets...) }

func intersection(sets [][]Literal) []Literal {
	in := map[string]int{} // how many of the sets so far, all of them
	for i, set := range sets {
		for _, l := range set {
			if k := l.bare(); in[k] == i {
				in[k]++
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(sets[0]), func(l Literal) bool { return in[l.bare()] < len(sets) })
}

// mergeSets joins the terms that read as a set of literals of one expression.
func mergeSets(
	terms []Predicate,
	read func(Predicate) (Expr, []Literal, bool),
	join func(sets [][]Literal) []Literal,
	build func(Expr, Type, []Literal) Predicate,
	wrap func([]Predicate) Predicate,
) (Predicate, bool) {
	type group struct {
		at   int
		of   Expr
		t    Type
		sets [][]Literal
	}
	groups := map[string]*group{}
	var order []*group
	kept := make([]Predicate, 0, len(terms))
	for _, t := range terms {
		of, lits, ok := read(t)
		if !ok {
			kept = append(kept, t)
			continue
		}
		k := lits[0].Type.String() + fmt.Sprint(of)
		g := groups[k]
		if g == nil {
			g = &group{at: len(kept), of: of, t: lits[0].Type}
			groups[k] = g
			order = append(order, g)
			kept = append(kept, t)
		}
		g.sets = append(g.sets, lits)
	}
	merged := false
	for _, g := range order {
		if len(g.sets) < 2 {
			continue
		}
		merged = true
		p := build(g.of, g.t, join(g.sets))
		if one, ok := memberOne(p); ok {
			p = one
		}
		kept[g.at] = p
	}
	return wrap(kept), merged
}

// demanded reads "= v" and "= ANY(vs)".
func demanded(p Predicate) (Expr, []Literal, bool) {
	switch p := p.(type) {
	case Compare:
		if l, ok := p.R.(Literal); ok && p.Op == EQ && mergeable(l.Type) {
			return p.L, []Literal{l}, true
		}
	case Member:
		if l, ok := p.Set.(Literal); ok && mergeable(l.Type.Elem()) {
			ls := l.Elems()
			return p.Of, ls, len(ls) > 0
		}
	}
	return nil, nil, false
}

// forbidden reads "<> v" and "<> ALL(vs)".
func forbidden(p Predicate) (Expr, []Literal, bool) {
	switch p := p.(type) {
	case Compare:
		if l, ok := p.R.(Literal); ok && p.Op == NE && mergeable(l.Type) {
			return p.L, []Literal{l}, true
		}
	case Excluded:
		if l, ok := p.Set.(Literal); ok && mergeable(l.Type.Elem()) {
			ls := l.Elems()
			return p.Of, ls, len(ls) > 0
		}
	}
	return nil, nil, false
}

// mergeable types are those whose arrays a driver can bind.
func mergeable(t Type) bool { return t.distinguishable() && t.Kind != KindBool }
