package sqlgen

import (
	"regexp"
	"strings"
)

// inline writes literals out, quoted, for people and for DDL.
type inline struct{}

func (inline) bind(b *strings.Builder, arg Expr, typed bool) {
	p, ok := arg.(Param)
	if ok {
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

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// negative keeps a minus sign from running into an operator or a cast.
func negative(b *strings.Builder, number string) {
	if strings.HasPrefix(number, "-") {
		b.WriteString("(" + number + ")")
		return
	}
	b.WriteString(number)
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
