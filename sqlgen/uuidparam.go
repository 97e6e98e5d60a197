package sqlgen

// UUIDParams is a condition in which no uuid is compared with a parameter by its text,
// where that can be helped: the parameter's uuids take its place, as says a parameter of
// the type uuid[], so that an index of the uuids serves. [CanonicalUUIDs] are its value.
//
// [When] does the same of a text that is known.
func UUIDParams(p Predicate, as func(Param) Param) Predicate {
	return mapLeaves(p, func(leaf Predicate) Predicate { return uuidParam(leaf, as) })
}

// CanonicalUUIDs are the uuids of which the literal, a text or an array of texts, has the
// canonical text: an array, sorted, each once.
func CanonicalUUIDs(l Literal) Literal {
	if !l.Type.Array {
		l = ArrayOf(l.Type, []Literal{l})
	}
	return canonicalUUIDs(l)
}

// mapLeaves is p with other conditions in the places of its leaves, but for those of
// subqueries that are values.
func mapLeaves(p Predicate, f func(Predicate) Predicate) Predicate {
	all := func(terms []Predicate) []Predicate {
		out := make([]Predicate, len(terms))
		for i, t := range terms {
			out[i] = mapLeaves(t, f)
		}
		return out
	}
	switch p := p.(type) {
	case And:
		return And(all(p))
	case Or:
		return Or(all(p))
	case Not:
		return Not{mapLeaves(p.Of, f)}
	case Exists:
		p.Where = mapLeaves(p.Where, f)
		return p
	case ExistsElement:
		p.Where = mapLeaves(p.Where, f)
		return p
	default:
		return f(p)
	}
}

// uuidParam is textOfUUID of a parameter. A text that is no uuid is no element: the
// first one is NULL.
func uuidParam(p Predicate, as func(Param) Param) Predicate {
	switch leaf := p.(type) {
	case Compare:
		of, text, ok := textWithParam(leaf.L, leaf.R)
		switch {
		case !ok || TypeOf(of).Array:
		case leaf.Op == EQ:
			return Compare{EQ, of, ArrayGet{as(text), 0}}
		case leaf.Op == NE:
			return Excluded{of, as(text)}
		}
	case Distinct:
		if of, text, ok := textWithParam(leaf.L, leaf.R); ok && !TypeOf(of).Array {
			return Not{Member{of, as(text)}}
		}
	case Same:
		if of, text, ok := textWithParam(leaf.L, leaf.R); ok && !TypeOf(of).Array {
			return Compare{EQ, of, ArrayGet{as(text), 0}}
		}
	case Member:
		of, text, ok := textWithParam(leaf.Of, leaf.Set)
		switch {
		case !ok:
		case TypeOf(of).Array: // the parameter is the element
			return Member{ArrayGet{as(text), 0}, of}
		default:
			return Member{of, as(text)}
		}
	case Excluded:
		if of, text, ok := textWithParam(leaf.Of, leaf.Set); ok && !TypeOf(of).Array {
			return Excluded{of, as(text)}
		}
	}
	return p
}

// textWithParam are the uuid, or array of uuids, of which one side is the text, and the
// parameter that the other is.
func textWithParam(a, b Expr) (of Expr, text Param, ok bool) {
	if _, ok := a.(Param); ok {
		a, b = b, a
	}
	shown, ok := a.(Text)
	if !ok || TypeOf(shown.Of).Kind != KindUUID {
		return nil, text, false
	}
	text, ok = b.(Param)
	return shown.Of, text, ok && text.Type.Kind == KindText
}
