package sqlgen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// matchEmpty: every text has the empty prefix.
func matchEmpty(p Predicate) (Predicate, bool) {
	m, ok := p.(Match)
	if !ok {
		return nil, false
	}
	l, ok := m.Sub.(Literal)
	if !ok || l.Value != "" {
		return nil, false
	}
	return notNull(m.Of), true
}

// leafConstant: what compares literals is known. (They meet when a parameter is
// bound.)
func leafConstant(p Predicate) (Predicate, bool) {
	for _, e := range operands(p) {
		l, ok := e.(Literal)
		if !ok || !l.Type.Elem().distinguishable() {
			return nil, false
		}
	}
	switch p := p.(type) {
	case Compare:
		l, r := p.L.(Literal), p.R.(Literal)
		if l.Type != r.Type || l.Type.Array {
			return nil, false
		}
		order := compareLiterals(l, r)
		if p.Op != EQ && p.Op != NE && l.Type.Kind == KindEnum { // in the order of its declaration
			return nil, false
		}
		switch p.Op {
		case EQ:
			return Const(order == 0), true
		case NE:
			return Const(order != 0), true
		case LT:
			return Const(order < 0), true
		case LE:
			return Const(order <= 0), true
		case GT:
			return Const(order > 0), true
		default:
			return Const(order >= 0), true
		}
	case Member:
		l, set := p.Of.(Literal), p.Set.(Literal)
		return Const(slices.ContainsFunc(set.Elems(), func(e Literal) bool { return compareLiterals(e, l) == 0 })),
			l.Type == set.Type.Elem()
	case Match:
		of, okOf := p.Of.(Literal).Value.(string)
		sub, okSub := p.Sub.(Literal).Value.(string)
		if !okOf || !okSub || p.Fold {
			return nil, false
		}
		switch p.Kind {
		case AtStart:
			return Const(strings.HasPrefix(of, sub)), true
		case AtEnd:
			return Const(strings.HasSuffix(of, sub)), true
		default:
			return Const(strings.Contains(of, sub)), true
		}
	}
	return nil, false
}

// memberOne: a set of one is an equality, which keeps an index's order; an empty
// one has no members.
func memberOne(p Predicate) (Predicate, bool) {
	var of, set Expr
	var empty Predicate
	op := EQ
	switch p := p.(type) {
	case Member:
		of, set, empty = p.Of, p.Set, False
	case Excluded:
		of, set, empty, op = p.Of, p.Set, notNull(p.Of), NE
	}
	l, ok := set.(Literal)
	if !ok {
		return nil, false
	}
	switch elems := l.Elems(); len(elems) {
	case 0:
		return empty, true
	case 1:
		return Compare{op, of, elems[0]}, true
	default:
		return nil, false
	}
}

// distinctOfNotNull: NULL-safe comparison is needed only where both sides can be
// NULL, or for a difference where one can.
func distinctOfNotNull(p Predicate) (Predicate, bool) {
	switch p := p.(type) {
	case Distinct:
		return Compare{NE, p.L, p.R}, !Nullable(p.L) && !Nullable(p.R)
	case Same:
		return Compare{EQ, p.L, p.R}, !Nullable(p.L) || !Nullable(p.R)
	default:
		return nil, false
	}
}

func notNull(e Expr) Predicate {
	if !Nullable(e) {
		return True
	}
	return NotNull(e)
}

// nullOfNotNull: what can't be NULL is not; and what is computed of a value is
// NULL when the value is.
func nullOfNotNull(p Predicate) (Predicate, bool) {
	null, ok := p.(Null)
	if !ok {
		return nil, false
	}
	if !Nullable(null.Of) {
		return False, true
	}
	switch null.Of.(type) {
	case Text, ToJSON, ToNumeric, JSONValues:
		return Null{operand(null.Of)}, true
	}
	return nil, false
}

func notConstant(p Not) (Predicate, bool) {
	c, ok := p.Of.(Const)
	return !c, ok
}

func notNot(p Not) (Predicate, bool) {
	n, ok := p.Of.(Not)
	return n.Of, ok
}

func notAnd(p Not) (Predicate, bool) {
	and, ok := p.Of.(And)
	return Or(negated(and)), ok
}

func notOr(p Not) (Predicate, bool) {
	or, ok := p.Of.(Or)
	if !ok {
		return nil, false
	}
	if sorted, fired := orSort(or); fired { // disjuncts have no order of their own
		or = sorted.(Or)
	}
	return And(negated(or)), true
}

func negated(terms []Predicate) []Predicate {
	out := make([]Predicate, len(terms))
	for i, t := range terms {
		out[i] = Not{t}
	}
	return out
}

// notLeaf: a leaf whose complement has a form of its own.
func notLeaf(p Not) (Predicate, bool) {
	switch l := p.Of.(type) {
	case Compare:
		ln, rn := Nullable(l.L), Nullable(l.R)
		switch {
		case !ln && !rn:
			return Compare{l.Op.Complement(), l.L, l.R}, true
		case ln && rn:
			return nil, false
		case l.Op == EQ:
			return Distinct{l.L, l.R}, true
		case l.Op == NE:
			return Or{Eq(l.L, l.R), Null{nullableOf(l.L, l.R)}}, true
		default:
			return Or{Compare{l.Op.Complement(), l.L, l.R}, Null{nullableOf(l.L, l.R)}}, true
		}
	case Distinct:
		if !Nullable(l.L) || !Nullable(l.R) {
			return Compare{EQ, l.L, l.R}, true
		}
		return Same(l), true
	case Same:
		return Distinct(l), true
	case Member:
		if nullableSet(l.Set) {
			return nil, false
		}
		return orNull(Excluded(l), l.Of), true
	case Excluded:
		return orNull(Member(l), l.Of), true
	case Holds:
		if !Nullable(l.Of) {
			return Holds{l.Of, !l.Want}, true
		}
	}
	return nil, false
}

// nullableOf is the one of two expressions that can be NULL.
func nullableOf(a, b Expr) Expr {
	if Nullable(a) {
		return a
	}
	return b
}

func orNull(p Predicate, e Expr) Predicate {
	if !Nullable(e) {
		return p
	}
	return Or{p, Null{e}}
}

func nullableSet(set Expr) bool {
	switch set.(type) {
	case Literal, Param:
		return false
	default: // an array column may be NULL and hold NULLs
		return true
	}
}

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

// complement is the leaf that is true exactly where p is not, given which of its
// operands can be NULL.
func complement(p Predicate, nullable func(Expr) bool) (Predicate, bool) {
	for _, e := range operands(p) {
		if nullable(e) {
			return nil, false
		}
	}
	switch p := p.(type) {
	case Compare:
		return Compare{p.Op.Complement(), p.L, p.R}, true
	case Holds:
		return Holds{p.Of, !p.Want}, true
	default:
		return nil, false
	}
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

// andMembers: what is in two sets is in their intersection.
func andMembers(p And) (Predicate, bool) {
	return mergeSets(p, func(l Predicate) (Expr, []Literal, bool) { return demanded(l) },
		func(a, b []Literal) []Literal {
			return slices.DeleteFunc(slices.Clone(a), func(l Literal) bool {
				return !slices.ContainsFunc(b, func(m Literal) bool { return l.String() == m.String() })
			})
		},
		func(of Expr, t Type, ls []Literal) Predicate { return Member{of, ListOf(t, ls)} },
		func(ts []Predicate) Predicate { return unwrapAnd(ts) })
}

// andExclusions: "<> a and <> b" is <> ALL.
func andExclusions(p And) (Predicate, bool) {
	return mergeSets(p, forbidden, concat,
		func(of Expr, t Type, ls []Literal) Predicate { return Excluded{of, ListOf(t, ls)} },
		func(ts []Predicate) Predicate { return unwrapAnd(ts) })
}

// orEqualities: "= a or = b" is = ANY.
func orEqualities(p Or) (Predicate, bool) {
	return mergeSets(p, demanded, concat,
		func(of Expr, t Type, ls []Literal) Predicate { return Member{of, ListOf(t, ls)} },
		func(ts []Predicate) Predicate { return unwrapOr(ts) })
}

func concat(a, b []Literal) []Literal { return slices.Concat(a, b) }

// mergeSets joins the terms that read as a set of literals of one expression.
func mergeSets(
	terms []Predicate,
	read func(Predicate) (Expr, []Literal, bool),
	join func(a, b []Literal) []Literal,
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
		all := g.sets[0]
		for _, s := range g.sets[1:] {
			all = join(all, s)
		}
		p := build(g.of, g.t, all)
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
		if _, ok := p[i].(Exists); ok {
			return 1
		}
		return 0
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
