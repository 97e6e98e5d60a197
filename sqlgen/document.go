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
	Rows   *Rows    // in the place of Of: rows of another table; NULL where there is none
}

// Rows are the rows of another table that belong to a row, as documents.
type Rows struct {
	From  string
	Many  bool      // an array of them, sorted by Order; else the one that there is
	Join  [][2]Expr // columns of From and of the table around, which are equal
	Order Expr      // a column of From; nil for none
	Parts []Part    // of columns of From
}

// Document is the SQL of the document of a row of the table, a jsonb object of the
// parts. No column has a table: those of the row stand so in the SQL, too. Every
// timestamp, uuid and address in it has the form in which the predicates of this
// package compare it.
func Document(table string, parts []Part) string {
	r := renderer{binder: inline{}, tables: []string{baseName(table)}}
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
		if m.Rows != nil {
			r.WriteString("COALESCE(")
			r.rows(*m.Rows, func() {
				r.WriteString("jsonb_build_object(")
				r.key(m.Path[depth])
				r.document(m.Rows.Parts, 0)
				r.WriteByte(')')
			})
			r.WriteString(", '{}')")
			continue
		}
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
	show := func() { r.shownJSON(m.Of) }
	if m.Rows != nil {
		show = func() { r.rows(*m.Rows, func() { r.document(m.Rows.Parts, 0) }) }
	}
	if m.Null == nil || m.Rows == nil && !Nullable(m.Of) {
		show()
		return
	}
	r.WriteString("COALESCE(")
	show()
	r.WriteString(", ")
	r.expr(*m.Null)
	r.WriteByte(')')
}

// rows writes what show makes of each of the rows.
func (r *renderer) rows(rows Rows, show func()) {
	taken := map[string]bool{"elem": true} // see shownJSON
	for _, name := range r.tables {
		taken[name] = true
	}
	around, outer := r.tables[len(r.tables)-1], r.outer
	alias := freeName(baseName(rows.From), taken)
	r.tables = append(r.tables, alias)
	r.outer = alias
	r.WriteString("(SELECT ")
	if rows.Many {
		r.WriteString("COALESCE(jsonb_agg(")
	}
	show()
	if rows.Many {
		if rows.Order != nil {
			r.WriteString(" ORDER BY ")
			r.expr(rows.Order)
		}
		r.WriteString("), '[]')")
	}
	r.WriteString(" FROM " + quoteName(rows.From))
	if alias != baseName(rows.From) {
		r.WriteString(" AS " + quoteName(alias))
	}
	for i, on := range rows.Join {
		r.WriteString([]string{" WHERE ", " AND "}[min(i, 1)])
		r.expr(on[0])
		r.WriteString(" = ")
		r.outer = around
		r.expr(on[1])
		r.outer = alias
	}
	r.WriteByte(')')
	r.tables, r.outer = r.tables[:len(r.tables)-1], outer
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
