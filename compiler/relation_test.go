package compiler

import (
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"
)

const relationSchema = `
resources:
  document:
    table: app.documents
    fields:
      id: {column: id, type: uuid, not_null: true}
      shares:
        many: {table: app.shares, join: {document_id: id, tenant: tenant_id}, order: id}
        fields:
          user.id: {column: user_id, type: uuid}
          kind: {const: share}
          tags:
            many: {table: tags, join: {share_id: id}}
            fields: {name: {column: name, type: text}}
      org:
        one: {table: orgs, join: {id: org_id}}
        "null": none
        fields: {name: {column: name, type: text, not_null: true}}
      folder:
        one: {table: folders, join: {id: folder_id}}
        absent: true
        fields: {name: {column: name, type: text}}
      owner:
        one: {table: people, join: {id: owner_id}}
        not_null: true
        fields: {name: {column: name, type: text}}
`

func TestParseRelations(t *testing.T) {
	s, err := ParseSchema([]byte(relationSchema))
	require.NoError(t, err)
	by := map[string]Field{}
	for _, f := range s.Resources["document"].Fields {
		by[strings.Join(f.Path, ".")] = f
	}
	shares := by["shares"].Relation
	require.True(t, shares.Many)
	require.Equal(t, "app.shares", shares.Table)
	require.Equal(t, []Join{{"document_id", "id"}, {"tenant", "tenant_id"}}, shares.Join)
	require.Equal(t, "id", shares.Order)
	require.Nil(t, by["shares"].Null)
	require.Len(t, shares.Fields, 3)
	require.Equal(t, []string{"user", "id"}, shares.Fields[2].Path)
	require.Equal(t, "tags", shares.Fields[1].Relation.Table)
	require.Empty(t, shares.Fields[1].Relation.Order)

	require.False(t, by["org"].Relation.Many)
	require.Equal(t, ast.String("none"), by["org"].Null)
	require.Nil(t, by["folder"].Null)
	require.False(t, by["folder"].Relation.NotNull)
	require.Nil(t, by["owner"].Null)
	require.True(t, by["owner"].Relation.NotNull)
}

func TestParseRelationsRefuses(t *testing.T) {
	for name, c := range map[string]struct{ field, want string }{
		"no table":              {"{many: {join: {a: b}}, fields: {x: {const: 1}}}", "RF1008: resources.r.fields.f.many: table is missing"},
		"no join":               {"{many: {table: t}, fields: {x: {const: 1}}}", "RF1008: resources.r.fields.f.many.join: no columns are joined"},
		"an empty join":         {"{one: {table: t, join: {}}, fields: {x: {const: 1}}}", "RF1008: resources.r.fields.f.one.join: no columns are joined"},
		"no fields":             {"{one: {table: t, join: {a: b}}}", "RF1003: resources.r.fields.f.one: it has no fields"},
		"many and one":          {"{many: {table: t, join: {a: b}}, one: {table: t, join: {a: b}}, fields: {x: {const: 1}}}", "RF1008: resources.r.fields.f: one stands beside many"},
		"a column":              {"{one: {table: t, join: {a: b}}, column: c, fields: {x: {const: 1}}}", "RF1008: resources.r.fields.f: column stands beside one"},
		"absent rows":           {"{many: {table: t, join: {a: b}}, absent: true, fields: {x: {const: 1}}}", "RF1008: resources.r.fields.f: absent stands beside many"},
		"absent and not null":   {"{one: {table: t, join: {a: b}}, absent: true, not_null: true, fields: {x: {const: 1}}}", "RF1005"},
		"an ordered one":        {"{one: {table: t, join: {a: b}, order: a}, fields: {x: {const: 1}}}", `RF1001: resources.r.fields.f.one: unknown key "order" (one has join, table)`},
		"no keys":               {"{many: t, fields: {x: {const: 1}}}", "RF1001: resources.r.fields.f.many: want keys and values, have t"},
		"a join of a list":      {"{many: {table: t, join: [a]}, fields: {x: {const: 1}}}", "RF1001: resources.r.fields.f.many.join: want keys and values"},
		"a join of a number":    {"{many: {table: t, join: {a: 1}}, fields: {x: {const: 1}}}", "RF1001: resources.r.fields.f.many.join.a: want text, have 1"},
		"fields of a list":      {"{many: {table: t, join: {a: b}}, fields: [x]}", "RF1001: resources.r.fields.f.many.fields: want keys and values"},
		"a field of a text":     {"{many: {table: t, join: {a: b}}, fields: {x: text}}", "RF1001: resources.r.fields.f.many.fields.x: want keys and values, have text"},
		"a qualified column":    {"{many: {table: t, join: {t.a: b}}, fields: {x: {const: 1}}}", `RF1004: resources.r.fields.f.many.join: bad name "t.a": a column is not qualified`},
		"a quoted order":        {`{many: {table: t, join: {a: b}, order: 'a"'}, fields: {x: {const: 1}}}`, "RF1004: resources.r.fields.f.many.order"},
		"a bad table":           {`{many: {table: "t;", join: {a: b}}, fields: {x: {const: 1}}}`, "RF1004: resources.r.fields.f.many.table"},
		"a bad field":           {"{many: {table: t, join: {a: b}}, fields: {x: {column: c, type: string}}}", "RF1002: resources.r.fields.f.many.fields.x"},
		"a bad field, deeper":   {"{one: {table: t, join: {a: b}}, fields: {x: {many: {table: t, join: {a: b}}, fields: {y: {column: c}}}}}", "RF1002: resources.r.fields.f.one.fields.x.many.fields.y: type is missing"},
		"a column of two":       {"{one: {table: t, join: {a: b}}, fields: {x: {column: c, type: int}, y: {column: c, type: int}}}", `RF1003: resources.r.fields.f.one.fields.y: column "c" is already field "x"`},
		"a field in a field":    {"{one: {table: t, join: {a: b}}, fields: {x: {column: c, type: int}, x.y: {column: d, type: int}}}", "RF1004: resources.r.fields.f.one.fields: field x.y stands inside field x"},
		"fields of a column":    {"{column: c, type: int, fields: {x: {const: 1}}}", "RF1001: resources.r.fields.f: a column has no fields"},
		"unix_ns of a relation": {"{one: {table: t, join: {a: b}}, as: unix_ns, fields: {x: {const: 1}}}", "RF1008: resources.r.fields.f: as stands beside one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSchema([]byte("resources: {r: {table: r, fields: {f: " + c.field + "}}}"))
			require.ErrorContains(t, err, c.want)
		})
	}
}
