// Package marker finds the places of a written query where a filter belongs:
//
//	SELECT … FROM documents AS d WHERE d.folder_id = $1 AND /* authorize: document as d */ FALSE
//
// The query is valid SQL as it is written, too, for psql, a linter or a generator of
// code. Where FALSE stands behind the marker, it then selects nothing: a service that
// forgets to replace the marker leaks no row.
package marker

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/rowfence/rowfence/sqlgen"
)

// Marker is a place for a filter.
type Marker struct {
	Name       string // of the filter
	Alias      string // of the table in the query; empty where its columns are not qualified
	start, end int
}

// None is the name in a query that says that it needs no filter.
const None = "none"

// form is what stands in a marker's comment.
var form = regexp.MustCompile(`^\s*authorize:\s*([A-Za-z_][A-Za-z0-9_]*)(?:\s+(?i:as)\s+([A-Za-z_][A-Za-z0-9_]*|"(?:[^"]|"")+"))?\s*$`)

// about is what every comment has that may be meant as a marker: the word with its
// colon, or in front.
var about = regexp.MustCompile(`(?i)authori[sz]e\s*:|^(?:/\*|--)[\s*-]*authori[sz]e\b`)

// truth is what stands behind a marker.
var truth = regexp.MustCompile(`^\s+(?i:TRUE|FALSE)\b`)

// Find finds the markers of a query. What is meant as a marker and is none is an error:
// it would be a condition that is always true.
func Find(query string) ([]Marker, error) {
	markers, _, err := find(query)
	return markers, err
}

// find is Find, and the greatest number of a placeholder.
func find(query string) (out []Marker, highest int, err error) {
	s := scanner{text: query}
	for {
		start, end, ok := s.comment()
		if !ok {
			break
		}
		text := query[start:end]
		if !about.MatchString(text) {
			continue
		}
		inner, block := strings.CutPrefix(text, "/*")
		inner, closed := strings.CutSuffix(inner, "*/")
		found := form.FindStringSubmatch(inner)
		if !block || !closed || found == nil {
			return nil, 0, fmt.Errorf("query: %q is no marker: write /* authorize: filter */ FALSE, or /* authorize: filter as alias */ FALSE", text)
		}
		m := Marker{Name: found[1], Alias: unquote(found[2]), start: start, end: end}
		if m.Name == None {
			if m.Alias != "" {
				return nil, 0, fmt.Errorf("query: %q has an alias, and no filter", text)
			}
			out = append(out, m)
			continue
		}
		follows := truth.FindString(query[end:])
		if follows == "" {
			return nil, 0, fmt.Errorf("query: behind the marker %q stands neither TRUE nor FALSE", text)
		}
		m.end += len(follows)
		out = append(out, m)
	}
	if s.open != "" {
		return nil, 0, fmt.Errorf("query: %s is not closed", s.open)
	}
	return out, s.highest, nil
}

func unquote(name string) string {
	if inner, ok := strings.CutPrefix(name, `"`); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, `"`), `""`, `"`)
	}
	return strings.ToLower(name) // as PostgreSQL folds it
}

// ErrNoMarker is a query that says nothing of authorization.
var ErrNoMarker = errors.New("query: it has no marker: write /* authorize: filter */ FALSE into its condition, or /* authorize: none */ where it needs none")

// Replace puts filters in the places of markers. Their placeholders are numbered after
// the query's own arguments, of which there are as many as args. On an error there is no
// query.
func Replace(query string, args []any, filter func(Marker) (sqlgen.Filter, error)) (string, []any, error) {
	markers, highest, err := find(query)
	if err != nil {
		return "", nil, err
	}
	if len(markers) == 0 {
		return "", nil, ErrNoMarker
	}
	if highest > len(args) { // it would get an argument of a filter
		return "", nil, fmt.Errorf("query: it has the placeholder $%d, and %d arguments", highest, len(args))
	}
	var b strings.Builder
	args = args[:len(args):len(args)]
	from := 0
	for _, m := range markers {
		if m.Name == None {
			if len(markers) > 1 {
				return "", nil, errors.New("query: it has a marker that no filter is needed, and another one")
			}
			return query, args, nil
		}
		f, err := filter(m)
		if err != nil {
			return "", nil, err
		}
		if m.Alias != "" {
			f = f.As(m.Alias)
		}
		where, more := f.SQL(len(args) + 1)
		b.WriteString(query[from:m.start])
		if _, closed := f.Predicate().(sqlgen.Or); !closed { // whatever stands around it
			where = "(" + where + ")"
		}
		b.WriteString(where)
		args = append(args, more...)
		from = m.end
	}
	b.WriteString(query[from:])
	return b.String(), args, nil
}
