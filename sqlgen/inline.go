package sqlgen

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// inline writes literals out, quoted, for people and for DDL.
type inline struct {
	param func(Param) string // the SQL of a parameter; nil for psql's variables
}

func (in inline) bind(b *strings.Builder, arg Expr, typed bool) {
	p, ok := arg.(Param)
	switch {
	case ok && in.param != nil:
		b.WriteString(in.param(p))
		return
	case ok:
		b.WriteString(`:'` + strings.ReplaceAll(p.Name, `'`, `''`) + `'`) // psql's variable, quoted as a value
		return
	}
	l := arg.(Literal)
	if l.Type.Array {
		quoteString(b, arrayText(l))
		b.WriteString("::" + l.Type.sql())
		return
	}
	switch l.Type.Kind {
	case KindBool:
		b.WriteString(strings.ToUpper(l.plain()))
	case KindInt:
		negative(b, l.plain())
	case KindNumeric:
		if decimal.MatchString(l.plain()) {
			negative(b, l.plain())
			return
		}
		quoteString(b, l.plain()) // NaN
		b.WriteString("::numeric")
	case KindFloat: // a bare decimal constant would be numeric
		quoteString(b, l.plain())
		b.WriteString("::double precision")
	case KindText:
		quoteString(b, l.plain())
		if typed {
			b.WriteString("::text")
		}
	default:
		quoteString(b, l.plain())
		b.WriteString("::" + l.Type.sql())
	}
}

// Written is a condition as [Filter.Inline] writes it, and in the place of each
// parameter the SQL that param says: an expression of the parameter's type that needs no
// parentheses of its own.
func Written(p Predicate, param func(Param) string) string {
	return render(p, inline{param: param})
}

// Text is the literal as its type's input in PostgreSQL reads it, such as {"a","b"} for
// an array.
func (l Literal) Text() string {
	if l.Type.Array {
		return arrayText(l)
	}
	return l.plain()
}

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// negative keeps a minus sign from running into an operator or a cast.
func negative(b *strings.Builder, number string) {
	if strings.HasPrefix(number, "-") {
		b.WriteString("(" + number + ")")
		return
	}
	b.WriteString(number)
}

// ArgText is an argument of [Filter.SQL] for drivers that can't pass a slice: an array
// is its text, which PostgreSQL reads as the type that it expects there.
func ArgText(arg any) (any, error) {
	lit := Literal{Value: arg}
	switch arg := arg.(type) {
	case []uuid.UUID:
		lit.Type = Type{Kind: KindUUID}
	case []string:
		lit.Type = Type{Kind: KindText}
	case []bool:
		lit.Type = Type{Kind: KindBool}
	case []int64:
		lit.Type = Type{Kind: KindInt}
	case []float64:
		lit.Type = Type{Kind: KindFloat}
	case []time.Time:
		lit.Type = Type{Kind: KindTimestamptz}
	case Param:
		return nil, fmt.Errorf("parameter %s has no value: bind it before the query runs", arg.Name)
	default:
		return arg, nil
	}
	lit.Type.Array = true
	return arrayText(lit), nil
}

// arrayText is an array literal in PostgreSQL's text form.
func arrayText(l Literal) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, e := range l.Elems() {
		if i > 0 {
			b.WriteByte(',')
		}
		s := e.plain()
		if l.Type.Kind == KindUUID || l.Type.Elem().Numeric() || l.Type.Kind == KindBool {
			b.WriteString(s)
			continue
		}
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}
