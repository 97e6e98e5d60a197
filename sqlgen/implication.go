package sqlgen

// maxPairwise bounds the terms among which every pair is looked at, so that a
// predicate of thousands of terms costs no square of them.
const maxPairwise = 64

// values of an expression: the set of literals that a leaf demands or forbids.
type values struct {
	of   Expr
	t    Type    // of the literals; none for NULL
	in   Literal // one, or an array of them; the zero Literal for none
	not  bool    // any value but these
	null bool    // NULL too
}

// valuesOf reads a leaf as a set of values of one expression, where it is one.
func valuesOf(p Predicate) (values, bool) {
	one := func(e, r Expr, not, null bool) (values, bool) {
		l, ok := r.(Literal)
		if !ok || !l.Type.distinguishable() {
			return values{}, false
		}
		return values{e, l.Type, l, not, null}, true
	}
	many := func(e, set Expr, not bool) (values, bool) {
		l, ok := set.(Literal)
		if !ok || !l.Type.Elem().distinguishable() {
			return values{}, false
		}
		return values{e, l.Type.Elem(), l, not, false}, true
	}
	switch p := p.(type) {
	case Compare:
		if p.Op == EQ || p.Op == NE {
			return one(p.L, p.R, p.Op == NE, false)
		}
	case Distinct:
		return one(p.L, p.R, true, true)
	case Member:
		return many(p.Of, p.Set, false)
	case Excluded:
		return many(p.Of, p.Set, true)
	case Holds:
		return values{p.Of, Type{Kind: KindBool}, Bool(p.Want), false, false}, true
	case Null:
		return values{p.Of, Type{}, Literal{}, false, true}, true
	case Not:
		v, ok := valuesOf(p.Of)
		v.not, v.null = !v.not, !v.null
		return v, ok
	}
	return values{}, false
}

// valuesOfBoth reads two leaves as sets of values of the same expression.
func valuesOfBoth(p, q Predicate) (v, w values, ok bool) {
	if a, b := subject(p), subject(q); a == nil || b == nil || !sameExpr(a, b) {
		return v, w, false // most pairs, and without looking at their literals
	}
	v, okV := valuesOf(p)
	w, okW := valuesOf(q)
	ok = okV && okW &&
		(v.t == w.t || v.t == Type{} || w.t == Type{}) // 1:int and 1:float print differently
	return v, w, ok
}

// subject is the expression that [valuesOf] is about.
func subject(p Predicate) Expr {
	if n, ok := p.(Not); ok {
		return subject(n.Of)
	}
	return firstOperand(p)
}

// within reports whether every value of v is one of w.
func (v values) within(w values) bool {
	switch {
	case v.null && !w.null, v.not && !w.not:
		return false
	case v.not: // the complements, so the other way round
		return subset(w.in, v.in)
	case w.not:
		return disjoint(v.in, w.in)
	default:
		return subset(v.in, w.in)
	}
}

func (v values) complement() values {
	v.not, v.null = !v.not, !v.null
	return v
}

// implies reports whether q is true whenever p is. It may miss an implication,
// and never claims one that is not there.
func implies(p, q Predicate) bool { return impliesWithin(maxDepth, p, q) }

// maxDepth bounds how deep two nested predicates are compared term by term, which
// takes a power of their size.
const maxDepth = 3

func impliesWithin(depth int, p, q Predicate) bool {
	if depth == 0 {
		return samePred(p, q)
	}
	if and, ok := q.(And); ok {
		for _, t := range and {
			if !impliesWithin(depth-1, p, t) {
				return false
			}
		}
		return len(and) > 0
	}
	if samePred(p, q) || existsImplies(depth-1, p, q) {
		return true
	}
	switch x := p.(type) {
	case And:
		for _, t := range x {
			if impliesWithin(depth-1, t, q) {
				return true
			}
		}
	case Or:
		if len(x) > maxPairwise {
			return false
		}
		for _, t := range x {
			if !impliesWithin(depth-1, t, q) {
				return false
			}
		}
		return len(x) > 0
	}
	if or, ok := q.(Or); ok {
		for _, t := range or {
			if impliesWithin(depth-1, p, t) {
				return true
			}
		}
		return false
	}
	if e, ok := notNullOf(q); ok && forbidsNull(p, e) {
		return true
	}
	if n, ok := q.(Not); ok {
		if null, ok := p.(Null); ok && forbidsNull(n.Of, null.Of) {
			return true
		}
		if m, ok := p.(Not); ok && existsImplies(depth-1, n.Of, m.Of) {
			return true
		}
	}
	if a, b, ok := rangesOf(p, q); ok && a.within(b) {
		return true
	}
	v, w, ok := valuesOfBoth(p, q)
	return ok && v.within(w)
}

// excludes reports whether p and q are never both true.
func excludes(p, q Predicate) bool {
	if isNegation(p, q) || existsExcludes(p, q) || existsExcludes(q, p) {
		return true
	}
	if null, ok := p.(Null); ok && forbidsNull(q, null.Of) {
		return true
	}
	if null, ok := q.(Null); ok && forbidsNull(p, null.Of) {
		return true
	}
	if a, b, ok := rangesOf(p, q); ok && a.disjoint(b) {
		return true
	}
	v, w, ok := valuesOfBoth(p, q)
	return ok && v.within(w.complement())
}

// exhausts reports whether p or q is true of every row.
func exhausts(p, q Predicate) bool {
	if isNegation(p, q) || existsExhausts(p, q) || existsExhausts(q, p) {
		return true
	}
	v, w, ok := valuesOfBoth(p, q)
	if !ok {
		return false
	}
	if !Nullable(v.of) {
		v.null = true
	}
	return v.complement().within(w)
}

func isNegation(p, q Predicate) bool {
	if n, ok := p.(Not); ok && samePred(n.Of, q) {
		return true
	}
	n, ok := q.(Not)
	return ok && samePred(n.Of, p)
}

// notNullOf is e where p says that e is not NULL.
func notNullOf(p Predicate) (Expr, bool) {
	if n, ok := p.(Not); ok {
		if null, ok := n.Of.(Null); ok {
			return null.Of, true
		}
	}
	return nil, false
}

// forbidsNull reports whether p is never true where e is NULL.
func forbidsNull(p Predicate, e Expr) bool {
	if of, ok := notNullOf(p); ok {
		return isNullWith(of, e)
	}
	return strict(p) && anyOperand(p, func(o Expr) bool { return isNullWith(o, e) })
}

// isNullWith reports whether o is NULL where e is.
func isNullWith(o, e Expr) bool {
	for ; o != nil; o = operand(o) {
		if _, never := o.(JSONArray); never {
			return false
		}
		if sameExpr(o, e) {
			return true
		}
		if get, ok := o.(JSONGet); ok && operand(get.Key) != nil && sameExpr(operand(get.Key), e) {
			return true
		}
	}
	return false
}
