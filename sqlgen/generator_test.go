package sqlgen

import (
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// The values that random rows and random predicates share: few, so that they
// meet, and hostile.
var (
	uuidPool = []uuid.UUID{
		uuid.MustParse("00000000-0000-4000-8000-000000000001"),
		uuid.MustParse("a0000000-0000-4000-8000-000000000002"),
		uuid.MustParse("ffffffff-ffff-ffff-ffff-ffffffffffff"),
		uuid.Nil,
	}
	textPool = []string{
		"a", "b", "A", "", "ab", "a%", "a_b", "%", "_", `\`, `a\%`, `\\`, "'", "''", `"`, "a0000000-0000-4000-8000-000000000002", "A0000000-0000-4000-8000-000000000002", "';--", "NULL", "null",
		"{a,b}", "a,b", "é", "ß", "SS", " ", "a ", "\n", "?", "??", "$1", "@p1", ":x", "🙂", `it's \'`, "/*", "--", "E'", "k", "true",
	}
	intPool   = []int64{0, 1, 2, -1, 404, 32767, 32768, -32769, 5_000_000_000, math.MaxInt64, math.MinInt64}
	floatPool = []float64{
		0, 1, -1.5, 0.1, 1e6, 1e20, 1e-7, 404, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64,
	}
	oddFloats  = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
	numberPool = []string{"0", "1", "1.0", "1.00", "-1.5", "0.1", "404", "123456789012345678901234567890.5", "-0", "1e3"}
	timePool   = []time.Time{
		time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC),
		time.Date(2026, 1, 2, 3, 4, 5, 1_000, time.FixedZone("", 3600)),
		time.Unix(0, 0),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	}
	datePool = []string{"2026-01-02", "2026-01-03", "1970-01-01", "0001-01-01", "9999-12-31"}
	inetPool = []string{"10.0.0.1", "10.0.0.0/8", "2001:db8::1", "0.0.0.0/0"}
	enumPool = []string{"write", "read", "Sp ace", "it's"} // in the order of the type
	jsonPool = []string{
		`{"a":1,"b":["a"],"k":"a"}`, `[]`, `["a",null]`, `"a"`, `1`, `1.0`, `null`, `true`, `false`, `{}`, `{"a":null}`,
		`[null]`, `["a","b"]`, `"it's \\ \""`, `[1,2]`, `{"a":{"a":"b"}}`, `"b"`, `[["a"]]`, `[true]`, `"2026-01-02"`,
	}
	arrayPool = []string{
		`{}`, `{a}`, `{a,b}`, `{a,NULL}`, `{NULL}`, `{"NULL"}`, `{"a,b","{a,b}"}`, `{"\"","\\"}`, `{'}`, `{"",A}`, `{b,b}`,
	}
	jsonTypes = []string{"object", "array", "string", "number", "boolean", "null"}

	enumType = Type{Kind: KindEnum, Enum: "Mood ?"}
)

const schema = `
CREATE TYPE "Mood ?" AS ENUM ('write', 'read', 'Sp ace', 'it''s');
CREATE TABLE t (
	id int PRIMARY KEY,
	u uuid, un uuid NOT NULL,
	s text, "Order? by" varchar NOT NULL,
	b boolean, bn boolean NOT NULL,
	i bigint, "user" smallint NOT NULL,
	f double precision, fn double precision NOT NULL,
	n numeric, nn numeric NOT NULL,
	ts timestamptz, tsn timestamptz NOT NULL,
	d date, dn date NOT NULL,
	ip inet, ipn inet NOT NULL,
	e "Mood ?", en "Mood ?" NOT NULL,
	j jsonb, jn jsonb NOT NULL,
	a text[], an text[] NOT NULL,
	ua uuid[], ia int[], ea "Mood ?"[]
);
CREATE TABLE sole (t_id int UNIQUE, s text, b boolean NOT NULL, u uuid, i bigint);
CREATE TABLE child (t_id int, s text, b boolean NOT NULL, u uuid, i bigint); -- with names of t's columns
`

// columns of t by type: a nullable one and one that is not, except of arrays.
var columns = func() map[Type][]Column {
	m := map[Type][]Column{}
	add := func(t Type, name string, notNull bool) {
		m[t] = append(m[t], Column{Table: "t", Name: name, Type: t, NotNull: notNull})
	}
	for _, c := range []struct {
		t                Type
		nullable, filled string
	}{
		{Type{Kind: KindUUID}, "u", "un"},
		{Type{Kind: KindText}, "s", "Order? by"},
		{Type{Kind: KindBool}, "b", "bn"},
		{Type{Kind: KindInt}, "i", "user"},
		{Type{Kind: KindFloat}, "f", "fn"},
		{Type{Kind: KindNumeric}, "n", "nn"},
		{Type{Kind: KindTimestamptz}, "ts", "tsn"},
		{Type{Kind: KindDate}, "d", "dn"},
		{Type{Kind: KindInet}, "ip", "ipn"},
		{enumType, "e", "en"},
		{Type{Kind: KindJSONB}, "j", "jn"},
		{Type{Kind: KindText, Array: true}, "a", "an"},
	} {
		add(c.t, c.nullable, false)
		add(c.t, c.filled, true)
	}
	add(Type{Kind: KindUUID, Array: true}, "ua", false)
	add(Type{Kind: KindInt, Array: true}, "ia", false)
	add(enumType.ArrayOf(), "ea", false)
	return m
}()

// scalars are the types that have literals, members and arrays of literals.
var scalars = []Type{
	{Kind: KindText}, {Kind: KindInt}, {Kind: KindUUID}, {Kind: KindBool}, {Kind: KindFloat}, {Kind: KindNumeric},
	{Kind: KindTimestamptz}, {Kind: KindDate}, {Kind: KindInet}, enumType,
}

// generator draws predicates over t. A parameter that it draws has its value in
// params.
type generator struct {
	*rapid.T
	params   map[string]Literal
	around   []string // aliases of child, in the subqueries around
	elements int
}

func (g *generator) below(n int) int { return rapid.IntRange(0, n-1).Draw(g.T, "") }

func pick[T any](g *generator, from []T) T { return from[g.below(len(from))] }

func (g *generator) value(t Type) Literal {
	switch t.Kind {
	case KindUUID:
		return UUID(pick(g, uuidPool))
	case KindText:
		return String(pick(g, textPool))
	case KindBool:
		return Bool(g.below(2) == 0)
	case KindInt:
		return Int(pick(g, intPool))
	case KindFloat:
		return Float(pick(g, floatPool))
	case KindNumeric:
		return Number(pick(g, numberPool))
	case KindTimestamptz:
		return Timestamp(pick(g, timePool))
	case KindDate:
		return Literal{Type: t, Value: pick(g, datePool)}
	case KindInet:
		return Literal{Type: t, Value: pick(g, inetPool)}
	case KindEnum:
		return Literal{Type: t, Value: pick(g, enumPool)}
	case KindJSONB:
		return JSON(pick(g, jsonPool))
	default:
		panic(t.String())
	}
}

// arg is a literal, or a parameter of its value.
func (g *generator) arg(l Literal) Expr {
	if g.below(5) > 0 {
		return l
	}
	name := fmt.Sprintf("p%d", len(g.params))
	g.params[name] = l
	return Param{name, l.Type}
}

func (g *generator) scalarArg(t Type) Expr {
	if t.Kind == KindFloat && g.below(8) == 7 {
		return Float(pick(g, oddFloats))
	}
	return g.arg(g.value(t))
}

func (g *generator) list(t Type) Expr {
	elems := make([]Literal, g.below(4))
	for i := range elems {
		elems[i] = g.value(t)
	}
	return g.arg(ListOf(t, elems))
}

func (g *generator) column(t Type) Expr { return pick(g, columns[t]) }

// expr is a column, an argument or something computed, of type t.
func (g *generator) expr(t Type, depth int) Expr {
	computed := depth > 0 && !t.Array && g.below(3) == 2
	switch {
	case computed && g.below(3) == 2 && columns[t.ArrayOf()] != nil:
		return ArrayGet{g.column(t.ArrayOf()), int64(pick(g, []int{0, 1, 7}))}
	case computed && t.Kind == KindInt:
		of := pick(g, []Type{{Kind: KindText}, {Kind: KindJSONB}, {Kind: KindText, Array: true}, {Kind: KindUUID, Array: true}})
		return Length{g.expr(of, depth-1)}
	case computed && t.Kind == KindText:
		if g.below(2) == 0 {
			return JSONString{g.expr(Type{Kind: KindJSONB}, depth-1)}
		}
		of := pick(g, scalars)
		if of.Kind == KindFloat { // no policy sees a float as text
			of = Type{Kind: KindText}
		}
		return Text{g.expr(of, depth-1)}
	case computed && t.Kind == KindNumeric:
		return ToNumeric{g.expr(pick(g, []Type{{Kind: KindInt}, {Kind: KindFloat}, {Kind: KindNumeric}}), depth-1)}
	case computed && t.Kind == KindJSONB:
		switch g.below(8) {
		case 0, 1:
			return JSONGet{g.expr(t, depth-1), g.key(depth - 1)}
		case 6:
			return JSONBuild{pick(g, [][]string{nil, {"a", "b"}}), []Expr{g.shown(depth - 1), g.expr(t, depth-1)}}
		case 7:
			of, keys := g.expr(t, depth-1), ListOf(Type{Kind: KindText}, []Literal{String("a"), String("it's")})
			return pick(g, []Expr{
				Apply(ConcatArrays, JSONArray{of}, JSON("[1]")), Apply(ReverseArray, of), Apply(SliceArray, of, Int(1), Int(int64(g.below(3)))),
				Apply(OmitKeys, of, keys), Apply(PickKeys, of, keys),
			})
		case 2:
			return ToJSON{g.shown(depth - 1)}
		case 3:
			return JSONArray{g.shown(depth - 1)}
		case 4:
			return JSONValues{g.expr(t, depth-1)}
		default:
			return ToJSON{g.column(Type{Kind: KindText, Array: true})}
		}
	case g.below(6) == 5 && !t.Array:
		return g.scalarArg(t)
	default:
		return g.column(t)
	}
}

func (g *generator) key(depth int) Expr {
	switch g.below(4) {
	case 3:
		return pick(g, []Expr{
			Apply(PlaceOfInt, g.expr(Type{Kind: KindInt}, depth)), Apply(PlaceOfNumber, g.expr(Type{Kind: KindNumeric}, depth)),
			Apply(PlaceOfJSON, g.expr(Type{Kind: KindJSONB}, depth)),
		})
	case 0:
		return String(pick(g, []string{"a", "b", "k", "it's"}))
	case 1:
		return Int(int64(g.below(3)))
	default:
		return g.expr(Type{Kind: KindText}, depth)
	}
}

// shown is a scalar that JSON can show: no NaN.
func (g *generator) shown(depth int) Expr {
	t := pick(g, scalars)
	if t.Kind == KindFloat {
		if g.below(2) == 0 {
			return g.arg(g.value(t))
		}
		return g.column(t)
	}
	return g.expr(t, depth)
}

// pair is two comparable expressions, mostly a column and an argument.
func (g *generator) pair() (l, r Expr) {
	t := pick(g, append([]Type{{Kind: KindJSONB}, {Kind: KindText, Array: true}}, scalars...))
	l = g.expr(t, 2)
	switch {
	case g.below(4) == 3 || t.Array:
		r = g.expr(t, 2)
	default:
		r = g.scalarArg(t)
	}
	if g.below(10) == 9 {
		return r, l
	}
	return l, r
}

func (g *generator) member() (of, set Expr) {
	if g.below(4) == 3 {
		t := pick(g, []Type{{Kind: KindText}, {Kind: KindUUID}, {Kind: KindInt}, enumType})
		return g.expr(t, 1), g.column(t.ArrayOf())
	}
	t := pick(g, scalars)
	return g.expr(t, 1), g.list(t)
}

func (g *generator) leaf() Predicate {
	text, document := Type{Kind: KindText}, Type{Kind: KindJSONB}
	switch g.below(18) {
	case 17:
		if g.below(10) > 0 {
			return Member{g.expr(document, 1), Apply(JSONElements, g.expr(document, 1))}
		}
		return Compare{pick(g, []Op{LT, LE, EQ}), Apply(SortKey, g.expr(document, 1)), Apply(SortKey, g.expr(document, 1))}
	case 0, 1, 2, 3:
		l, r := g.pair()
		return Compare{pick(g, []Op{EQ, NE, LT, LE, GT, GE, EQ, NE}), l, r}
	case 4:
		l, r := g.pair()
		return Distinct{l, r}
	case 5:
		l, r := g.pair()
		return Same{l, r}
	case 6:
		l, _ := g.pair()
		return Null{l}
	case 7, 8:
		of, set := g.member()
		return Member{of, set}
	case 9:
		t := pick(g, scalars)
		return Excluded{g.expr(t, 1), g.list(t)}
	case 10:
		return Holds{g.expr(Type{Kind: KindBool}, 0), g.below(2) == 0}
	case 11, 12:
		sub := g.scalarArg(text)
		if g.below(3) == 2 {
			sub = g.expr(text, 1)
		}
		return Match{g.expr(text, 2), sub, pick(g, []MatchKind{AtStart, AtEnd, Anywhere}), g.below(4) == 3}
	case 13:
		types := []string{pick(g, jsonTypes)}
		if g.below(2) == 1 {
			types = append(types, pick(g, jsonTypes))
		}
		return JSONTypeIs{g.expr(document, 2), types}
	case 14:
		return JSONContains{g.expr(document, 2), g.expr(document, 2)}
	case 15:
		return g.aggregate()
	default:
		return HasNull{g.column(Type{Kind: KindText, Array: true})}
	}
}

// few leaves come from a handful of columns and values, so that the rules that
// relate two terms fire.
func (g *generator) related() Predicate {
	col := pick(g, []Expr{
		columns[Type{Kind: KindText}][0], columns[Type{Kind: KindText}][1],
		columns[Type{Kind: KindInt}][0], columns[Type{Kind: KindFloat}][0], columns[Type{Kind: KindBool}][0],
	})
	t := TypeOf(col)
	few := map[Kind][]Literal{
		KindText:  {String("a"), String("b"), String("A")},
		KindInt:   {Int(0), Int(1), Int(404)},
		KindFloat: {Float(0), Float(math.Copysign(0, -1)), Float(math.NaN()), Float(1)},
		KindBool:  {Bool(true), Bool(false)},
	}[t.Kind]
	lit := pick(g, few)
	switch g.below(8) {
	case 0, 1:
		return Compare{pick(g, []Op{EQ, NE, LT, LE, GT, GE}), col, lit}
	case 2:
		return Null{col}
	case 3:
		return Distinct{col, lit}
	case 4:
		return Same{col, lit}
	case 5:
		if t.Kind == KindBool {
			return Holds{col, g.below(2) == 0}
		}
		return Member{col, ListOf(t, few[:g.below(3)+1])}
	case 6:
		if t.Kind == KindBool {
			return Holds{col, g.below(2) == 0}
		}
		return Excluded{col, ListOf(t, few[:g.below(3)])}
	default:
		other := columns[t][1]
		return Compare{pick(g, []Op{EQ, NE, LT}), col, other}
	}
}

// aggregate compares what is made of the elements of collections with a number or
// value.
func (g *generator) aggregate() Predicate {
	text, integer := Type{Kind: KindText}, Type{Kind: KindInt}
	fn := pick(g, []AggregateFn{Count, Count, Sum, Min, Max})
	of := make([]Yield, g.below(3))
	for i := range of {
		element := func(n int) Element { return Element{fmt.Sprintf("x%d", n), "value", "key", "position"} }
		over := ExistsElement{Of: g.column(text.ArrayOf()), Element: element(1)}
		value := Expr(over.ElementValue())
		from := []Loop{over}
		if fn == Sum {
			over = ExistsElement{Of: columns[integer.ArrayOf()][0], Element: element(1)}
			from, value = []Loop{over}, over.ElementValue()
			if g.below(2) == 0 {
				value = over.ElementKey()
			}
		}
		if g.below(3) == 2 {
			in := ExistsElement{Of: g.column(Type{Kind: KindJSONB}), Values: g.below(2) == 0, Element: element(2)}
			from = append(from, in)
			if fn == Count {
				value = in.ElementValue()
			}
		}
		where := And{NotNull(value)}
		if g.below(2) == 0 {
			where = append(where, g.related())
		}
		if fn != Sum && g.below(2) == 0 {
			where = append(where, Compare{pick(g, []Op{EQ, NE, LT}), over.ElementValue(), g.scalarArg(text)})
		}
		if g.below(6) == 5 {
			from, value = from[:g.below(len(from)+1)], g.expr(TypeOf(value), 0)
			where = And{g.related(), NotNull(value)}
		}
		of[i] = Yield{from, where, value}
	}
	a := Aggregate{fn, g.below(2) == 0, of}
	if a.nullable() {
		if len(of) == 0 {
			return False
		}
		return Compare{pick(g, []Op{EQ, LT, GE}), a, g.scalarArg(text)}
	}
	return Compare{pick(g, []Op{EQ, NE, LT, GT}), a, Int(int64(g.below(4)))}
}

// exists is about rows of child that belong to the row of t or to the child around,
// in which the columns of t may have no table.
func (g *generator) exists(depth int) Predicate {
	alias := pick(g, []string{"c", "Child ?", "child"})
	s := func(alias string) Column { return Column{alias, "s", Type{Kind: KindText}, false} }
	joins := []Predicate{Compare{EQ, Column{alias, "t_id", Type{Kind: KindInt}, false}, Column{"t", "id", Type{Kind: KindInt}, true}}}
	for _, outer := range g.around {
		if outer != alias {
			joins = append(joins, Eq(s(alias), s(outer)))
		}
	}
	where := pick(g, []Predicate{
		Eq(s(alias), String("a")), Not{Eq(s(alias), g.scalarArg(Type{Kind: KindText}))}, Null{s(alias)}, Holds{Column{alias, "b", Type{Kind: KindBool}, true}, true},
		Compare{NE, s(alias), columns[Type{Kind: KindText}][0]},
	})
	outerNames := g.around
	g.around = append(outerNames[:len(outerNames):len(outerNames)], alias)
	inner := g.predicate(depth)
	g.around = outerNames
	p := Exists{"child", alias, "", nil, false, pick(g, []Predicate{Or{where, inner}, And{where, inner}})}
	switch join := pick(g, joins); g.below(4) {
	case 0:
		p.Where = And{join, p.Where}
	case 1:
		p.From, p.On, p.One = "sole", joins[0], true
	default:
		p.On = join
	}
	if len(g.around) == 0 && g.below(2) == 0 {
		return unqualified(p)
	}
	return p
}

// unqualified has subqueries say the table of t's columns.
func unqualified(p Predicate) Predicate {
	all := func(terms []Predicate) []Predicate {
		out := make([]Predicate, len(terms))
		for i, t := range terms {
			out[i] = unqualified(t)
		}
		return out
	}
	switch p := p.(type) {
	case And:
		return And(all(p))
	case Or:
		return Or(all(p))
	case Not:
		return Not{unqualified(p.Of)}
	case Exists:
		p.Outer, p.Where = "t", unqualified(p.Where)
		if p.On != nil {
			p.On = unqualified(p.On)
		}
		return p
	default:
		return rewrite(p, func(e Expr) Expr {
			if c, ok := e.(Column); ok && c.Table == "t" {
				c.Table = ""
				return c
			}
			return e
		})
	}
}

// element is a condition on the elements of an array or of jsonb, which may be one on
// the elements of these.
func (g *generator) element(depth int) Predicate {
	g.elements++
	p := ExistsElement{Element: NewElement(fmt.Sprintf("elem%d", g.elements), func(string) bool { return false })}
	document := Type{Kind: KindJSONB}
	if g.below(3) == 0 {
		p.Of = g.column(pick(g, []Type{{Kind: KindText, Array: true}, {Kind: KindUUID, Array: true}, enumType.ArrayOf()}))
	} else {
		p.Of, p.Values = g.expr(document, 1), g.below(2) == 0
	}
	p.Where = g.ofElement(p, depth)
	return p
}

// ofElement is a condition that reads an element, or its key.
func (g *generator) ofElement(p ExistsElement, depth int) Predicate {
	value, key := p.ElementValue(), p.ElementKey()
	t := value.Type
	switch g.below(9) {
	case 0:
		return Not{g.ofElement(p, depth)}
	case 1:
		return And{g.ofElement(p, depth), g.ofElement(p, depth)}
	case 2:
		return Or{g.ofElement(p, depth), g.ofElement(p, depth)}
	case 3:
		return And{g.ofElement(p, depth), g.predicate(max(0, depth-1))}
	case 4: // with its key
		if t.Kind == KindJSONB {
			return Compare{pick(g, []Op{EQ, NE}), value, ToJSON{key}}
		}
		return Compare{pick(g, []Op{EQ, NE, LT, GE}), key, g.expr(TypeOf(key), 1)}
	case 5:
		return pick(g, []Predicate{Null{value}, NotNull(value), Distinct{value, g.scalarArg(t)}, Same{g.scalarArg(t), value}})
	case 6:
		if t.Kind != KindJSONB {
			return Member{value, g.list(t)}
		}
		if depth > 0 && g.below(2) == 0 { // of its elements
			g.elements++
			inner := ExistsElement{Of: value, Values: g.below(2) == 0, Element: NewElement(fmt.Sprintf("elem%d", g.elements), func(string) bool { return false })}
			inner.Where = pick(g, []Predicate{g.ofElement(inner, 0), Eq(inner.ElementValue(), ToJSON{key}), Compare{EQ, inner.ElementValue(), value}})
			return inner
		}
		return JSONTypeIs{value, []string{pick(g, jsonTypes)}}
	case 7:
		if t.Kind == KindJSONB {
			return pick(g, []Predicate{Eq(JSONString{value}, g.scalarArg(Type{Kind: KindText})), Eq(value, ToJSON{g.shown(1)}), JSONContains{value, g.scalarArg(t)}})
		}
		return Eq(value, g.expr(t, 1))
	default:
		return Compare{pick(g, []Op{EQ, EQ, NE}), value, g.scalarArg(t)}
	}
}

func (g *generator) predicate(depth int) Predicate {
	kinds := 3
	if depth > 0 {
		kinds = 11
	}
	switch g.below(kinds) {
	case 0:
		return g.leaf()
	case 1:
		return g.related()
	case 2:
		if g.below(6) == 5 {
			return Const(g.below(2) == 0)
		}
		return g.leaf()
	case 3, 4:
		return And(g.terms(depth))
	case 5, 6:
		return Or(g.terms(depth))
	case 7, 8:
		return Not{g.predicate(depth - 1)}
	case 9:
		return g.element(depth - 1)
	default:
		return g.exists(depth - 1)
	}
}

func (g *generator) terms(depth int) []Predicate {
	terms := make([]Predicate, g.below(5))
	for i := range terms {
		if i > 0 && g.below(6) == 5 { // again, or its opposite
			terms[i] = pick(g, []Predicate{terms[i-1], Not{terms[i-1]}})
			continue
		}
		terms[i] = g.predicate(depth - 1)
	}
	return terms
}
