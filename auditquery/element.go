package auditquery

import "strings"

// An element is what stands between the spaces of a query.
type element struct {
	text     string   // as it was written
	at       int      // the byte of the query that it starts at
	exclude  bool     // it starts with -
	parts    []string // what the colons separate, without quotes
	quoted   bool     // there are quotes in it
	unclosed bool     // the last quote is not closed
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// elements splits a query. Spaces, quotes and colons are ASCII, so bytes will do.
func elements(q string) []element {
	var out []element
	for i := 0; i < len(q); {
		if isSpace(q[i]) {
			i++
			continue
		}
		e := scan(q[i:])
		e.at = i
		out = append(out, e)
		i += len(e.text)
	}
	return out
}

// scan reads the element at the start of q.
func scan(q string) element {
	var e element
	var part strings.Builder
	i := 0
	if q[0] == '-' {
		e.exclude = true
		i++
	}
	inQuotes := false
scan:
	for ; i < len(q); i++ {
		switch c := q[i]; {
		case c == '"' && inQuotes && i+1 < len(q) && q[i+1] == '"':
			part.WriteByte(c)
			i++
		case c == '"':
			inQuotes = !inQuotes
			e.quoted = true
		case inQuotes:
			part.WriteByte(c)
		case isSpace(c):
			break scan
		case c == ':':
			e.parts = append(e.parts, part.String())
			part.Reset()
		default:
			part.WriteByte(c)
		}
	}
	e.text = q[:i]
	e.parts = append(e.parts, part.String())
	e.unclosed = inQuotes
	return e
}

// quote writes a value so that scan reads it back as one part.
func quote(s string, always bool) string {
	if s != "" && !always && !strings.ContainsAny(s, " \t\n\r:\"") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
