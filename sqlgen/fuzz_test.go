package sqlgen

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParseType(f *testing.F) {
	for _, s := range []string{
		"uuid", "text", "bool", "int", "float", "numeric", "timestamptz", "date", "inet", "jsonb", "enum(mood)",
		"uuid[]", "enum(app.Mood)[]", "jsonb[]", "enum()", "enum(", "enum(a", "enum(a))", "[]", "", "uuid[][]", "varchar",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := ParseType(s)
		if err != nil {
			if typ != (Type{}) || !strings.Contains(err.Error(), "type") {
				t.Fatalf("%q: %v, %v", s, typ, err)
			}
			return
		}
		if typ.String() != s {
			t.Fatalf("%q prints as %q", s, typ)
		}
		if typ.sql() == "" || typ.ArrayOf().Elem() != typ.Elem() {
			t.Fatalf("%q: %#v", s, typ)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{
		"a", "A", "order", "a.b", "audit.Logs", "a b", "", ".", "a.", `a"b`, "a'b", "a;b", "größe", "a\x00", "a?", "\xff", strings.Repeat("a", 64),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) != nil {
			return
		}
		if got := unquoteName(t, quoteName(s)); got != s {
			t.Fatalf("%q is rendered as %s, which names %q", s, quoteName(s), got)
		}
	})
}

// unquoteName reads a qualified name as PostgreSQL does.
func unquoteName(t *testing.T, s string) string {
	var name strings.Builder
	for s != "" {
		quoted, ok := strings.CutPrefix(s, `"`)
		if ok {
			part, rest, closed := strings.Cut(quoted, `"`)
			if !closed || strings.HasPrefix(rest, `"`) {
				t.Fatalf("an open quote, or one inside: %q", s)
			}
			name.WriteString(part)
			s = rest
		} else {
			n := strings.IndexFunc(s, func(r rune) bool { return r == '.' || r == '"' })
			if n < 0 {
				n = len(s)
			}
			part := s[:n]
			if part == "" || part != strings.ToLower(part) || keywords[part] || part[0] >= '0' && part[0] <= '9' ||
				strings.ContainsFunc(part, func(r rune) bool {
					return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
				}) {
				t.Fatalf("%q should be quoted", part)
			}
			name.WriteString(part)
			s = s[n:]
		}
		if s != "" {
			if s[0] != '.' || len(s) == 1 {
				t.Fatalf("text after a name: %q", s)
			}
			name.WriteByte('.')
			s = s[1:]
		}
	}
	return name.String()
}

// FuzzQuoteString reads a string constant back as PostgreSQL does with
// standard_conforming_strings on and off.
func FuzzQuoteString(f *testing.F) {
	for _, s := range append(textPool, `\'`, `'\`, `\x41`, `\u0041`, "\xff'", `E'`, "\\\n'") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b strings.Builder
		quoteString(&b, s)
		for _, conforming := range []bool{true, false} {
			if got := unquoteString(t, b.String(), conforming); got != s {
				t.Fatalf("%q is quoted as %s, which is %q", s, b.String(), got)
			}
		}
		if !utf8.ValidString(s) {
			return // PostgreSQL takes none
		}
		elems := []Literal{String(s), String("x"), String(s + ",")}
		l := ListOf(Type{Kind: KindText}, elems)
		if got := parseArray(t, arrayText(l)); strings.Join(got, "\x00") != strings.Join(l.Value.([]string), "\x00") {
			t.Fatalf("%q is written as %s, which is %q", l.Value, arrayText(l), got)
		}
	})
}

func unquoteString(t *testing.T, s string, conforming bool) string {
	escapes := !conforming
	if rest, ok := strings.CutPrefix(s, "E"); ok {
		s, escapes = rest, true
	}
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' {
		t.Fatalf("no string constant: %s", s)
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\'':
			if i++; i == len(s) || s[i] != '\'' {
				t.Fatalf("the string ends early: %s", s)
			}
		case s[i] == '\\' && escapes:
			i++
			if i == len(s) || !strings.ContainsRune(`\nr`, rune(s[i])) {
				t.Fatalf("an escape: %s", s)
			}
			if s[i] != '\\' {
				b.WriteByte(map[byte]byte{'n': '\n', 'r': '\r'}[s[i]])
				continue
			}
		case s[i] == '\n', s[i] == '\r':
			t.Fatalf("more than one line: %s", s)
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parseArray reads {"…","…"}.
func parseArray(t *testing.T, s string) []string {
	inner, ok := strings.CutPrefix(s, "{")
	inner, ok2 := strings.CutSuffix(inner, "}")
	if !ok || !ok2 {
		t.Fatalf("no array: %s", s)
	}
	var out []string
	for inner != "" {
		if inner[0] != '"' {
			t.Fatalf("an element without quotes: %s", inner)
		}
		var b strings.Builder
		i := 1
		for ; i < len(inner) && inner[i] != '"'; i++ {
			if inner[i] == '\\' {
				i++
			}
			b.WriteByte(inner[i])
		}
		if i == len(inner) {
			t.Fatalf("an open quote: %s", inner)
		}
		out = append(out, b.String())
		inner = strings.TrimPrefix(inner[i+1:], ",")
	}
	return out
}
