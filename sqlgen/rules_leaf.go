package sqlgen

import "strings"

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
	if anyOperand(p, func(e Expr) bool {
		l, ok := e.(Literal)
		return !ok || !l.Type.Elem().distinguishable()
	}) {
		return nil, false
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
		return Const(subset(l, set)), l.Type == set.Type.Elem()
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

// literalLast: a value stands behind what is compared with it. (It comes to stand in
// front as a parameter.)
func literalLast(p Predicate) (Predicate, bool) {
	first := func(l, r Expr) bool {
		_, okL := l.(Literal)
		_, okR := r.(Literal)
		return okL && !okR
	}
	switch p := p.(type) {
	case Compare:
		if first(p.L, p.R) {
			return Compare{p.Op.Flip(), p.R, p.L}, true
		}
	case Distinct:
		if first(p.L, p.R) {
			return Distinct{p.R, p.L}, true
		}
	case Same:
		if first(p.L, p.R) {
			return Same{p.R, p.L}, true
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
	switch l.Len() {
	case 0:
		return empty, true
	case 1:
		return Compare{op, of, l.first()}, true
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
	switch e := null.Of.(type) {
	case Text, ToJSON, ToNumeric, JSONValues:
		return Null{operand(null.Of)}, true
	case Call:
		if e.Of.nulls != whenAnArgumentIs {
			break
		}
		var any Or
		for _, a := range e.Args {
			if Nullable(a) {
				any = append(any, Null{a})
			}
		}
		return any, true
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
	if sorted, fired := orSort(nil, or); fired { // disjuncts have no order of their own
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

// complement is the leaf that is true exactly where p is not, given which of its
// operands can be NULL.
func complement(p Predicate, nullable func(Expr) bool) (Predicate, bool) {
	if anyOperand(p, nullable) {
		return nil, false
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
