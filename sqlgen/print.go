package sqlgen

import (
	"fmt"
	"strconv"
	"strings"
)

// String prints a predicate in the form that golden files and explain show. It is
// one line, and two predicates that print alike are the same.
func (p Const) String() string        { return printed(p) }
func (p And) String() string          { return printed(p) }
func (p Or) String() string           { return printed(p) }
func (p Not) String() string          { return printed(p) }
func (p Compare) String() string      { return printed(p) }
func (p Distinct) String() string     { return printed(p) }
func (p Same) String() string         { return printed(p) }
func (p Null) String() string         { return printed(p) }
func (p Member) String() string       { return printed(p) }
func (p Excluded) String() string     { return printed(p) }
func (p Holds) String() string        { return printed(p) }
func (p Match) String() string        { return printed(p) }
func (p JSONTypeIs) String() string   { return printed(p) }
func (p JSONContains) String() string { return printed(p) }
func (p HasNull) String() string      { return printed(p) }

func printed(p Predicate) string { return string(appendPredicate(nil, p)) }

// String prints an expression: a column by its name, a parameter with @ before it,
// a literal with its type ("a":text, 3:int, ["x" "y"]:text[]).
func (e Column) String() string     { return printedExpr(e) }
func (e Param) String() string      { return printedExpr(e) }
func (l Literal) String() string    { return printedExpr(l) }
func (e Text) String() string       { return printedExpr(e) }
func (e ToJSON) String() string     { return printedExpr(e) }
func (e ToNumeric) String() string  { return printedExpr(e) }
func (e JSONGet) String() string    { return printedExpr(e) }
func (e JSONValues) String() string { return printedExpr(e) }
func (e JSONArray) String() string  { return printedExpr(e) }
func (e JSONString) String() string { return printedExpr(e) }

func printedExpr(e Expr) string { return string(appendExpr(nil, e)) }

var matchNames = [...]string{AtStart: "prefix", AtEnd: "suffix", Anywhere: "substring"}

// nodeName is what a predicate's print begins with.
func nodeName(p Predicate) string {
	switch p := p.(type) {
	case And:
		return "and"
	case Or:
		return "or"
	case Not:
		return "not"
	case Compare:
		return p.Op.String()
	case Distinct:
		return "distinct"
	case Same:
		return "same"
	case Null:
		return "null"
	case Member:
		return "member"
	case Excluded:
		return "excluded"
	case Holds:
		return strconv.FormatBool(p.Want)
	case Match:
		if p.Fold {
			return matchNames[p.Kind] + "-fold"
		}
		return matchNames[p.Kind]
	case JSONTypeIs:
		return "jsontype " + strings.Join(p.Types, "|")
	case JSONContains:
		return "contains"
	case HasNull:
		return "hasnull"
	case Exists:
		if p.One {
			return "exists-one " + p.From + " " + p.Alias
		}
		return "exists " + p.From + " " + p.Alias
	case ExistsElement:
		if p.Values {
			return "exists-value " + p.Element.Table
		}
		return "exists-element " + p.Element.Table
	default:
		return ""
	}
}

// appendPredicate is the printer behind String. It is also the simplifier's measure
// of sameness, and so has to be quick.
func appendPredicate(b []byte, p Predicate) []byte {
	if c, ok := p.(Const); ok {
		return strconv.AppendBool(b, bool(c))
	}
	b = append(append(b, '('), nodeName(p)...)
	switch p := p.(type) {
	case And:
		b = appendAll(b, p)
	case Or:
		b = appendAll(b, p)
	case Not:
		b = appendPredicate(append(b, ' '), p.Of)
	case Exists:
		if p.On != nil {
			b = appendPredicate(append(b, ' '), p.On)
		}
		b = appendPredicate(append(b, ' '), p.Where)
	case ExistsElement:
		b = appendExpr(append(b, ' '), p.Of)
		b = appendPredicate(append(b, ' '), p.Where)
	case Compare: // the commonest leaves, without a slice for their operands
		b = appendExpr(append(b, ' '), p.L)
		b = appendExpr(append(b, ' '), p.R)
	case Null:
		b = appendExpr(append(b, ' '), p.Of)
	default:
		for _, e := range operands(p) {
			b = appendExpr(append(b, ' '), e)
		}
	}
	return append(b, ')')
}

func appendAll(b []byte, terms []Predicate) []byte {
	for _, t := range terms {
		b = appendPredicate(append(b, ' '), t)
	}
	return b
}

func appendExpr(b []byte, e Expr) []byte {
	name := ""
	switch e := e.(type) {
	case Column:
		if e.Table != "" {
			b = append(append(b, quoteName(e.Table)...), '.')
		}
		return append(b, quoteName(e.Name)...)
	case Param:
		return append(append(b, '@'), e.Name...)
	case Literal:
		return e.appendTo(b)
	case Text:
		name = "(text "
	case ToJSON:
		name = "(json "
	case ToNumeric:
		name = "(numeric "
	case JSONGet:
		b = appendExpr(append(b, "(get "...), e.Of)
		b = appendExpr(append(b, ' '), e.Key)
		return append(b, ')')
	case JSONValues:
		name = "(values "
	case JSONArray:
		name = "(array "
	case JSONString:
		name = "(string "
	case ZeroBased:
		name = "(zero-based "
	case Length:
		name = "(length "
	case ArrayGet:
		name = "(element " + strconv.FormatInt(e.Index, 10) + " "
	case Call:
		return e.appendTo(b)
	case Aggregate:
		return e.appendTo(b)
	case JSONBuild:
		return e.appendTo(b)
	}
	b = appendExpr(append(b, name...), operand(e))
	return append(b, ')')
}

func (l Literal) appendTo(b []byte) []byte {
	switch {
	case l.mark != nil:
		b = append(append(append(b, '['), l.mark.of(l)...), ']')
	case l.Type.Array:
		b = append(l.appendElems(append(b, '[')), ']')
	default:
		b = l.appendBare(b)
	}
	return append(append(b, ':'), l.Type.String()...)
}

func (l Literal) appendElems(b []byte) []byte {
	for i, e := range l.Elems() {
		if i > 0 {
			b = append(b, ' ')
		}
		b = e.appendBare(b)
	}
	return b
}

func (l Literal) appendBare(b []byte) []byte {
	if l.Type.Numeric() || l.Type.Kind == KindBool {
		return append(b, l.plain()...)
	}
	return strconv.AppendQuote(b, l.plain())
}

func (l Literal) bare() string { return string(l.appendBare(nil)) }

// Indent prints a predicate as a tree, a leaf a line.
func Indent(p Predicate) string {
	var b strings.Builder
	indent(&b, p, "")
	return strings.TrimSuffix(b.String(), "\n")
}

func indent(b *strings.Builder, p Predicate, margin string) {
	branch := func(name string, terms []Predicate) {
		fmt.Fprintf(b, "%s%s\n", margin, name)
		for _, t := range terms {
			indent(b, t, margin+"  ")
		}
	}
	switch p := p.(type) {
	case And:
		branch("and", p)
	case Or:
		branch("or", p)
	case Not:
		switch p.Of.(type) {
		case And, Or, Not, Exists, ExistsElement:
			branch("not", []Predicate{p.Of})
		default:
			fmt.Fprintf(b, "%s%v\n", margin, p)
		}
	case Exists:
		branch(nodeName(p), []Predicate{p.condition()})
	case ExistsElement:
		branch(nodeName(p)+" "+printedExpr(p.Of), []Predicate{p.Where})
	default:
		fmt.Fprintf(b, "%s%v\n", margin, p)
	}
}
