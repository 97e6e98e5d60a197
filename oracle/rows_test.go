package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/conformance"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
)

// What the policies of the conformance files know, unless they say it themselves.
var sharedInput, sharedData = conformance.SharedInput(), conformance.SharedData()

// cell is a column's value: as a SQL expression, and as the policy sees it.
type cell struct {
	sql string
	doc any
}

var null = cell{"NULL", nil}

func quote(s string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

func quoted(t string, docs ...string) []cell {
	out := make([]cell, len(docs))
	for i, d := range docs {
		out[i] = cell{quote(d) + "::" + t, d}
	}
	return out
}

func numbers(ns ...string) []cell {
	out := make([]cell, len(ns))
	for i, n := range ns {
		out[i] = cell{n, json.Number(n)}
	}
	return out
}

func jsons(docs ...string) []cell {
	out := make([]cell, len(docs))
	for i, d := range docs {
		var v any
		dec := json.NewDecoder(strings.NewReader(d))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			panic(err)
		}
		out[i] = cell{quote(d) + "::jsonb", v}
	}
	return out
}

func arrays(t string, lists ...[]any) []cell {
	out := make([]cell, len(lists))
	for i, l := range lists {
		parts := make([]string, len(l))
		for j, e := range l {
			parts[j] = "NULL"
			if e != nil {
				parts[j] = quote(fmt.Sprint(e))
			}
		}
		out[i] = cell{"ARRAY[" + strings.Join(parts, ",") + "]::" + t, l}
	}
	return out
}

const (
	uuidA = "11111111-1111-1111-1111-111111111111"
	uuidB = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	uuidC = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

// column is a column of the test table, which stands there twice: as it is, and
// NOT NULL with 0 after its name.
type column struct {
	name, sqlType, schemaType, extra string
	values                           []cell
	null                             string // what NULL looks like under the second convention
}

var columns = []column{
	{"u", "uuid", "uuid", "", quoted("uuid", uuidA, uuidB, uuidC, "00000000-0000-0000-0000-000000000000"), `""`},
	{"v", "uuid", "uuid", "", quoted("uuid", uuidA, uuidB, "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeef"), `""`},
	{"t", `text COLLATE "C"`, "text", "", quoted("text", "", "a", "A", "ab", "a%b", "a_b", `a\b`, "o'c", "é", "Z", "z", "ß", "日本", "x", uuidA, "2026-01-02T03:04:05Z", "open", "10.0.0.1", "null", "a\x1a"), `""`},
	{"w", `varchar(60) COLLATE "POSIX"`, "text", "", quoted("varchar", "a", "b", "ab", "", "Z", uuidA, "open", "%"), `"none"`},
	{"b", "boolean", "bool", "", []cell{{"true", true}, {"false", false}}, `false`},
	{"c", "boolean", "bool", "", []cell{{"true", true}, {"false", false}}, `true`},
	{"i", "bigint", "int", "", numbers("0", "1", "2", "3", "-5", "40000", "9223372036854775807", "-9223372036854775808"), `0`},
	{"s", "smallint", "int", "", numbers("0", "1", "2", "-1", "32767"), `-1`},
	{"f", "double precision", "float", "", numbers("0", "1", "1.5", "-2.25", "0.1", "3", "1e300", "9007199254740992"), `0`},
	{"n", "numeric", "numeric", "", numbers("0", "1", "1.50", "0.1", "-3", "12345678901234567890.5", "2"), `"none"`},
	{"ts", "timestamptz", "timestamptz", "", times(time.RFC3339Nano), `""`},
	{"ns", "timestamptz", "timestamptz", ", as: unix_ns", times(""), `0`},
	{"d", "date", "date", "", quoted("date", "2026-01-02", "2026-01-03", "1999-12-31"), `""`},
	{"e", "status", "enum(status)", "", quoted("status", "open", "closed", "Zed"), `""`},
	{"ip", "inet", "inet", "", quoted("inet", "10.0.0.1", "10.0.0.0/8", "::1", "192.168.1.1", "9.0.0.1"), `""`},
	{"j", "jsonb", "jsonb", "", jsons(`{"g1":["read","write"],"g2":"read","n":5}`, `{"g1":{"read":1,"x":"read"},"n":"5"}`, `{"`+uuidA+`":["read"],"a":["*"],"g1":null}`, `["read",1,null]`, `"read"`, `5`, `true`, `false`, `null`, `{}`, `[]`, `{"g1":[],"n":-1.5,"s":"b"}`, `{"g1":[["read"]],"n":true,"s":"Z"}`, `{"x":"x","read":[0,1]}`), `{}`},
	{"ta", "text[]", "text[]", "", arrays("text[]", []any{"a", "b"}, []any{}, []any{"x", nil}, []any{"a,b", `q"`, "é"}), `""`},
	{"ua", "uuid[]", "uuid[]", "", arrays("uuid[]", []any{uuidA}, []any{uuidA, uuidB}, []any{}), `""`},
}

func times(form string) []cell {
	var out []cell
	for _, s := range []string{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:06Z", "1999-12-31T23:59:59.999999Z"} {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			panic(err)
		}
		if form == "" {
			out = append(out, cell{quote(s) + "::timestamptz", json.Number(fmt.Sprint(at.UnixNano()))})
			continue
		}
		out = append(out, cell{quote(s) + "::timestamptz", at.Format(form)})
	}
	return out
}

// A convention is what NULL looks like.
var conventions = conformance.Conventions

// schemaText is the schema of the test table under a convention.
func schemaText(convention string) string {
	var b strings.Builder
	b.WriteString("params:\n  input.subject.id: uuid\n  input.subject.groups: text[]\nresources:\n  thing:\n    table: things\n    root: input.object\n    fields:\n      type: {const: thing}\n      kind: {const: [a, b]}\n      deep.kind: {const: k}\n      deep.owner: {column: deep_owner, type: text, not_null: true}\n")
	for _, c := range columns {
		nulls := ""
		switch {
		case convention == "absent":
			nulls = ", absent: true"
		case convention == "value" && c.null != `{}`:
			nulls = `, "null": ` + c.null
		}
		fmt.Fprintf(&b, "      %s: {column: %s, type: %q%s%s}\n", c.name, c.name, c.schemaType, c.extra, nulls)
		fmt.Fprintf(&b, "      %s0: {column: %s0, type: %q%s, not_null: true}\n", c.name, c.name, c.schemaType, c.extra)
	}
	for _, r := range relations {
		r.writeSchema(&b, "      ", convention)
	}
	return b.String()
}

// fixture is the test table with its rows, as they look under each convention.
type fixture struct {
	db        *pgxpool.Pool
	resources map[string]*compiler.Resource
	rows      map[string][]Row
}

// newFixture is the table with 200 rows, the same each time.
func newFixture(t testing.TB) *fixture {
	return makeFixture(t, pgtest.New(t), rand.New(rand.NewPCG(7, 7)), 200)
}

// makeFixture makes the table and fills it. What the rows' documents are is said three
// times: beside each value, by PostgreSQL and by Go.
func makeFixture(t testing.TB, db *pgxpool.Pool, rng *rand.Rand, n int) *fixture {
	ctx := context.Background()
	var ddl strings.Builder
	ddl.WriteString("CREATE TYPE status AS ENUM ('open','closed','Zed'); CREATE TABLE things (row_id bigint, deep_owner text NOT NULL")
	for _, c := range columns {
		fmt.Fprintf(&ddl, ", %s %s, %s0 %s NOT NULL", c.name, c.sqlType, c.name, c.sqlType)
	}
	ddl.WriteString(")")
	_, err := db.Exec(ctx, ddl.String())
	require.NoError(t, err)

	docs := map[string]map[string]map[string]any{} // by convention and key
	for _, conv := range conventions {
		docs[conv] = map[string]map[string]any{}
	}
	var insert strings.Builder
	things := make([]record, n)
	for id := range n {
		key, owner := fmt.Sprint(id), pick(rng, []string{"a", "b"})
		fmt.Fprintf(&insert, ",(%d,'%s'", id, owner)
		things[id] = record{"row_id": numbers(key)[0], "deep_owner": quoted("text", owner)[0]}
		for _, conv := range conventions {
			docs[conv][key] = map[string]any{"type": "thing", "kind": []any{"a", "b"}, "deep": map[string]any{"kind": "k", "owner": owner}}
		}
		for _, c := range columns {
			v, v0 := likely(rng, c.values), likely(rng, c.values)
			if rng.IntN(3) == 0 {
				v = null
			}
			fmt.Fprintf(&insert, ",%s,%s", v.sql, v0.sql)
			things[id][c.name], things[id][c.name+"0"] = v, v0
			for _, conv := range conventions {
				doc := docs[conv][key]
				doc[c.name+"0"] = v0.doc
				switch {
				case v.sql != "NULL" || conv == "null" || conv == "value" && c.null == `{}`:
					doc[c.name] = v.doc
				case conv == "value":
					var shown any
					require.NoError(t, json.Unmarshal([]byte(c.null), &shown))
					doc[c.name] = shown
				}
			}
		}
		insert.WriteString(")")
	}
	_, err = db.Exec(ctx, "INSERT INTO things VALUES "+insert.String()[1:])
	require.NoError(t, err)

	tables := makeRelated(t, db, things)
	for _, conv := range conventions {
		for id, row := range things {
			for _, r := range relations {
				r.lay(docs[conv][fmt.Sprint(id)], row, tables, conv)
			}
		}
	}

	f := &fixture{db, map[string]*compiler.Resource{}, map[string][]Row{}}
	for _, conv := range conventions {
		schema, err := compiler.ParseSchema([]byte(schemaText(conv)))
		require.NoError(t, err)
		f.resources[conv], err = schema.Resource("thing")
		require.NoError(t, err)
		c := Case{Resource: f.resources[conv], Key: "row_id"}
		f.rows[conv], err = Rows(ctx, db, c, "")
		require.NoError(t, err)
		require.Len(t, f.rows[conv], n)
		made, err := Documents(ctx, db, c)
		require.NoError(t, err)
		for _, row := range f.rows[conv] {
			said, err := ast.InterfaceToValue(docs[conv][row.Key])
			require.NoError(t, err)
			require.Zero(t, ast.Compare(said, row.Document), "said %v\nPostgreSQL made %v", said, row.Document)
			require.Zero(t, ast.Compare(made[row.Key], row.Document), "Go made %v\nPostgreSQL made %v", made[row.Key], row.Document)
		}
	}
	return f
}

// likely picks the first few values more often than the others, so that several
// conditions are true of one row.
func likely(rng *rand.Rand, from []cell) cell {
	if rng.IntN(2) == 0 {
		return pick(rng, from[:min(3, len(from))])
	}
	return pick(rng, from)
}
