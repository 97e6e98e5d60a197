package sqlgen

import (
	"slices"
	"strings"
)

// ExistsElement is true when the collection has an element for which Where is true.
// Of is an array, or a jsonb value: of that the elements when it is an array or,
// with Values, the values when it is an object. Where reads the element as columns
// of Element: see ElementValue and ElementKey.
type ExistsElement struct {
	Of      Expr
	Values  bool
	Element Element
	Where   Predicate
}

// Element names an element inside the Where of an [ExistsElement]: as a table of one
// row. The names must be no names of columns that Where reads unqualified.
type Element struct {
	Table    string
	Value    string
	Key      string // of an object's member
	Position string // of an array's element, from 1
}

// NewElement is an element with a table's name; taken are the names of the columns
// around it.
func NewElement(table string, taken func(string) bool) Element {
	free := func(name string) string {
		for taken(name) {
			name += "_"
		}
		return name
	}
	return Element{free(table), free("value"), free("key"), free("position")}
}

// ZeroBased is an array position counted from 0.
type ZeroBased struct{ Of Expr }

// ElementValue is the element itself. That of an array column may be NULL.
func (p ExistsElement) ElementValue() Column {
	t := TypeOf(p.Of)
	if t.Array {
		_, column := p.Of.(Column) // an argument holds no NULL
		return Column{p.Element.Table, p.Element.Value, t.Elem(), !column}
	}
	return Column{p.Element.Table, p.Element.Value, t, true}
}

// ElementKey is the key of an object's member, or the index of an array's element.
func (p ExistsElement) ElementKey() Expr {
	if p.Values {
		return Column{p.Element.Table, p.Element.Key, Type{Kind: KindText}, true}
	}
	return ZeroBased{p.position()}
}

func (ExistsElement) predicate() {}
func (ZeroBased) expr()          {}

// String prints the predicate for golden files and explain.
func (p ExistsElement) String() string { return printed(p) }

// String prints the expression for golden files and explain.
func (e ZeroBased) String() string { return printedExpr(e) }

// existsElement writes the condition.
func (r *renderer) existsElement(p ExistsElement) {
	r.WriteString("EXISTS (SELECT FROM ")
	r.elements(p, mentions(p.Where, p.position()))
	if p.Where != Predicate(True) {
		r.WriteString(" WHERE ")
		r.pred(p.Where, looseOr)
	}
	r.WriteByte(')')
}

// position is the column of an element's place, from 1.
func (p ExistsElement) position() Column {
	return Column{p.Element.Table, p.Element.Position, Type{Kind: KindInt}, true}
}

// elements writes the collection as a table. WITH ORDINALITY counts only where the
// count is read.
func (r *renderer) elements(p ExistsElement, counted bool) {
	e, columns := p.Element, quoteName(p.Element.Value)
	switch {
	case TypeOf(p.Of).Array:
		r.call("unnest", func() { r.inner(p.Of) })
	case p.Values:
		r.guarded("jsonb_each", "object", "{}", p.Of)
		columns = quoteName(e.Key) + ", " + columns
	default:
		r.guarded("jsonb_array_elements", "array", "[]", p.Of)
	}
	if !p.Values && counted {
		r.WriteString(" WITH ORDINALITY")
		columns += ", " + quoteName(e.Position)
	}
	r.WriteString(" AS " + quoteName(e.Table) + "(" + columns + ")")
}

// guarded calls a function that fails on JSON values of other types.
func (r *renderer) guarded(function, jsonType, empty string, of Expr) {
	r.WriteString(function + "(CASE jsonb_typeof(")
	r.expr(of)
	r.WriteString(") WHEN '" + jsonType + "' THEN ")
	r.inner(of)
	r.WriteString(" ELSE '" + empty + "' END)")
}

// mentions reports whether p reads the column.
func mentions(p Predicate, c Column) bool {
	return anyColumn(p, func(have Column) bool { return have == c })
}

// anyColumn reports whether p reads such a column.
func anyColumn(p Predicate, is func(Column) bool) bool {
	in := func(t Predicate) bool { return anyColumn(t, is) }
	switch p := p.(type) {
	case And:
		return slices.ContainsFunc(p, in)
	case Or:
		return slices.ContainsFunc(p, in)
	case Not:
		return in(p.Of)
	case Exists:
		return in(p.Where) || p.On != nil && in(p.On)
	case ExistsElement:
		return in(Null{p.Of}) || in(p.Where)
	}
	return anyOperand(p, func(e Expr) bool {
		return anyPart(e, func(part Expr) bool {
			switch part := part.(type) {
			case Column:
				return is(part)
			case Aggregate:
				return slices.ContainsFunc(part.Of, func(y Yield) bool { return in(y.nested()) })
			default:
				return false
			}
		})
	})
}

// elementNone: an empty array has no elements.
func elementNone(p ExistsElement) (Predicate, bool) {
	l, ok := p.Of.(Literal)
	return False, ok && l.Type.Array && l.Len() == 0
}

// elementHoist: a conjunct that does not read the element stands outside.
func elementHoist(p ExistsElement) (Predicate, bool) {
	outside, inside := split(p.Where, func(c Column) bool { return c.Table == p.Element.Table })
	p.Where = unwrapAnd(inside)
	return And(append(outside, p)), len(outside) > 0
}

// elementType: what is no array has no elements, and what is no object no members.
func elementType(p ExistsElement) (Predicate, bool) {
	known := JSONType(p.Of)
	wanted := "array"
	if p.Values {
		wanted = "object"
	}
	return False, known != "" && known != wanted
}

// elementMember: an element that equals a value is a membership test, which an index
// may serve.
func elementMember(p ExistsElement) (Predicate, bool) {
	value := p.ElementValue()
	if null, ok := p.Where.(Null); ok && sameExpr(null.Of, value) && TypeOf(p.Of).Array {
		return HasNull{p.Of}, true
	}
	c, ok := p.Where.(Compare)
	if !ok || c.Op != EQ {
		return nil, false
	}
	other := c.R
	if !sameExpr(c.L, value) {
		if other = c.L; !sameExpr(c.R, value) {
			return nil, false
		}
	}
	if anyColumn(Null{other}, func(c Column) bool { return c.Table == p.Element.Table }) { // or its key
		return nil, false
	}
	if TypeOf(p.Of).Array {
		return Member{other, p.Of}, TypeOf(other) == value.Type
	}
	of := p.Of
	if p.Values {
		of = JSONValues{of}
	}
	switch o := other.(type) {
	case Literal: // containment of an array or object is not equality
		text, isText := o.Value.(string)
		if !isText || strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{") {
			return nil, false
		}
		return JSONContains{of, JSON("[" + text + "]")}, true
	case ToJSON:
		if TypeOf(o.Of).Array {
			return nil, false
		}
		return unwrapAnd([]Predicate{notNull(o.Of), JSONContains{of, JSONArray(o)}}), true // an array of NULL is none
	}
	return nil, false
}
