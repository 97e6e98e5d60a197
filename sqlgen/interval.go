package sqlgen

// interval is what a comparison with a literal leaves of an ordered type.
type interval struct {
	of         Expr
	lo, hi     *Literal // nil: no bound
	loIn, hiIn bool     // the bound itself belongs to it
}

// intervalOf reads a comparison as an interval. Text orders by bytes, as rendered.
func intervalOf(p Predicate) (interval, bool) {
	c, ok := p.(Compare)
	if !ok || c.Op == NE {
		return interval{}, false
	}
	l, ok := c.R.(Literal)
	if !ok || !l.Type.distinguishable() || l.Type.Kind == KindBool || l.Type.Kind == KindEnum {
		return interval{}, false
	}
	v := interval{of: c.L}
	switch c.Op {
	case LT, LE:
		v.hi, v.hiIn = &l, c.Op == LE
	case GT, GE:
		v.lo, v.loIn = &l, c.Op == GE
	default:
		v.lo, v.hi, v.loIn, v.hiIn = &l, &l, true, true
	}
	return v, true
}

// rangesOf reads two predicates as intervals of the same expression.
func rangesOf(p, q Predicate) (a, b interval, ok bool) {
	x, okX := p.(Compare)
	y, okY := q.(Compare)
	if !okX || !okY || !sameExpr(x.L, y.L) { // most pairs
		return a, b, false
	}
	a, okA := intervalOf(p)
	b, okB := intervalOf(q)
	if !okA || !okB {
		return a, b, false
	}
	for _, x := range []*Literal{a.lo, a.hi} {
		for _, y := range []*Literal{b.lo, b.hi} {
			if x != nil && y != nil && x.Type != y.Type {
				return a, b, false
			}
		}
	}
	return a, b, true
}

func (a interval) disjoint(b interval) bool { return a.before(b) || b.before(a) }

// before reports whether every value of a is below every value of b.
func (a interval) before(b interval) bool {
	if a.hi == nil || b.lo == nil {
		return false
	}
	order := compareLiterals(*a.hi, *b.lo)
	return order < 0 || order == 0 && (!a.hiIn || !b.loIn)
}

// within reports whether every value of a is one of b.
func (a interval) within(b interval) bool {
	lowOK := b.lo == nil
	if !lowOK && a.lo != nil {
		order := compareLiterals(*a.lo, *b.lo)
		lowOK = order > 0 || order == 0 && (b.loIn || !a.loIn)
	}
	highOK := b.hi == nil
	if !highOK && a.hi != nil {
		order := compareLiterals(*a.hi, *b.hi)
		highOK = order < 0 || order == 0 && (b.hiIn || !a.hiIn)
	}
	return lowOK && highOK
}
