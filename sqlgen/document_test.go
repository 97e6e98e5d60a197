package sqlgen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDocument(t *testing.T) {
	none := JSON(`"none"`)
	column := func(name string) Column { return Column{Name: name} }
	rows := func(from string, many bool, parts ...Part) *Rows {
		return &Rows{From: from, Many: many, Join: [][2]Expr{{column("doc_id"), column("id")}}, Parts: parts}
	}
	ordered := rows("app.parts", true, Part{Path: []string{"n"}, Of: number})
	ordered.Order = column("id")
	ordered.Join = append(ordered.Join, [2]Expr{column("a"), column("b")})
	for name, c := range map[string]struct {
		parts []Part
		want  string
	}{
		"nothing":    {nil, `('{}'::jsonb)`},
		"not null":   {[]Part{{Path: []string{"id"}, Of: id}}, `(jsonb_build_object('id', to_jsonb(id::text)))`},
		"null":       {[]Part{{Path: []string{"x"}, Of: number}}, `(jsonb_build_object('x', to_jsonb(n)))`},
		"null shown": {[]Part{{Path: []string{"x"}, Of: number, Null: &none}}, `(jsonb_build_object('x', COALESCE(to_jsonb(n), '"none"'::jsonb)))`},
		"absent":     {[]Part{{Path: []string{"x"}, Of: number, Absent: true}}, `(CASE WHEN n IS NOT NULL THEN jsonb_build_object('x', to_jsonb(n)) ELSE '{}' END)`},
		"constant":   {[]Part{{Path: []string{"o'clock"}, Of: JSON(`[1]`)}}, `(jsonb_build_object('o''clock', to_jsonb('[1]'::jsonb)))`},
		"nested": {
			[]Part{{Path: []string{"a", "b"}, Of: flagN}, {Path: []string{"a", "c"}, Of: flagB, Absent: true}, {Path: []string{"d"}, Of: flagN}},
			`(jsonb_build_object('a', (jsonb_build_object('b', to_jsonb(public)) || CASE WHEN active IS NOT NULL THEN jsonb_build_object('c', to_jsonb(active)) ELSE '{}' END), 'd', to_jsonb(public)))`,
		},
		"timestamps": {
			[]Part{{Path: []string{"at"}, Of: Column{Name: "ats", Type: at.Type.ArrayOf()}}},
			`(jsonb_build_object('at', CASE WHEN ats IS NOT NULL THEN COALESCE((SELECT jsonb_agg((rtrim(rtrim(to_char(elem.value AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z') ORDER BY elem.position) FROM unnest(ats) WITH ORDINALITY AS elem(value, position)), '[]') END))`,
		},
		"many": {
			[]Part{{Path: []string{"parts"}, Rows: ordered}},
			`(jsonb_build_object('parts', (SELECT COALESCE(jsonb_agg((jsonb_build_object('n', to_jsonb(parts.n))) ORDER BY parts.id), '[]') FROM app.parts WHERE parts.doc_id = docs.id AND parts.a = docs.b)))`,
		},
		"one": {
			[]Part{{Path: []string{"x"}, Rows: rows("parts", false, Part{Path: []string{"n"}, Of: number}), Null: &none}},
			`(jsonb_build_object('x', COALESCE((SELECT (jsonb_build_object('n', to_jsonb(parts.n))) FROM parts WHERE parts.doc_id = docs.id), '"none"'::jsonb)))`,
		},
		"one, absent": {
			[]Part{{Path: []string{"x"}, Rows: rows("parts", false, Part{Path: []string{"n"}, Of: number}), Absent: true}},
			`(COALESCE((SELECT jsonb_build_object('x', (jsonb_build_object('n', to_jsonb(parts.n)))) FROM parts WHERE parts.doc_id = docs.id), '{}'))`,
		},
		"the table itself, in a relation": {
			[]Part{{Path: []string{"x"}, Rows: rows("docs", false, Part{Path: []string{"y"}, Rows: rows("elem", false, Part{Path: []string{"n"}, Of: number})})}},
			`(jsonb_build_object('x', (SELECT (jsonb_build_object('y', (SELECT (jsonb_build_object('n', to_jsonb(elem2.n))) FROM elem AS elem2 WHERE elem2.doc_id = docs2.id))) FROM docs AS docs2 WHERE docs2.doc_id = docs.id)))`,
		},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, Document("app.docs", c.parts)) })
	}
}
