package sqlgen

import (
	"fmt"
	"strconv"
	"strings"
)

// String prints a predicate in the canonical form that golden files and explain
// show. It is one line, and two predicates that print alike are the same.
func (p Const) String() string        { return strconv.FormatBool(bool(p)) }
func (p And) String() string          { return group("and", p) }
func (p Or) String() string           { return group("or", p) }
func (p Not) String() string          { return fmt.Sprintf("(not %v)", p.Of) }
func (p Compare) String() string      { return fmt.Sprintf("(%v %v %v)", p.Op, p.L, p.R) }
func (p Distinct) String() string     { return fmt.Sprintf("(distinct %v %v)", p.L, p.R) }
func (p Same) String() string         { return fmt.Sprintf("(same %v %v)", p.L, p.R) }
func (p Null) String() string         { return fmt.Sprintf("(null %v)", p.Of) }
func (p Member) String() string       { return fmt.Sprintf("(member %v %v)", p.Of, p.Set) }
func (p Excluded) String() string     { return fmt.Sprintf("(excluded %v %v)", p.Of, p.Set) }
func (p JSONContains) String() string { return fmt.Sprintf("(contains %v %v)", p.L, p.R) }
func (p JSONTypeIs) String() string {
	return fmt.Sprintf("(jsontype %v %s)", p.Of, strings.Join(p.Types, "|"))
}

func (p Holds) String() string {
	if p.Want {
		return fmt.Sprintf("(true %v)", p.Of)
	}
	return fmt.Sprintf("(false %v)", p.Of)
}

func (p Match) String() string {
	name := [...]string{AtStart: "prefix", AtEnd: "suffix", Anywhere: "substring"}[p.Kind]
	if p.Fold {
		name += "-fold"
	}
	return fmt.Sprintf("(%s %v %v)", name, p.Of, p.Sub)
}

func (p Exists) String() string {
	return fmt.Sprintf("(exists %s %s %v)", p.From, p.Alias, p.Where)
}

func group(name string, terms []Predicate) string {
	var b strings.Builder
	b.WriteByte('(')
	b.WriteString(name)
	for _, t := range terms {
		fmt.Fprintf(&b, " %v", t)
	}
	b.WriteByte(')')
	return b.String()
}

// String prints an expression for golden files and explain.
func (e Column) String() string {
	if e.Table != "" {
		return e.Table + "." + e.Name
	}
	return e.Name
}
func (e Param) String() string      { return "@" + e.Name }
func (e Text) String() string       { return fmt.Sprintf("(text %v)", e.Of) }
func (e ToJSON) String() string     { return fmt.Sprintf("(json %v)", e.Of) }
func (e ToNumeric) String() string  { return fmt.Sprintf("(numeric %v)", e.Of) }
func (e JSONGet) String() string    { return fmt.Sprintf("(get %v %v)", e.Of, e.Key) }
func (e JSONValues) String() string { return fmt.Sprintf("(values %v)", e.Of) }
func (e JSONArray) String() string  { return fmt.Sprintf("(array %v)", e.Of) }
func (p HasNull) String() string    { return fmt.Sprintf("(hasnull %v)", p.Of) }
func (e JSONString) String() string { return fmt.Sprintf("(string %v)", e.Of) }

// String prints a literal with its type: 'a':text, 3:int, ['x' 'y']:text[].
func (l Literal) String() string {
	if l.Type.Array {
		var b strings.Builder
		b.WriteByte('[')
		for i, e := range l.Elems() {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(e.bare())
		}
		fmt.Fprintf(&b, "]:%v", l.Type)
		return b.String()
	}
	return l.bare() + ":" + l.Type.String()
}

func (l Literal) bare() string {
	if l.Type.Numeric() || l.Type.Kind == KindBool {
		return l.plain()
	}
	return strconv.Quote(l.plain())
}

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
		case And, Or, Not, Exists:
			branch("not", []Predicate{p.Of})
		default:
			fmt.Fprintf(b, "%s%v\n", margin, p)
		}
	case Exists:
		branch(fmt.Sprintf("exists %s %s", p.From, p.Alias), []Predicate{p.Where})
	default:
		fmt.Fprintf(b, "%s%v\n", margin, p)
	}
}
