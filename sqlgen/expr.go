package sqlgen

import "slices"

// Expr is a SQL value: a column, a bind argument, or something computed of them.
type Expr interface{ expr() }

// Column is a column of the table that the predicate is about.
type Column struct {
	Table   string // alias or name to qualify with; "" for none
	Name    string
	Type    Type
	NotNull bool // the column can't be NULL
}

// Param is a bind argument whose value comes later, by [Bind]. It is never NULL.
type Param struct {
	Name string
	Type Type
}

// Text is the text of a scalar as its row document shows it: a uuid in its
// canonical form, a timestamp in RFC 3339 (UTC, no trailing zeros), an enum's
// label, an inet without the mask of a single host.
type Text struct{ Of Expr }

// ToJSON is the value as jsonb, as its row document shows it.
type ToJSON struct{ Of Expr }

// ToNumeric is an exact numeric of a number: of a double precision its shortest
// decimal, of a timestamp its nanoseconds since the epoch.
type ToNumeric struct{ Of Expr }

// JSONGet is a member of a jsonb object (Key is text) or an element of a jsonb
// array (Key is an int ≥ 0). It is NULL where there is none.
type JSONGet struct{ Of, Key Expr }

// JSONValues is a jsonb array of the values of a jsonb object; of anything else
// it is an empty array.
type JSONValues struct{ Of Expr }

// JSONArray is a jsonb array of one element, the value as its row document shows
// it. Of NULL it is [null].
type JSONArray struct{ Of Expr }

// JSONString is the text of a jsonb string. It is NULL of a JSON null, and some
// text of other JSON values: guard it with [JSONTypeIs].
type JSONString struct{ Of Expr }

func (Column) expr()     {}
func (Param) expr()      {}
func (Literal) expr()    {}
func (Text) expr()       {}
func (ToJSON) expr()     {}
func (ToNumeric) expr()  {}
func (JSONGet) expr()    {}
func (JSONValues) expr() {}
func (JSONArray) expr()  {}
func (JSONString) expr() {}

// TypeOf is the SQL type of e.
func TypeOf(e Expr) Type {
	switch e := e.(type) {
	case Column:
		return e.Type
	case Param:
		return e.Type
	case Literal:
		return e.Type
	case Text, JSONString:
		return Type{Kind: KindText}
	case ToNumeric:
		return Type{Kind: KindNumeric}
	case ArrayGet:
		return TypeOf(e.Of).Elem()
	case ZeroBased, Length:
		return Type{Kind: KindInt}
	case Call:
		return e.typeOf()
	case Aggregate:
		return e.typeOf()
	default:
		return Type{Kind: KindJSONB}
	}
}

// Nullable reports whether e can be NULL.
func Nullable(e Expr) bool {
	switch e := e.(type) {
	case Column:
		return !e.NotNull
	case Param, Literal, JSONArray, JSONBuild:
		return false
	case JSONGet, JSONString, ArrayGet:
		return true
	case Call:
		return e.nullable()
	case Aggregate:
		return e.nullable()
	case Length:
		return TypeOf(e.Of) == (Type{Kind: KindJSONB}) || Nullable(e.Of)
	default:
		return Nullable(operand(e))
	}
}

// operand is what a computed expression is of; nil for columns, arguments, calls and
// aggregates.
// Every computed expression is NULL exactly when its operand is, but [JSONArray],
// which never is, and [JSONGet], [JSONString], [Length] and [ArrayGet], which may be
// when it is not.
func operand(e Expr) Expr {
	switch e := e.(type) {
	case Text:
		return e.Of
	case ToJSON:
		return e.Of
	case ToNumeric:
		return e.Of
	case JSONGet:
		return e.Of
	case JSONValues:
		return e.Of
	case JSONArray:
		return e.Of
	case JSONString:
		return e.Of
	case ZeroBased:
		return e.Of
	case Length:
		return e.Of
	case ArrayGet:
		return e.Of
	default:
		return nil
	}
}

// rewriteExpr replaces e and its parts, bottom-up, by what f makes of them.
func rewriteExpr(e Expr, f func(Expr) Expr) Expr {
	return f(mapParts(e, func(part Expr) Expr { return rewriteExpr(part, f) }))
}

// rewriteAround is rewriteExpr without the subqueries in e, which are replaced by what
// inside makes of them.
func rewriteAround(e Expr, f func(Expr) Expr, inside func(Aggregate) Aggregate) Expr {
	if a, ok := e.(Aggregate); ok {
		return inside(a)
	}
	return f(mapParts(e, func(part Expr) Expr { return rewriteAround(part, f, inside) }))
}

// mapParts is e with other expressions in the places of its parts.
func mapParts(e Expr, f func(Expr) Expr) Expr {
	switch x := e.(type) {
	case Text:
		return Text{f(x.Of)}
	case ToJSON:
		return ToJSON{f(x.Of)}
	case ToNumeric:
		return ToNumeric{f(x.Of)}
	case JSONGet:
		return JSONGet{f(x.Of), f(x.Key)}
	case JSONValues:
		return JSONValues{f(x.Of)}
	case JSONArray:
		return JSONArray{f(x.Of)}
	case JSONString:
		return JSONString{f(x.Of)}
	case ZeroBased:
		return ZeroBased{f(x.Of)}
	case Length:
		return Length{f(x.Of)}
	case ArrayGet:
		return ArrayGet{f(x.Of), x.Index}
	case Call:
		return x.mapped(f)
	case Aggregate:
		return x.within(func(p Predicate) Predicate { return mapExprs(p, f) })
	case JSONBuild:
		return x.mapped(f)
	default:
		return e
	}
}

// anyPart reports whether e, or a part of it outside of subqueries, is such.
func anyPart(e Expr, is func(Expr) bool) bool {
	switch x := e.(type) {
	case Column, Param, Literal, Aggregate:
		return is(e)
	case JSONGet:
		return is(e) || anyPart(x.Of, is) || anyPart(x.Key, is)
	case Call:
		return is(e) || slices.ContainsFunc(x.Args, func(a Expr) bool { return anyPart(a, is) })
	case JSONBuild:
		return is(e) || slices.ContainsFunc(x.Values, func(v Expr) bool { return anyPart(v, is) })
	default:
		of := operand(e)
		return is(e) || of != nil && anyPart(of, is)
	}
}
