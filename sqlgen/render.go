package sqlgen

import (
	"strconv"
	"strings"
)

// binder puts a literal or parameter into the text. The renderer has no other
// way to write a value, so that a value can't become SQL by mistake.
type binder interface {
	// typed asks for an argument that says its type, where nothing beside it does.
	bind(b *strings.Builder, arg Expr, typed bool)
}

// renderer writes a predicate as SQL text.
type renderer struct {
	strings.Builder
	binder binder
	outer  string   // what qualifies the columns without a table, inside a subquery
	tables []string // of a document: those around
}

// usualLength is that of most conditions, in bytes.
const usualLength = 128

func render(p Predicate, b binder) string {
	r := renderer{binder: b}
	r.Grow(usualLength)
	r.pred(p, looseOr)
	return r.String()
}

// How tightly the surroundings of a condition bind.
type tightness uint8

const (
	looseOr  tightness = iota // nothing around, or an OR
	looseAnd                  // within an AND
	tight                     // an operand of NOT or IS
)

func (r *renderer) pred(p Predicate, around tightness) {
	switch p := p.(type) {
	case Const:
		r.WriteString(strings.ToUpper(p.String()))
	case And:
		r.group(p, " AND ", "TRUE", looseAnd, around)
	case Or:
		r.group(p, " OR ", "FALSE", looseOr, around)
	case Not:
		r.not(p.Of, around)
	case Exists:
		r.exists(p)
	case ExistsElement:
		r.existsElement(p)
	default:
		if around == tight {
			r.WriteByte('(')
			r.leaf(p, false)
			r.WriteByte(')')
			return
		}
		r.leaf(p, false)
	}
}

func (r *renderer) group(terms []Predicate, sep, empty string, own, around tightness) {
	switch len(terms) {
	case 0:
		r.WriteString(empty)
		return
	case 1:
		r.pred(terms[0], around)
		return
	}
	parens := around > own
	if parens {
		r.WriteByte('(')
	}
	for i, t := range terms {
		if i > 0 {
			r.WriteString(sep)
		}
		r.pred(t, own)
	}
	if parens {
		r.WriteByte(')')
	}
}

// not writes "is not true" in SQL. A leaf that is never NULL takes the short
// form; anything else says IS NOT TRUE.
func (r *renderer) not(p Predicate, around tightness) {
	switch p := p.(type) {
	case Const:
		r.pred(!p, around)
		return
	case Exists, ExistsElement:
		r.WriteString("NOT ")
		r.pred(p, looseOr)
		return
	case Null, Match, Holds:
		if _, isNull := p.(Null); isNull || !nullable(p) {
			r.leaf(p, true)
			return
		}
	}
	if !nullable(p) {
		r.WriteString("NOT ")
		r.pred(p, tight)
		return
	}
	r.pred(p, tight)
	r.WriteString(" IS NOT TRUE")
}

// nullable reports whether the SQL of p can be NULL.
func nullable(p Predicate) bool {
	switch p := p.(type) {
	case Const, Null, Distinct, Same, Exists, ExistsElement, Not, HasNull:
		return false
	case And:
		return anyNullable(p)
	case Or:
		return anyNullable(p)
	case Member:
		if _, column := p.Set.(Literal); !column {
			if _, param := p.Set.(Param); !param {
				return true // an array column may hold NULLs
			}
		}
	}
	for _, e := range operands(p) {
		if Nullable(e) {
			return true
		}
	}
	return false
}

func anyNullable(ps []Predicate) bool {
	for _, p := range ps {
		if nullable(p) {
			return true
		}
	}
	return false
}

// leaf writes a leaf; negated is asked only of those that have a negated form.
func (r *renderer) leaf(p Predicate, negated bool) {
	not := ""
	if negated {
		not = "NOT "
	}
	switch p := p.(type) {
	case Compare:
		r.compare(p)
	case Distinct:
		r.binary(p.L, " IS DISTINCT FROM ", p.R)
	case Same:
		r.binary(p.L, " IS NOT DISTINCT FROM ", p.R)
	case Null:
		r.typed(p.Of)
		r.WriteString(" IS " + not + "NULL")
	case Member:
		r.anyAll(p.Of, " = ANY(", p.Set)
	case Excluded:
		if l, ok := p.Set.(Literal); ok && l.Len() == 0 {
			r.leaf(Null{p.Of}, true)
			return
		}
		r.anyAll(p.Of, " <> ALL(", p.Set)
		if _, param := p.Set.(Param); param && Nullable(p.Of) { // it may be empty, and NULL <> ALL('{}') is true
			r.WriteString(" AND ")
			r.leaf(Null{p.Of}, true)
		}
	case Holds:
		if p.Want != negated {
			r.expr(p.Of)
			return
		}
		r.WriteString("NOT ")
		r.operand(p.Of)
	case Match:
		r.match(p, not)
	case JSONTypeIs:
		r.WriteString("jsonb_typeof(")
		r.inner(p.Of)
		if len(p.Types) == 1 {
			r.WriteString(") = '" + p.Types[0] + "'")
			return
		}
		r.WriteString(") IN ('" + strings.Join(p.Types, "', '") + "')")
	case JSONContains:
		r.binary(p.L, " @> ", p.R)
	case HasNull:
		r.WriteString("array_position(")
		r.expr(p.Of)
		r.WriteString(", NULL) IS NOT NULL")
	}
}

func (r *renderer) binary(l Expr, op string, right Expr) {
	r.left(l, right)
	if textColumns(l, right) {
		r.WriteString(byBytes)
	}
	r.WriteString(op)
	r.right(l, right)
}

// left writes an operand whose type PostgreSQL infers from the one on the right.
func (r *renderer) left(l, right Expr) {
	if isArg(right) || narrower(right, l) || ambiguous(l, right) {
		r.typed(l)
		return
	}
	r.operand(l)
}

// ambiguous reports whether an integer argument stands before what may have the same
// argument inside: PostgreSQL takes that for an integer of a size of its own.
func ambiguous(arg, right Expr) bool {
	_, column := right.(Column)
	return isArg(arg) && TypeOf(arg).Kind == KindInt && !column
}

// right writes an operand whose type PostgreSQL infers from the one on the left.
func (r *renderer) right(left, e Expr) {
	if narrower(left, e) {
		r.typed(e)
		return
	}
	r.operand(e)
}

// narrower reports whether an integer stands beside a numeric argument, which
// PostgreSQL would take for an integer, too.
func narrower(beside, arg Expr) bool {
	return isArg(arg) && TypeOf(arg).Kind == KindNumeric && TypeOf(beside).Kind == KindInt
}

func (r *renderer) anyAll(of Expr, op string, set Expr) {
	r.left(of, set)
	if textColumns(of, set) {
		r.WriteString(byBytes)
	}
	r.WriteString(op)
	if isArg(of) || narrower(of, set) {
		r.typed(set)
	} else {
		r.expr(set)
	}
	r.WriteByte(')')
}

func (r *renderer) compare(p Compare) {
	byteOrder := p.Op != EQ && p.Op != NE && TypeOf(p.L).Kind == KindText
	r.left(p.L, p.R)
	if byteOrder || textColumns(p.L, p.R) {
		r.WriteString(byBytes)
	}
	r.WriteString(" " + p.Op.String() + " ")
	r.right(p.L, p.R)
}

const byBytes = ` COLLATE "C"`

// textColumns reports whether two texts meet that are made of columns whose collations
// may differ: PostgreSQL would not know by which to compare.
func textColumns(a, b Expr) bool {
	return collated(a) && collated(b) && !sameExpr(a, b)
}

// match writes LIKE where the text looked for is known, because that can use an
// index, and a function where it is not.
func (r *renderer) match(p Match, not string) {
	sub, known := p.Sub.(Literal)
	if known {
		pattern := escapeLike(sub.Value.(string))
		if p.Kind != AtStart {
			pattern = "%" + pattern
		}
		if p.Kind != AtEnd {
			pattern += "%"
		}
		op := "LIKE "
		if p.Fold {
			op = "ILIKE "
		}
		r.operand(p.Of)
		r.WriteString(" " + not + op)
		r.expr(String(pattern))
		return
	}
	of, subText := func() { r.expr(p.Of) }, func() { r.expr(p.Sub) }
	if textColumns(p.Of, p.Sub) {
		of = func() { r.expr(p.Of); r.WriteString(byBytes) }
	}
	if p.Fold {
		of, subText = r.lowered(p.Of), r.lowered(p.Sub)
	}
	if not != "" {
		r.WriteString("NOT ")
	}
	switch p.Kind {
	case AtStart:
		r.call("starts_with", of, subText)
	case AtEnd:
		if not != "" {
			r.WriteByte('(')
		}
		r.call("right", of, func() { r.call("length", subText) })
		r.WriteString(" = ")
		subText()
		if not != "" {
			r.WriteByte(')')
		}
	case Anywhere:
		if not != "" {
			r.WriteByte('(')
		}
		r.call("strpos", of, subText)
		r.WriteString(" > 0")
		if not != "" {
			r.WriteByte(')')
		}
	}
}

func (r *renderer) lowered(e Expr) func() {
	return func() { r.call("lower", func() { r.expr(e) }) }
}

func (r *renderer) call(name string, args ...func()) {
	r.WriteString(name)
	r.WriteByte('(')
	for i, arg := range args {
		if i > 0 {
			r.WriteString(", ")
		}
		arg()
	}
	r.WriteByte(')')
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func escapeLike(s string) string { return likeEscaper.Replace(s) }

// operand writes an expression as an operand: in parentheses where an operator
// of its own would run into the one beside it.
func (r *renderer) operand(e Expr) {
	if open(e) {
		r.WriteByte('(')
		r.expr(e)
		r.WriteByte(')')
		return
	}
	r.expr(e)
}

// open reports whether e is written with an operator.
func open(e Expr) bool {
	switch e := e.(type) {
	case JSONGet, JSONString:
		return true
	case Call:
		return e.open()
	case Text:
		return TypeOf(e.Of) == Type{Kind: KindText} && open(e.Of)
	default:
		return false
	}
}

// typed writes an operand at a place that says nothing of its type.
func (r *renderer) typed(e Expr) {
	if isArg(e) {
		r.binder.bind(&r.Builder, e, true)
		return
	}
	r.operand(e)
}

func isArg(e Expr) bool {
	switch e.(type) {
	case Literal, Param:
		return true
	default:
		return false
	}
}

func (r *renderer) expr(e Expr) {
	switch e := e.(type) {
	case Column:
		if e.Table == "" {
			e.Table = r.outer
		}
		if e.Table != "" {
			r.WriteString(quoteName(e.Table))
			r.WriteByte('.')
		}
		r.WriteString(quoteName(e.Name))
	case Literal, Param:
		r.binder.bind(&r.Builder, e, false)
	case Text:
		r.text(e.Of)
	case ToJSON:
		r.WriteString("to_jsonb(")
		r.shown(e.Of)
		r.WriteByte(')')
	case JSONArray:
		r.WriteString("jsonb_build_array(")
		r.shown(e.Of)
		r.WriteByte(')')
	case ToNumeric:
		r.numeric(e.Of)
	case JSONGet:
		r.inner(e.Of)
		r.WriteString(" -> ")
		r.operand(e.Key)
		_, known := e.Key.(Literal)
		if _, written := r.binder.(inline); !(written && known) && TypeOf(e.Key).Kind == KindInt {
			r.WriteString("::int") // an argument alone would be taken for a key
		}
	case JSONValues:
		r.WriteString("jsonb_path_query_array(")
		r.expr(e.Of)
		r.WriteString(", 'strict $.*', '{}', true)")
	case JSONString:
		r.inner(e.Of)
		r.WriteString(" #>> '{}'")
	case Length:
		r.length(e)
	case ArrayGet:
		r.arrayGet(e)
	case Call:
		r.apply(e)
	case Aggregate:
		r.aggregate(e)
	case JSONBuild:
		r.build(e)
	case ZeroBased:
		r.WriteByte('(')
		r.expr(e.Of)
		r.WriteString(" - 1)")
	}
}

// inner writes an expression where operators in it do no harm, but nothing says
// its type.
func (r *renderer) inner(e Expr) {
	if isArg(e) {
		r.typed(e)
		return
	}
	r.expr(e)
}

// shown writes a value so that its jsonb is what the row document shows.
func (r *renderer) shown(e Expr) {
	t := TypeOf(e)
	switch t.Kind {
	case KindBool, KindInt, KindFloat, KindNumeric, KindJSONB:
		r.inner(e)
	default:
		if t.Array {
			r.inner(e)
			return
		}
		r.text(e)
	}
}

func (r *renderer) text(e Expr) {
	t := TypeOf(e)
	switch {
	case t.Array:
		r.typed(e)
		r.WriteString("::text[]")
	case t.Kind == KindText:
		r.inner(e)
	case t.Kind == KindTimestamptz:
		r.WriteString("(rtrim(rtrim(to_char(")
		r.typed(e)
		r.WriteString(` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z')`)
	case t.Kind == KindDate:
		r.WriteString("to_char(")
		r.typed(e)
		r.WriteString(", 'YYYY-MM-DD')")
	case t.Kind == KindInet:
		r.WriteString("abbrev(")
		r.typed(e)
		r.WriteByte(')')
	default:
		r.typed(e)
		r.WriteString("::text")
	}
}

func (r *renderer) numeric(e Expr) {
	switch t := TypeOf(e); t.Kind {
	case KindNumeric:
		r.inner(e)
	case KindFloat: // a direct cast keeps 15 digits only
		r.typed(e)
		r.WriteString("::text::numeric")
	case KindTimestamptz:
		r.WriteString("(extract(epoch FROM ")
		r.typed(e)
		r.WriteString(") * 1000000000)")
	default:
		r.typed(e)
		r.WriteString("::numeric")
	}
}

// castSuffix is the cast that an argument of the type needs at its place.
func castSuffix(arg Expr, typed bool) string {
	switch a := arg.(type) {
	case Literal:
		switch {
		case a.Type.Kind == KindEnum && a.Type.Array:
			return "::text[]::" + a.Type.sql() // drivers don't know an enum's array
		case a.needsCast():
			return "::" + a.Type.sql()
		}
	case Param:
		if a.Type.Kind == KindInt {
			return "::" + a.Type.sql()
		}
	}
	if typed {
		return "::" + TypeOf(arg).sql()
	}
	return ""
}

// placeholder stands for ? until those of names are doubled. No name has a NUL.
const placeholder = "\x00"

// question writes placeholders for query builders that number them themselves.
type question struct{ args []any }

func (q *question) bind(b *strings.Builder, arg Expr, typed bool) {
	q.args = append(q.args, argValue(arg))
	b.WriteString(placeholder)
	b.WriteString(castSuffix(arg, typed))
}

// named writes @prefix1, as pgx.NamedArgs takes it.
type named struct {
	prefix string
	args   map[string]any
	seen   map[string]string
}

func (n *named) bind(b *strings.Builder, arg Expr, typed bool) {
	key := argKey(arg)
	name, ok := n.seen[key]
	if !ok {
		name = n.prefix + strconv.Itoa(len(n.args)+1)
		n.args[name] = argValue(arg)
		n.seen[key] = name
	}
	b.WriteByte('@')
	b.WriteString(name)
	b.WriteString(castSuffix(arg, typed))
}

func argValue(arg Expr) any {
	l, ok := arg.(Literal)
	if !ok {
		return arg
	}
	if l.Value == 0.0 { // -0, too, which is the same to PostgreSQL
		return 0.0
	}
	return l.Value
}

func argKey(arg Expr) string {
	if l, ok := arg.(Literal); ok {
		return l.String()
	}
	return "@" + arg.(Param).Name
}
