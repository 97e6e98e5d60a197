package auditquery

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Problem is one thing wrong with a query, and where. Offset and Length count
// bytes of the query as it was given, in UTF-8 and not runes: the problem is with
// q[Offset:Offset+Length].
type Problem struct {
	Field   string `json:"field"`   // the parameter of the request: "q"
	Detail  string `json:"detail"`  // a sentence for people; some clients match on it
	Element string `json:"element"` // as it was written, the start of it if it is long; "" for the query as a whole
	Offset  int    `json:"offset"`
	Length  int    `json:"length"` // of the whole element
}

// Problems is everything wrong with a query, in the order of its elements. It
// is never empty where it is returned as an error.
type Problems []Problem

// Error is the details in one line.
func (ps Problems) Error() string {
	details := make([]string, len(ps))
	for i, p := range ps {
		details[i] = p.Detail
	}
	return strings.Join(details, "; ")
}

// add is for what is wrong with an element.
func (ps *Problems) add(e element, format string, args ...any) {
	*ps = append(*ps, Problem{"q", fmt.Sprintf(format, args...), clip(e.text), e.at, len(e.text)})
}

// addAt is for what is wrong with some bytes of the query.
func (ps *Problems) addAt(offset, length int, format string, args ...any) {
	*ps = append(*ps, Problem{Field: "q", Detail: fmt.Sprintf(format, args...), Offset: offset, Length: length})
}

// maxQuoted is how much of a query a detail repeats, in bytes.
const maxQuoted = 200

// clip keeps what a detail quotes short.
func clip(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	end := maxQuoted
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// hint is the end of a detail that names the known word meant, if there is one.
func hint(word string, known []string) string {
	if near, ok := nearest(strings.ToLower(word), known); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// nearest is the known word within a third of word's length in edits.
func nearest(word string, known []string) (near string, ok bool) {
	best := max(1, len(word)/3) + 1
	for _, k := range known {
		if d := len(word) - len(k); d >= best || -d >= best {
			continue
		}
		if d := distance(word, k); d < best {
			best, near, ok = d, k, true
		}
	}
	return near, ok
}

// distance is how many bytes to insert, delete, replace or swap with their
// neighbour make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
