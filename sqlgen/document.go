package sqlgen

import (
	"maps"
	"slices"
)

// Part is a part of a row's document: the value at a path, as the policy sees it.
type Part struct {
	Path   []string
	Of     Expr
	Null   *Literal // the jsonb that stands there where Of is NULL; nil for a JSON null
	Absent bool     // nothing stands there where Of is NULL
}

// Document is the SQL of a row's document, a jsonb object of the parts, with their
// columns unqualified. Every timestamp, uuid and address in it has the form in which
// the predicates of this package compare it.
func Document(parts []Part) string {
	r := renderer{binder: inline{}}
	r.document(parts, 0)
	return r.String()
}

// documentPairs is how many parts one call takes: PostgreSQL has no functions of
// more than 100 arguments.
const documentPairs = 50

// document writes the object of the parts below the first depth keys of their paths.
func (r *renderer) document(parts []Part, depth int) {
	always := map[string][]Part{}
	var absent []Part
	for _, m := range parts {
		if m.Absent && len(m.Path) == depth+1 {
			absent = append(absent, m)
			continue
		}
		always[m.Path[depth]] = append(always[m.Path[depth]], m)
	}
	first := true
	join := func() {
		if !first {
			r.WriteString(" || ")
		}
		first = false
	}
	r.WriteByte('(')
	keys := slices.Sorted(maps.Keys(always))
	for chunk := range slices.Chunk(keys, documentPairs) {
		join()
		r.WriteString("jsonb_build_object(")
		for i, key := range chunk {
			if i > 0 {
				r.WriteString(", ")
			}
			r.key(key)
			if below := always[key]; len(below[0].Path) > depth+1 {
				r.document(below, depth+1)
			} else {
				r.part(below[0])
			}
		}
		r.WriteByte(')')
	}
	for _, m := range absent {
		join()
		r.WriteString("CASE WHEN ")
		r.leaf(Null{m.Of}, true)
		r.WriteString(" THEN jsonb_build_object(")
		r.key(m.Path[depth])
		r.shownJSON(m.Of)
		r.WriteString(") ELSE '{}' END")
	}
	if first {
		r.WriteString("'{}'::jsonb")
	}
	r.WriteByte(')')
}

func (r *renderer) key(key string) {
	r.binder.bind(&r.Builder, String(key), false)
	r.WriteString(", ")
}

func (r *renderer) part(m Part) {
	if m.Null == nil || !Nullable(m.Of) {
		r.shownJSON(m.Of)
		return
	}
	r.WriteString("COALESCE(")
	r.shownJSON(m.Of)
	r.WriteString(", ")
	r.expr(*m.Null)
	r.WriteByte(')')
}

// shownJSON writes the jsonb of a value as the document shows it. PostgreSQL's own
// jsonb of an array has its timestamps and addresses in other forms.
func (r *renderer) shownJSON(e Expr) {
	if t := TypeOf(e); t.Array && !slices.Contains([]Kind{KindText, KindUUID, KindBool, KindInt, KindFloat, KindNumeric, KindEnum}, t.Kind) {
		elem := Column{"elem", "value", t.Elem(), false}
		r.WriteString("CASE WHEN ")
		r.leaf(Null{e}, true)
		r.WriteString(" THEN COALESCE((SELECT jsonb_agg(")
		r.text(elem)
		r.WriteString(" ORDER BY elem.position) FROM unnest(")
		r.inner(e)
		r.WriteString(") WITH ORDINALITY AS elem(value, position)), '[]') END")
		return
	}
	r.WriteString("to_jsonb(")
	r.shown(e)
	r.WriteByte(')')
}
