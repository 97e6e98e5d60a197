package sqlgen

import (
	"cmp"
	"slices"
)

func andFlatten(p And) (Predicate, bool) {
	flat, fired := make([]Predicate, 0, len(p)), len(p) < 2
	for _, t := range p {
		switch t := t.(type) {
		case And:
			flat, fired = append(flat, t...), true
		case Const:
			if !t {
				return False, true
			}
			fired = true
		default:
			flat = append(flat, t)
		}
	}
	return unwrapAnd(flat), fired
}

func orFlatten(p Or) (Predicate, bool) {
	flat, fired := make([]Predicate, 0, len(p)), len(p) < 2
	for _, t := range p {
		switch t := t.(type) {
		case Or:
			flat, fired = append(flat, t...), true
		case Const:
			if t {
				return True, true
			}
			fired = true
		default:
			flat = append(flat, t)
		}
	}
	return unwrapOr(flat), fired
}

// orComplement: "a or b or not (a or b)" is true.
func orComplement(p Or) (Predicate, bool) {
	return True, hasComplement(p, func(of Predicate) []Predicate {
		if or, ok := of.(Or); ok {
			return or
		}
		return []Predicate{of}
	})
}

// andComplement: "a and b and not (a and b)" is never true.
func andComplement(p And) (Predicate, bool) {
	return False, hasComplement(allConjuncts(nil, p), func(of Predicate) []Predicate { return allConjuncts(nil, of) })
}

// allConjuncts are the conjuncts of a predicate, of conjuncts that are And as well.
func allConjuncts(to []Predicate, p Predicate) []Predicate {
	and, ok := p.(And)
	if !ok {
		if p == Predicate(True) {
			return to
		}
		return append(to, p)
	}
	for _, t := range and {
		to = allConjuncts(to, t)
	}
	return to
}

// hasComplement reports whether a term negates what others of the terms make up.
func hasComplement(terms []Predicate, parts func(Predicate) []Predicate) bool {
	var have map[string]bool
	for _, t := range terms {
		n, ok := t.(Not)
		if !ok {
			continue
		}
		if have == nil {
			have = map[string]bool{}
			for _, k := range key(terms).keys {
				have[k] = true
			}
		}
		missing := slices.ContainsFunc(key(parts(n.Of)).keys, func(k string) bool { return !have[k] })
		if !missing {
			return true
		}
	}
	return false
}

func andDuplicate(p And) (Predicate, bool) {
	kept := unique(p)
	return unwrapAnd(kept), len(kept) < len(p)
}

func orDuplicate(p Or) (Predicate, bool) {
	kept := unique(p)
	return unwrapOr(kept), len(kept) < len(p)
}

func unique(terms []Predicate) []Predicate {
	seen := make(map[string]bool, len(terms))
	kept := make([]Predicate, 0, len(terms))
	for i, k := range key(terms).keys {
		if !seen[k] {
			seen[k] = true
			kept = append(kept, terms[i])
		}
	}
	return kept
}

// andContradiction: two terms that are never both true.
func andContradiction(p And) (Predicate, bool) {
	return False, anyPair(p, excludes)
}

// orTautology: two terms of which one is always true.
func orTautology(p Or) (Predicate, bool) {
	return True, anyPair(p, exhausts)
}

func anyPair(terms []Predicate, holds func(a, b Predicate) bool) bool {
	if len(terms) > maxPairwise {
		return false
	}
	for i, a := range terms {
		for _, b := range terms[i+1:] {
			if holds(a, b) {
				return true
			}
		}
	}
	return false
}

// andImplied: a term that follows from another says nothing.
func andImplied(p And) (Predicate, bool) {
	kept := dropPairwise(p, func(t, other Predicate) bool { return implies(other, t) })
	return unwrapAnd(kept), len(kept) < len(p)
}

// orAbsorb: a disjunct from which another follows adds no row.
func orAbsorb(p Or) (Predicate, bool) {
	kept := dropPairwise(p, implies)
	return unwrapOr(kept), len(kept) < len(p)
}

// dropPairwise removes each term that another one, still kept, makes needless.
func dropPairwise(terms []Predicate, needless func(t, other Predicate) bool) []Predicate {
	if len(terms) > maxPairwise {
		return terms
	}
	kept := slices.Clone(terms)
	for i := 0; i < len(kept); i++ {
		for j := range kept {
			if i != j && needless(kept[i], kept[j]) {
				kept = slices.Delete(kept, i, i+1)
				i--
				break
			}
		}
	}
	return kept
}

// andNotNullDistinct: "not NULL and IS DISTINCT FROM v" is "<> v".
func andNotNullDistinct(p And) (Predicate, bool) {
	if len(p) > maxPairwise {
		return nil, false
	}
	for i, t := range p {
		d, ok := t.(Distinct)
		if !ok || Nullable(d.R) {
			continue
		}
		for j, other := range p {
			if i != j && forbidsNull(other, d.L) {
				out := slices.Clone(p)
				out[i] = Compare{NE, d.L, d.R}
				return out, true
			}
		}
	}
	return nil, false
}

// andNotLeaf: beside "not NULL", "is not true" is the complement.
func andNotLeaf(p And) (Predicate, bool) {
	if len(p) > maxPairwise {
		return nil, false
	}
	for i, t := range p {
		n, ok := t.(Not)
		if !ok {
			continue
		}
		q, ok := complement(n.Of, func(e Expr) bool {
			return Nullable(e) && !beside(p, i, Null{e}, excludes)
		})
		if ok {
			out := slices.Clone(p)
			out[i] = q
			return out, true
		}
	}
	return nil, false
}

// orDistinct: "<> v or NULL" is IS DISTINCT FROM v.
func orDistinct(p Or) (Predicate, bool) {
	for i, t := range p {
		c, ok := t.(Compare)
		if !ok || c.Op != NE || Nullable(c.R) {
			continue
		}
		for j, other := range p {
			if null, ok := other.(Null); ok && sameExpr(null.Of, c.L) {
				out := slices.Clone(p)
				out[i] = Distinct{c.L, c.R}
				return unwrapOr(slices.Delete(out, j, j+1)), true
			}
		}
	}
	return nil, false
}

// orSame: "equal, or both NULL" is IS NOT DISTINCT FROM.
func orSame(p Or) (Predicate, bool) {
	for i, t := range p {
		c, ok := t.(Compare)
		if !ok || c.Op != EQ {
			continue
		}
		for j, other := range p {
			and, ok := other.(And)
			if ok && len(and) == 2 && bothNull(and, c.L, c.R) {
				out := slices.Clone(p)
				out[i] = Same{c.L, c.R}
				return unwrapOr(slices.Delete(out, j, j+1)), true
			}
		}
	}
	return nil, false
}

func bothNull(and And, a, b Expr) bool {
	x, okX := and[0].(Null)
	y, okY := and[1].(Null)
	return okX && okY &&
		(sameExpr(x.Of, a) && sameExpr(y.Of, b) || sameExpr(x.Of, b) && sameExpr(y.Of, a))
}

// andUnit: beside a, the disjuncts that a excludes can't help.
func andUnit(p And) (Predicate, bool) {
	if len(p) > maxPairwise {
		return nil, false
	}
	out, fired := slices.Clone(p), false
	for i, t := range out {
		or, ok := t.(Or)
		if !ok {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(or), func(d Predicate) bool {
			return beside(out, i, d, excludes)
		})
		if len(left) < len(or) {
			out[i], fired = unwrapOr(left), true
		}
	}
	return out, fired
}

// orUnit: beside a, the conjuncts that hold whenever a does not say nothing.
func orUnit(p Or) (Predicate, bool) {
	if len(p) > maxPairwise {
		return nil, false
	}
	out, fired := slices.Clone(p), false
	for i, t := range out {
		and, ok := t.(And)
		if !ok {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(and), func(c Predicate) bool {
			return beside(out, i, c, exhausts)
		})
		if len(left) < len(and) {
			out[i], fired = unwrapAnd(left), true
		}
	}
	return out, fired
}

// beside reports whether a term other than the i-th stands in the relation to p.
func beside(terms []Predicate, i int, p Predicate, relation func(a, b Predicate) bool) bool {
	for j, other := range terms {
		if i != j && relation(other, p) {
			return true
		}
	}
	return false
}

// orFactor: a conjunct common to all disjuncts stands once, in front.
func orFactor(p Or) (Predicate, bool) {
	if len(p) < 2 {
		return nil, false
	}
	common := map[string]bool{}
	for _, k := range key(conjuncts(p[0])).keys {
		common[k] = true
	}
	for _, t := range p[1:] {
		here := map[string]bool{}
		for _, k := range key(conjuncts(t)).keys {
			here[k] = true
		}
		for k := range common {
			if !here[k] {
				delete(common, k)
			}
		}
		if len(common) == 0 {
			return nil, false
		}
	}
	var front []Predicate
	rest := make([]Predicate, len(p))
	for i, t := range p {
		var left []Predicate
		terms := conjuncts(t)
		for j, k := range key(terms).keys {
			switch {
			case !common[k]:
				left = append(left, terms[j])
			case i == 0:
				front = append(front, terms[j])
			}
		}
		rest[i] = unwrapAnd(left)
	}
	return And(append(front, unwrapOr(rest))), true
}

// orSort: the same disjuncts print the same, whatever order they came in; what costs
// a look at another table comes last.
func orSort(p Or) (Predicate, bool) {
	k := key(p)
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	last := func(i int) int {
		t := p[i]
		if n, ok := t.(Not); ok {
			t = n.Of
		}
		switch t.(type) {
		case Exists, ExistsElement:
			return 1
		default:
			return 0
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		byKey := cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(k.keys[a], k.keys[b]))
		if byKey == 0 { // conjuncts in another order
			return cmp.Compare(printed(p[a]), printed(p[b]))
		}
		return byKey
	})
	if slices.IsSorted(order) {
		return nil, false
	}
	out := make(Or, len(p))
	for i, o := range order {
		out[i] = p[o]
	}
	return out, true
}
