package compiler_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/policies"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// fields is a schema with one resource of these fields.
func fields(yaml string) string {
	return "resources: {r: {table: t, fields: {" + yaml + "}}}"
}

func TestParseSchema(t *testing.T) {
	s, err := compiler.ParseSchema([]byte(`
resources:
  doc:
    table: app.docs
    root: input.object
    fields:
      id:         {column: id, type: uuid, not_null: true}
      owner:      {column: owner_id, type: uuid, "null": ""}
      parent:     {column: parent_id, type: uuid}
      title:      {column: title, type: text, absent: true}
      created:    {column: created_at, type: timestamptz, as: unix_ns}
      state:      {column: state, type: enum(doc_state)}
      tags:       {column: tags, type: "text[]"}
      meta.size:  {column: size, type: int, "null": 0}
      meta.kind:  {const: {name: doc, sizes: [1, 2.5, null]}}
      none:       {const: null}
    params:
      input.subject.groups: uuid[]
  log:
    table: logs
    fields:
      id: {column: id, type: int}
params:
  input.subject.id: uuid
`))
	require.NoError(t, err)
	require.Len(t, s.Resources, 2)

	doc, err := s.Resource("doc")
	require.NoError(t, err)
	require.Equal(t, "app.docs", doc.Table)
	require.Equal(t, "input.object", doc.Root.String())

	column := func(name string, kind sqlgen.Kind) sqlgen.Column {
		return sqlgen.Column{Name: name, Type: sqlgen.Type{Kind: kind}}
	}
	id := column("id", sqlgen.KindUUID)
	id.NotNull = true
	state, tags := column("state", sqlgen.KindEnum), column("tags", sqlgen.KindText)
	state.Type.Enum, tags.Type.Array = "doc_state", true
	want := []compiler.Field{
		{Path: []string{"created"}, Column: column("created_at", sqlgen.KindTimestamptz), Null: ast.NullValue, Nanos: true},
		{Path: []string{"id"}, Column: id},
		{Path: []string{"meta", "kind"}, Const: ast.MustParseTerm(`{"name": "doc", "sizes": [1, 2.5, null]}`).Value},
		{Path: []string{"meta", "size"}, Column: column("size", sqlgen.KindInt), Null: ast.Number("0")},
		{Path: []string{"none"}, Const: ast.NullValue},
		{Path: []string{"owner"}, Column: column("owner_id", sqlgen.KindUUID), Null: ast.String("")},
		{Path: []string{"parent"}, Column: column("parent_id", sqlgen.KindUUID), Null: ast.NullValue},
		{Path: []string{"state"}, Column: state, Null: ast.NullValue},
		{Path: []string{"tags"}, Column: tags, Null: ast.NullValue},
		{Path: []string{"title"}, Column: column("title", sqlgen.KindText)},
	}
	require.Len(t, doc.Fields, len(want))
	for i, f := range doc.Fields {
		equalValue(t, want[i].Const, f.Const)
		equalValue(t, want[i].Null, f.Null)
		f.Const, f.Null, want[i].Const, want[i].Null = nil, nil, nil, nil
		require.Equal(t, want[i], f)
	}

	params := func(ps []compiler.Param) (out []string) {
		for _, p := range ps {
			out = append(out, p.Path.String()+" "+p.Type.String())
		}
		return out
	}
	require.Equal(t, []string{"input.subject.groups uuid[]", "input.subject.id uuid"}, params(doc.Params))

	log, err := s.Resource("log")
	require.NoError(t, err)
	require.Equal(t, "input.object", log.Root.String(), "the root that a resource has without one")
	require.Equal(t, []string{"input.subject.id uuid"}, params(log.Params))
}

func equalValue(t *testing.T, want, have ast.Value) {
	t.Helper()
	if want == nil || have == nil {
		require.Equal(t, want, have)
		return
	}
	require.Zero(t, want.Compare(have), "want %v, have %v", want, have)
}

func TestParseSchemaJSON(t *testing.T) {
	s, err := compiler.ParseSchema([]byte(`{"resources": {"r": {"table": "t", "fields": {"a": {"column": "a", "type": "text", "null": null}}}}}`))
	require.NoError(t, err)
	equalValue(t, ast.NullValue, s.Resources["r"].Fields[0].Null)
}

func TestParseSchemaRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		schema string
		want   []string // each problem, as code: reason
	}{
		"nothing":      {"", []string{"RF1001: resources: the schema has no resources"}},
		"no resources": {"resources: {}", []string{"RF1001: resources: the schema has no resources"}},
		"no mapping":   {"[1, 2]", []string{"RF1001: the schema is not valid: [1:1] sequence was used where mapping is expected"}},
		"no YAML":      {"resources: {", []string{"RF1001: the schema is not valid: [1:12] could not find flow mapping end token '}'"}},
		"no text":      {"\x00\xff", []string{"RF1001: the schema is not valid: "}},
		"unknown key of the file": {"resource: {}", []string{
			`RF1001: the schema is not valid: [1:1] unknown field "resource"`}},
		"unknown key of a resource": {"resources: {r: {table: t, field: {}}}", []string{
			`RF1001: the schema is not valid: [1:27] unknown field "field"`}},
		"unknown key of a field": {fields("a: {column: a, type: text, nullable: true}"), []string{
			`RF1001: resources.r.fields.a: unknown key "nullable"`}},
		"key twice": {fields("a: {const: 1}, a: {const: 2}"), []string{
			`RF1001: the schema is not valid: [1:51] mapping key "a" already defined at [1:36]`}},
		"several documents": {fields("a: {const: 1}") + "\n---\n" + fields("a: {const: 2}"), []string{
			"RF1001: the schema is not valid: it holds several YAML documents"}},
		"alias": {fields("a: &a {const: 1}, b: *a"), []string{
			"RF1001: the schema is not valid: [1:57] aliases are not supported"}},
		"number that is no Go number": {fields("a: {const: 123456789012345678901}"), []string{
			"RF1001: the schema is not valid: [1:47] the number 123456789012345678901 is too large"}},
		"constant that is no JSON": {fields("a: {const: .nan}, b: {const: .inf}"), []string{
			"RF1001: resources.r.fields.a.const: not a JSON value: ", "RF1001: resources.r.fields.b.const: not a JSON value: "}},
		"unknown type": {fields("a: {column: a, type: string}"), []string{
			`RF1002: resources.r.fields.a: unknown type "string": want uuid, text, bool`}},
		"no type": {fields("a: {column: a}"), []string{"RF1002: resources.r.fields.a: type is missing"}},
		"type that is no text": {fields("a: {column: a, type: 3}"), []string{
			"RF1001: resources.r.fields.a.type: want text, have 3", `RF1002: resources.r.fields.a: unknown type ""`}},
		"array of jsonb":  {fields("a: {column: a, type: 'jsonb[]'}"), []string{`RF1002: resources.r.fields.a: type "jsonb[]": an array of jsonb is not supported`}},
		"array of arrays": {fields("a: {column: a, type: 'text[][]'}"), []string{`RF1002: resources.r.fields.a: unknown type "text[][]"`}},
		"enum without a name": {fields("a: {column: a, type: enum()}"), []string{
			`RF1002: resources.r.fields.a: type "enum()": an enum is written enum(name)`}},
		"enum with a bad name": {fields(`a: {column: a, type: "enum(a'b)"}`), []string{
			`RF1002: resources.r.fields.a: type "enum(a'b)": bad name`}},
		"two fields for one column": {fields("a: {column: c, type: text}, b: {column: c, type: text}"), []string{
			`RF1003: resources.r.fields.b: column "c" is already field "a"`}},
		"neither column nor constant": {fields("a: {type: text}"), []string{"RF1003: resources.r.fields.a: it has neither column nor const"}},
		"empty field":                 {fields("a: "), []string{"RF1003: resources.r.fields.a: it has neither column nor const", "RF1002: resources.r.fields.a: type is missing"}},
		"constant and column":         {fields("a: {const: 1, column: a}"), []string{"RF1003: resources.r.fields.a: a constant has no other keys"}},
		"no fields":                   {"resources: {r: {table: t}}", []string{"RF1003: resources.r: it has no fields"}},
		"no table":                    {"resources: {r: {fields: {a: {const: 1}}}}", []string{"RF1004: resources.r: table is missing"}},
		"bad table": {`resources: {r: {table: 'logs"; DROP TABLE logs; --', fields: {a: {const: 1}}}}`, []string{
			`RF1004: resources.r.table: bad name "logs\"; DROP TABLE logs; --"`}},
		"table with an empty part": {"resources: {r: {table: audit., fields: {a: {const: 1}}}}", []string{
			`RF1004: resources.r.table: bad name "audit.": an empty part`}},
		"bad column":       {fields(`a: {column: "a'b", type: text}`), []string{`RF1004: resources.r.fields.a.column: bad name "a'b"`}},
		"long column":      {fields("a: {column: a123456789b123456789c123456789d123456789e123456789f123456789g123456789, type: text}"), []string{"RF1004: resources.r.fields.a.column: bad name"}},
		"qualified column": {fields("a: {column: t.a, type: text}"), []string{`RF1004: resources.r.fields.a.column: bad name "t.a": a column is not qualified`}},
		"bad path":         {fields("a..b: {const: 1}"), []string{`RF1004: resources.r.fields.a..b: bad path "a..b"`}},
		"field inside a field": {fields("a: {column: a, type: jsonb}, a.b: {column: b, type: text}"), []string{
			"RF1004: resources.r.fields: field a.b stands inside field a"}},
		"field inside a constant": {fields("a: {const: {}}, a.b.c: {column: b, type: text}"), []string{
			"RF1004: resources.r.fields: field a.b.c stands inside field a"}},
		"not_null and absent": {fields("a: {column: a, type: text, not_null: true, absent: true}"), []string{
			"RF1005: resources.r.fields.a: a column that is not_null can't be absent"}},
		"not_null and null": {fields(`a: {column: a, type: text, not_null: true, "null": ""}`), []string{
			`RF1005: resources.r.fields.a: a column that is not_null has no "null"`}},
		"absent and null": {fields(`a: {column: a, type: text, absent: true, "null": ""}`), []string{
			`RF1005: resources.r.fields.a: it is absent and has a "null"`}},
		"null that is no scalar":  {fields(`a: {column: a, type: text, "null": []}`), []string{"RF1005: resources.r.fields.a.null: want a JSON scalar"}},
		"null without quotes":     {fields(`a: {column: a, type: text, null: ""}`), []string{"RF1001: resources.r.fields.a: a key without quotes is null"}},
		"flag that is no boolean": {fields("a: {column: a, type: text, not_null: 1}"), []string{"RF1001: resources.r.fields.a.not_null: want true or false, have 1"}},
		"unknown form":            {fields("a: {column: a, type: timestamptz, as: unix_ms}"), []string{`RF1001: resources.r.fields.a.as: unknown form "unix_ms"`}},
		"form of another type":    {fields("a: {column: a, type: int, as: unix_ns}"), []string{"RF1001: resources.r.fields.a.as: only a timestamptz can be unix_ns"}},
		"root outside the input":  {"resources: {r: {table: t, root: data.x, fields: {a: {const: 1}}}}", []string{`RF1007: resources.r.root: "data.x" is no path below input`}},
		"root is the input":       {"resources: {r: {table: t, root: input, fields: {a: {const: 1}}}}", []string{`RF1007: resources.r.root: "input" is no path below input`}},
		"root with a variable":    {"resources: {r: {table: t, root: 'input[x]', fields: {a: {const: 1}}}}", []string{`RF1007: resources.r.root: "input[x]" is no path below input`}},
		"root with an index":      {"resources: {r: {table: t, root: 'input.a[0]', fields: {a: {const: 1}}}}", []string{`RF1007: resources.r.root: "input.a[0]" is no path below input: its parts are keys`}},
		"parameter outside the input": {fields("a: {const: 1}") + "\nparams: {subject.id: uuid}", []string{
			`RF1004: params: "subject.id" is no path below input`}},
		"parameter of an unknown type": {fields("a: {const: 1}") + "\nparams: {input.subject.id: id}", []string{
			`RF1002: params.input.subject.id: unknown type "id"`}},
		"parameter above a field": {fields("a: {const: 1}") + "\nparams: {input.object: jsonb}", []string{
			"RF1004: resources.r: parameter input.object stands where field a does"}},
		"parameter below a field": {fields("a: {column: a, type: jsonb}") + "\nparams: {input.object.a.b: text}", []string{
			"RF1004: resources.r: parameter input.object.a.b stands where field a does"}},
		"parameter inside a parameter": {fields("a: {const: 1}") + "\nparams: {input.s: jsonb, input.s.id: uuid}", []string{
			"RF1004: resources.r: parameter input.s.id stands inside parameter input.s"}},
		"parameter twice": {"resources: {r: {table: t, fields: {a: {const: 1}}, params: {input.s: text}}}\nparams: {input.s: uuid}", []string{
			"RF1004: resources.r: parameter input.s stands inside parameter input.s"}},
		"all at once": {`resources:
  a: {table: "", root: data, fields: {x: {column: "x;", type: string, "null": [], size: 3}}}
  b: {table: t, fields: {x: {column: c, type: int}, y: {column: c, type: int}}}
params: {s: text}`, []string{
			`RF1004: params: "s" is no path below input`,
			"RF1004: resources.a: table is missing",
			`RF1007: resources.a.root: "data" is no path below input`,
			`RF1001: resources.a.fields.x: unknown key "size"`,
			`RF1004: resources.a.fields.x.column: bad name "x;"`,
			`RF1002: resources.a.fields.x: unknown type "string"`,
			"RF1005: resources.a.fields.x.null: want a JSON scalar",
			`RF1003: resources.b.fields.y: column "c" is already field "x"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := compiler.ParseSchema([]byte(c.schema))
			require.Nil(t, s)
			var errs compiler.Errors
			require.ErrorAs(t, err, &errs)
			require.Len(t, errs, len(c.want), "%v", err)
			for i, e := range errs {
				require.Contains(t, e.Error(), c.want[i])
			}
		})
	}
}

func TestSchemaResource(t *testing.T) {
	s, err := compiler.ParseSchema(policies.Schema())
	require.NoError(t, err)
	_, err = s.Resource("audit_logs")
	require.EqualError(t, err, `RF1006: the schema has no resource "audit_logs" (it has audit_log, connection_log, document)`)
}

// What is accepted can be used: every name renders, and every resource has a root
// and fields.
func FuzzParseSchema(f *testing.F) {
	f.Add(policies.Schema())
	f.Add([]byte(fields(`a.b: {column: "a b", type: "enum(x)[]", absent: true}, c: {const: [1, {x: null}]}`) + "\nparams: {input.s: jsonb}"))
	f.Add([]byte(`{"resources": {"r": {"table": "t", "root": "input[\"x\"]", "fields": {"a": {"column": "a", "type": "timestamptz", "as": "unix_ns", "null": 1e3}}}}}`))
	f.Add([]byte("resources: &a {x: *a}"))
	f.Add([]byte("---\n---\n? [x]\n: !!set {a}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := compiler.ParseSchema(text)
		if err != nil {
			require.Nil(t, s)
			require.NotEmpty(t, compiler.AsErrors(err))
			return
		}
		require.NotEmpty(t, s.Resources)
		for _, r := range s.Resources {
			require.NoError(t, sqlgen.CheckName(r.Table))
			require.GreaterOrEqual(t, len(r.Root), 2)
			require.NotEmpty(t, r.Fields)
			for _, field := range r.Fields {
				if field.Const == nil {
					require.NoError(t, sqlgen.CheckName(field.Column.Name))
					require.NotZero(t, field.Column.Type.Kind)
				}
			}
		}
	})
}

// The schemas that the documentation shows are accepted.
func TestDocumentedSchemas(t *testing.T) {
	text, err := os.ReadFile("../docs/schema.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	require.Len(t, blocks, 5)
	for _, b := range blocks {
		_, err := compiler.ParseSchema(b[1])
		require.NoError(t, err, "%s", b[1])
	}
}

// What docs/schema.md says that the policy makes of NULL is what OPA does.
func TestNullConventions(t *testing.T) {
	text, err := os.ReadFile("../docs/schema.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `((?:not )?x [^`]*)` \\| (\\w+)[^|]*\\| (\\w+)[^|]*\\| (\\w+)[^|]*\\|$").FindAllSubmatch(text, -1)
	require.Len(t, rows, 7)
	for _, row := range rows {
		condition := strings.ReplaceAll(string(row[1]), "x ", "input.object.x ")
		for i, document := range []string{`{"x": null}`, `{"x": ""}`, `{}`} {
			p, err := rego.Load(t.Context(), rego.Module("p.rego", "package authz\n\nallow if "+condition))
			require.NoError(t, err)
			q, err := p.Prepare(t.Context(), "data.authz.allow")
			require.NoError(t, err)
			allowed, err := q.Eval(t.Context(), ast.MustParseTerm(`{"object": `+document+`}`).Value)
			require.NoError(t, err)
			require.Equal(t, string(row[2+i]) == "true", allowed, "%s of %s", condition, document)
		}
	}
}
