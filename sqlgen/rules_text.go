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
		if of, lit, ok := textWith(p.Of, p.Set); ok {
			return Member{of, canonicalUUIDs(lit)}, true
		}
	case Excluded:
		if of, lit, ok := textWith(p.Of, p.Set); ok {
			return Excluded{of, canonicalUUIDs(lit)}, true
		}
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
	id, ok := ParseUUID(text)
	return UUID(id), ok
}

// ParseUUID is the uuid of which a text is the canonical form: with dashes, in lower
// case.
func ParseUUID(text string) (id uuid.UUID, ok bool) {
	const canonical = len("00000000-0000-0000-0000-000000000000")
	if len(text) != canonical {
		return id, false
	}
	for i := range len(text) {
		if 'A' <= text[i] && text[i] <= 'F' {
			return id, false
		}
	}
	id, err := uuid.Parse(text)
	return id, err == nil
}

// canonicalUUIDs are those of the texts in an array that are canonical.
func canonicalUUIDs(l Literal) Literal {
	texts, _ := l.Value.([]string)
	ids := make([]uuid.UUID, 0, len(texts))
	for _, text := range texts {
		if id, ok := ParseUUID(text); ok {
			ids = append(ids, id)
		}
	}
	return uuidList(ids)
}
