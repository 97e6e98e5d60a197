package sqlgen

import (
	"cmp"
	"slices"
	"strings"
)

func andFlatten(p And) (Predicate, bool) {
	nested := func(t Predicate) bool {
		switch t.(type) {
		case And, Const:
			return true
		default:
			return false
		}
	}
	if len(p) > 1 && !slices.ContainsFunc(p, nested) {
		return nil, false
	}
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
	return whenFired(fired, flat, unwrapAnd)
}

func orFlatten(p Or) (Predicate, bool) {
	nested := func(t Predicate) bool {
		switch t.(type) {
		case Or, Const:
			return true
		default:
			return false
		}
	}
	if len(p) > 1 && !slices.ContainsFunc(p, nested) {
		return nil, false
	}
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
	return whenFired(fired, flat, unwrapOr)
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
	var has func([]Predicate) bool // made once: it prints all terms
	for _, t := range terms {
		n, ok := t.(Not)
		if !ok {
			continue
		}
		if has == nil {
			has = among(terms)
		}
		if has(parts(n.Of)) {
			return true
		}
	}
	return false
}

func andDuplicate(p And) (Predicate, bool) {
	kept := unique(p)
	return whenFired(len(kept) < len(p), kept, unwrapAnd)
}

func orDuplicate(p Or) (Predicate, bool) {
	kept := unique(p)
	return whenFired(len(kept) < len(p), kept, unwrapOr)
}

func unique(terms []Predicate) []Predicate {
	if len(terms) > fewTerms {
		return uniqueOfMany(terms)
	}
	for i, t := range terms {
		if !holdsPred(terms[:i], t) {
			continue
		}
		kept := slices.Clone(terms[:i])
		for _, t := range terms[i+1:] {
			if !holdsPred(kept, t) {
				kept = append(kept, t)
			}
		}
		return kept
	}
	return terms
}

func uniqueOfMany(terms []Predicate) []Predicate {
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
	return whenFired(len(kept) < len(p), kept, unwrapAnd)
}

// orAbsorb: a disjunct from which another follows adds no row.
func orAbsorb(p Or) (Predicate, bool) {
	kept := dropPairwise(p, implies)
	return whenFired(len(kept) < len(p), kept, unwrapOr)
}

// dropPairwise removes each term that another one, still kept, makes needless.
func dropPairwise(terms []Predicate, needless func(t, other Predicate) bool) []Predicate {
	if len(terms) > maxPairwise {
		return terms
	}
	kept, cloned := terms, false
	for i := 0; i < len(kept); i++ {
		for j := range kept {
			if i != j && needless(kept[i], kept[j]) {
				if !cloned {
					kept, cloned = slices.Clone(kept), true
				}
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
	out, fired := p, false
	for i, t := range out {
		or, ok := t.(Or)
		if !ok {
			continue
		}
		needless := func(d Predicate) bool { return beside(out, i, d, excludes) }
		if !slices.ContainsFunc(or, needless) {
			continue
		}
		if !fired {
			out, fired = slices.Clone(out), true
		}
		out[i] = unwrapOr(slices.DeleteFunc(slices.Clone(or), needless))
	}
	return whenFired(fired, out, unwrapAnd)
}

// orUnit: beside a, the conjuncts that hold whenever a does not say nothing.
func orUnit(p Or) (Predicate, bool) {
	if len(p) > maxPairwise {
		return nil, false
	}
	out, fired := p, false
	for i, t := range out {
		and, ok := t.(And)
		if !ok {
			continue
		}
		needless := func(c Predicate) bool { return beside(out, i, c, exhausts) }
		if !slices.ContainsFunc(and, needless) {
			continue
		}
		if !fired {
			out, fired = slices.Clone(out), true
		}
		out[i] = unwrapAnd(slices.DeleteFunc(slices.Clone(and), needless))
	}
	return whenFired(fired, out, unwrapOr)
}

// whenFired is the junction of the terms that a rule has made, if it fired.
func whenFired(fired bool, terms []Predicate, junction func([]Predicate) Predicate) (Predicate, bool) {
	if !fired {
		return nil, false
	}
	return junction(terms), true
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
	if len(p) <= fewTerms && !slices.ContainsFunc(conjuncts(p[0]), func(c Predicate) bool {
		return !slices.ContainsFunc(p[1:], func(t Predicate) bool { return !holdsPred(conjuncts(t), c) })
	}) {
		return nil, false
	}
	common := slices.Clone(conjuncts(p[0]))
	for _, t := range p[1:] {
		here := among(conjuncts(t))
		if common = slices.DeleteFunc(common, func(c Predicate) bool { return !here([]Predicate{c}) }); len(common) == 0 {
			return nil, false
		}
	}
	isCommon := among(common)
	var front []Predicate
	rest := make([]Predicate, len(p))
	for i, t := range p {
		var left []Predicate
		for _, c := range conjuncts(t) {
			switch {
			case !isCommon([]Predicate{c}):
				left = append(left, c)
			case i == 0:
				front = append(front, c)
			}
		}
		rest[i] = unwrapAnd(left)
	}
	return And(append(front, unwrapOr(rest))), true
}

// among is the test whether all of some predicates are among the terms.
func among(terms []Predicate) func([]Predicate) bool {
	if len(terms) <= fewTerms {
		return func(ps []Predicate) bool {
			return !slices.ContainsFunc(ps, func(p Predicate) bool { return !holdsPred(terms, p) })
		}
	}
	have := make(map[string]bool, len(terms))
	for _, k := range key(terms).keys {
		have[k] = true
	}
	return func(ps []Predicate) bool {
		return !slices.ContainsFunc(ps, func(p Predicate) bool { return !have[canonical(p)] })
	}
}

// orSort: the same disjuncts print the same, whatever order they came in; what costs
// a look at another table comes last.
func orSort(m *memo, p Or) (Predicate, bool) {
	if sortedByName(p) {
		return nil, false
	}
	o := newOrder(m, p)
	if slices.IsSortedFunc(o.places, o.compare) {
		return nil, false
	}
	slices.SortStableFunc(o.places, o.compare)
	out := make(Or, len(p))
	for i, place := range o.places {
		out[i] = p[place]
	}
	return out, true
}

// sortedByName reports whether the first words of the terms say that they are sorted.
func sortedByName(terms []Predicate) bool {
	for i := 1; i < len(terms); i++ {
		s, t := terms[i-1], terms[i]
		if byLast := cmp.Compare(last(s), last(t)); byLast != 0 {
			if byLast > 0 {
				return false
			}
			continue
		}
		x, y := nodeName(s), nodeName(t)
		if _, isConst := t.(Const); isConst || x >= y || strings.HasPrefix(y, x) {
			return false
		}
	}
	return true
}

// order is that of an Or's terms. They are printed only where their first words say
// nothing.
type order struct {
	memo   *memo
	terms  []Predicate
	places []int
	names  []string
	keys   []string
}

func newOrder(m *memo, terms []Predicate) *order {
	texts := make([]string, 2*len(terms))
	o := &order{m, terms, make([]int, len(terms)), texts[:len(terms)], texts[len(terms):]}
	for i, t := range terms {
		o.places[i] = i
		if _, ok := t.(Const); !ok {
			o.names[i] = nodeName(t)
		}
	}
	return o
}

func (o *order) compare(a, b int) int {
	if byLast := cmp.Compare(last(o.terms[a]), last(o.terms[b])); byLast != 0 || a == b {
		return byLast
	}
	x, y := o.names[a], o.names[b]
	if x != "" && y != "" && !strings.HasPrefix(x, y) && !strings.HasPrefix(y, x) {
		return cmp.Compare(x, y)
	}
	if byKey := cmp.Compare(o.key(a), o.key(b)); byKey != 0 {
		return byKey
	}
	return cmp.Compare(printed(o.terms[a]), printed(o.terms[b])) // conjuncts in another order
}

func (o *order) key(i int) string {
	if o.keys[i] == "" {
		o.keys[i] = o.memo.canonical(o.terms[i])
	}
	return o.keys[i]
}

// last is 1 of a term that comes behind the others.
func last(t Predicate) int {
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
