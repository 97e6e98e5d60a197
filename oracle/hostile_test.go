package oracle

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rego"
)

func anyConstants() []ast.Value {
	var out []ast.Value
	for _, text := range []string{`"a"`, `"Zed"`, `"a\u0000"`, `1e400`, `1e-400`, `1e30000`, `-5.25`, `9223372036854775807`, `"` + uuidB + `"`, `"2026-01-02T03:04:05.123456+07:00"`, `"9999-12-31T23:59:59.9999999Z"`, `"2026-01-02"`, `"10.0.0.3/8"`, `{"a": [1, "x"], "b": {1e30000}}`, `{"c": ["d"]}`, `null`, `true`} {
		out = append(out, ast.MustParseTerm(text).Value)
	}
	return out
}

// TestHostileFits makes rows for columns that take less than their type in a schema
// has: PostgreSQL takes all of them.
func TestHostileFits(t *testing.T) {
	ctx := context.Background()
	db := pgtest.New(t)
	_, err := db.Exec(ctx, `
		CREATE TYPE mood AS ENUM ('sad', 'Zed', 'o''k');
		CREATE DOMAIN short AS varchar(5) CHECK (value ~ '^[a-z]+$');
		CREATE DOMAIN codes AS int4[];
		CREATE TABLE "Small" (
			id uuid, i2 int2 NOT NULL, i4 int4, i8 int8, f4 real, f8 float8 NOT NULL, n numeric, n52 numeric(5,2), n5m numeric(3,-2),
			v varchar(3), c char(4), t text NOT NULL, ts timestamptz(0), ts6 timestamptz NOT NULL, d date, ip inet, net cidr,
			m mood NOT NULL, j jsonb NOT NULL, tags varchar(2)[] NOT NULL, ms mood[], ids uuid[], w short NOT NULL, codes codes
		);
		INSERT INTO "Small" (i2, f8, t, ts6, m, j, tags, w) VALUES (1, 1, '', now(), 'sad', '{}', '{}', 'abc')`)
	require.NoError(t, err)
	schema, err := compiler.ParseSchema([]byte(`
resources:
  small:
    table: Small
    fields:
      id: {column: id, type: uuid}
      i2: {column: i2, type: int, not_null: true}
      i4: {column: i4, type: int}
      i8: {column: i8, type: int}
      f4: {column: f4, type: float}
      f8: {column: f8, type: float, not_null: true}
      n: {column: n, type: numeric}
      n52: {column: n52, type: numeric}
      n5m: {column: n5m, type: numeric}
      v: {column: v, type: text}
      c: {column: c, type: text}
      t: {column: t, type: text, not_null: true}
      ts: {column: ts, type: timestamptz}
      ts6: {column: ts6, type: timestamptz, not_null: true, as: unix_ns}
      d: {column: d, type: date}
      ip: {column: ip, type: inet}
      net: {column: net, type: inet}
      m: {column: m, type: enum(mood), not_null: true}
      j: {column: j, type: jsonb, not_null: true}
      tags: {column: tags, type: "text[]", not_null: true}
      ms: {column: ms, type: "enum(mood)[]"}
      ids: {column: ids, type: "uuid[]"}
      w: {column: w, type: text, not_null: true}
      codes: {column: codes, type: "int[]"}
      fixed: {const: x}
`))
	require.NoError(t, err)
	resource, err := schema.Resource("small")
	require.NoError(t, err)

	columns, err := ColumnsOf(ctx, db, resource.Table)
	require.NoError(t, err)
	require.Equal(t, []string{"sad", "Zed", "o'k"}, columns["ms"].Labels)
	require.Equal(t, Column{Type: "varchar", Mod: 6, Labels: []string{}}, columns["tags"])
	require.Equal(t, []json.RawMessage{json.RawMessage(`"abc"`)}, columns["w"].Values)
	_, err = ColumnsOf(ctx, db, "no_such")
	require.Error(t, err)

	rng := rand.New(rand.NewPCG(1, 1))
	made := Hostile(rng, resource, columns, anyConstants(), 3000)
	_, err = db.Exec(ctx, `INSERT INTO "Small" SELECT * FROM jsonb_populate_recordset(NULL::"Small", $1::jsonb)`, "["+strings.Join(made, ",")+"]")
	require.NoError(t, err)
	require.Equal(t, made[:50], Hostile(rand.New(rand.NewPCG(1, 1)), resource, columns, anyConstants(), 50), "the same seed makes the same rows")

	policy, err := rego.Load(ctx, rego.Module("policy.rego", "package authz\nallow if input.object.t != \"a\""))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)
	report, err := CheckMade(ctx, db, Case{Query: query, Resource: resource}, made)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.Greater(t, report.Rows-len(report.Allowed), 30, "constants of the policy are among the values")
	require.Equal(t, made[7], marshal(ast.MustJSON(parse(t, made[7]))))
}

func parse(t *testing.T, text string) ast.Value {
	v, err := ast.ValueFromReader(strings.NewReader(text))
	require.NoError(t, err)
	return v
}
