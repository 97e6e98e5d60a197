package sqlgen

import "slices"

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
	read func(Predicate) (Expr, Literal, bool),
	join func(sets [][]Literal) []Literal,
	build func(Expr, Type, []Literal) Predicate,
	wrap func([]Predicate) Predicate,
) (Predicate, bool) {
	if len(terms) <= fewTerms && !sharesSet(terms, read) {
		return nil, false
	}
	groups := groupSets(terms, read)
	if !slices.ContainsFunc(groups, func(g setGroup) bool { return len(g.at) > 1 }) {
		return nil, false
	}
	out := slices.Clone(terms)
	for _, g := range groups {
		if len(g.at) < 2 {
			continue
		}
		p := build(g.of, g.sets[0].Type.Elem(), join(elemsOfAll(g.sets)))
		if one, ok := memberOne(p); ok {
			p = one
		}
		for _, i := range g.at {
			out[i] = nil
		}
		out[g.at[0]] = p
	}
	return wrap(slices.DeleteFunc(out, func(p Predicate) bool { return p == nil })), true
}

// sharesSet reports whether two of few terms read as sets of one expression.
func sharesSet(terms []Predicate, read func(Predicate) (Expr, Literal, bool)) bool {
	for i, t := range terms {
		of, lit, ok := read(t)
		if !ok {
			continue
		}
		for _, other := range terms[:i] {
			if with, own, ok := read(other); ok && own.Type.Elem() == lit.Type.Elem() && printsSame(with, of) {
				return true
			}
		}
	}
	return false
}

// setGroup are the sets of literals of one expression, and which terms they are.
type setGroup struct {
	of   Expr
	sets []Literal
	at   []int
}

func groupSets(terms []Predicate, read func(Predicate) (Expr, Literal, bool)) []setGroup {
	var groups []setGroup
	var named map[string]int // where there are many groups, by the expression
	for i, t := range terms {
		of, lit, ok := read(t)
		if !ok {
			continue
		}
		at := -1
		if named == nil {
			at = slices.IndexFunc(groups, func(g setGroup) bool {
				return g.sets[0].Type.Elem() == lit.Type.Elem() && printsSame(g.of, of)
			})
		} else if found, ok := named[groupName(of, lit)]; ok {
			at = found
		}
		if at >= 0 {
			g := &groups[at]
			g.sets, g.at = append(g.sets, lit), append(g.at, i)
			continue
		}
		groups = append(groups, setGroup{of, []Literal{lit}, []int{i}})
		switch {
		case named != nil:
			named[groupName(of, lit)] = len(groups) - 1
		case len(groups) == fewTerms:
			named = map[string]int{}
			for at, g := range groups {
				named[groupName(g.of, g.sets[0])] = at
			}
		}
	}
	return groups
}

func groupName(of Expr, lit Literal) string { return lit.Type.Elem().String() + printedExpr(of) }

func elemsOfAll(sets []Literal) [][]Literal {
	out := make([][]Literal, len(sets))
	for i, l := range sets {
		out[i] = []Literal{l}
		if l.Type.Array {
			out[i] = l.Elems()
		}
	}
	return out
}

// demanded reads "= v" and "= ANY(vs)".
func demanded(p Predicate) (Expr, Literal, bool) {
	switch p := p.(type) {
	case Compare:
		if l, ok := p.R.(Literal); ok && p.Op == EQ && mergeable(l.Type) {
			return p.L, l, true
		}
	case Member:
		if l, ok := p.Set.(Literal); ok && mergeable(l.Type.Elem()) {
			return p.Of, l, l.Len() > 0
		}
	}
	return nil, Literal{}, false
}

// forbidden reads "<> v" and "<> ALL(vs)".
func forbidden(p Predicate) (Expr, Literal, bool) {
	switch p := p.(type) {
	case Compare:
		if l, ok := p.R.(Literal); ok && p.Op == NE && mergeable(l.Type) {
			return p.L, l, true
		}
	case Excluded:
		if l, ok := p.Set.(Literal); ok && mergeable(l.Type.Elem()) {
			return p.Of, l, l.Len() > 0
		}
	}
	return nil, Literal{}, false
}

// mergeable types are those whose arrays a driver can bind.
func mergeable(t Type) bool { return t.distinguishable() && t.Kind != KindBool }
