package sqlgen

import "github.com/google/uuid"

// holdsConstant: a boolean literal is true or false. (It comes of a parameter.)
func holdsConstant(p Predicate) (Predicate, bool) {
	h, ok := p.(Holds)
	if !ok {
		return nil, false
	}
	l, ok := h.Of.(Literal)
	if !ok {
		return nil, false
	}
	v, ok := l.Value.(bool)
	return Const(v == h.Want), ok
}

// textOfUUID: the text of a uuid equals only a text in its canonical form, and is
// compared with that as a uuid, which an index serves. (Such texts come of parameters.)
func textOfUUID(p Predicate) (Predicate, bool) {
	switch p := p.(type) {
	case Compare:
		of, lit, ok := textWith(p.L, p.R)
		if !ok || p.Op != EQ && p.Op != NE {
			return nil, false
		}
		if id, ok := canonicalUUID(lit); ok {
			return Compare{p.Op, of, id}, true
		}
		if p.Op == EQ {
			return False, true
		}
		return notNull(of), true
	case Distinct:
		of, lit, ok := textWith(p.L, p.R)
		if !ok {
			return nil, false
		}
		if id, ok := canonicalUUID(lit); ok {
			return Distinct{of, id}, true
		}
		return True, true
	case Same:
		of, lit, ok := textWith(p.L, p.R)
		if !ok {
			return nil, false
		}
		if id, ok := canonicalUUID(lit); ok {
			return Same{of, id}, true
		}
		return False, true
	case Member:
		if of, lit, ok := textWith(p.Set, p.Of); ok && TypeOf(of).Array {
			if id, ok := canonicalUUID(lit); ok {
				return Member{id, of}, true
			}
			return False, true
		}
		of, lit, ok := textWith(p.Of, p.Set)
		return Member{of, canonicalUUIDs(lit)}, ok
	case Excluded:
		of, lit, ok := textWith(p.Of, p.Set)
		return Excluded{of, canonicalUUIDs(lit)}, ok
	}
	return nil, false
}

// textWith are the uuid, or array of uuids, of which one side is the text, and the
// literal that the other is.
func textWith(a, b Expr) (of Expr, lit Literal, ok bool) {
	if _, ok := a.(Literal); ok {
		a, b = b, a
	}
	text, ok := a.(Text)
	if !ok || TypeOf(text.Of).Kind != KindUUID {
		return nil, lit, false
	}
	lit, ok = b.(Literal)
	return text.Of, lit, ok && lit.Type.Kind == KindText
}

// canonicalUUID is a text as a uuid, if it is the canonical text of one.
func canonicalUUID(l Literal) (Literal, bool) {
	text, ok := l.Value.(string)
	if !ok {
		return l, false
	}
	id, err := uuid.Parse(text)
	return UUID(id), err == nil && id.String() == text
}

// canonicalUUIDs are those of the texts in an array that are canonical.
func canonicalUUIDs(l Literal) Literal {
	var ids []Literal
	for _, e := range l.Elems() {
		if id, ok := canonicalUUID(e); ok {
			ids = append(ids, id)
		}
	}
	return ListOf(Type{Kind: KindUUID}, ids)
}
