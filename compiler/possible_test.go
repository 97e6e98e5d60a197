package compiler_test

import (
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

const everyType = `
resources:
  r:
    table: t
    fields:
      c: {const: {a: [1, "x"]}}
      l: {const: [1, "x"]}
      u: {column: u, type: uuid}
      u0: {column: u0, type: uuid, not_null: true}
      vu: {column: vu, type: uuid, "null": ""}
      au: {column: au, type: uuid, absent: true}
      t0: {column: t0, type: text, not_null: true}
      i: {column: i, type: int}
      f: {column: f, type: float}
      n: {column: n, type: numeric}
      b: {column: b, type: bool}
      ts: {column: ts, type: timestamptz}
      ns: {column: ns, type: timestamptz, as: unix_ns}
      d: {column: d, type: date}
      ip: {column: ip, type: inet}
      j: {column: j, type: jsonb}
      e: {column: e, type: enum(status)}
      ta: {column: ta, type: "text[]"}
    params: {input.p: uuid, input.ps: "int[]"}
`

func TestCanBe(t *testing.T) {
	s, err := compiler.ParseSchema([]byte(everyType))
	require.NoError(t, err)
	fields := map[string]*compiler.Field{}
	types := map[string]string{}
	for i := range s.Resources["r"].Fields {
		f := &s.Resources["r"].Fields[i]
		fields[f.Path[0]] = f
		types[f.Path[0]] = f.JSONType()
	}
	const id = `"b0000000-0000-4000-8000-000000000001"`
	for name, c := range map[string]struct{ can, not []string }{
		"c":  {[]string{`{"a": [1, "x"]}`}, []string{`{}`, "null"}},
		"u":  {[]string{id, "null"}, []string{`"me"`, `""`, `"B0000000-0000-4000-8000-000000000001"`, "3"}},
		"u0": {[]string{id}, []string{"null"}},
		"vu": {[]string{id, `""`}, []string{"null"}},
		"au": {[]string{id}, []string{"null"}},
		"t0": {[]string{`""`, `"x"`}, []string{"null", "3", `"\u0000"`, "[]", `{"a"}`}},
		"i":  {[]string{"3", "3.0", "-1e3"}, []string{`"3"`, "1.5", "1e30", "true"}},
		"f":  {[]string{"0.1", "1e300"}, []string{"0.1000000000000000055", "1e400"}},
		"n":  {[]string{"0.1", "1e300"}, []string{`"0.1"`}},
		"b":  {[]string{"true"}, []string{`"true"`, "1"}},
		"ts": {[]string{`"2026-01-02T03:04:05Z"`}, []string{`"2026-01-02"`, `"2026-01-02T03:04:05+01:00"`, "1"}},
		"ns": {[]string{"1767323045000000000"}, []string{`"2026-01-02T03:04:05Z"`, "1"}},
		"d":  {[]string{`"2026-01-02"`}, []string{`"2026-13-02"`, `"2026-1-2"`}},
		"ip": {[]string{`"10.0.0.1"`, `"10.0.0.0/8"`, `"::1"`, `"2001:db8::/32"`}, []string{`"10.0.0"`, `"10.0.0.1/32"`}},
		"j":  {[]string{"1", `"x"`, "[]", "null"}, nil},
		"e":  {[]string{`"open"`}, []string{"1"}},
		"ta": {[]string{"[]", `["a", null]`}, []string{`"a"`, "[1]"}},
	} {
		for _, v := range c.can {
			require.True(t, fields[name].CanBe(ast.MustParseTerm(v).Value), "%s can be %s", name, v)
		}
		for _, v := range c.not {
			require.False(t, fields[name].CanBe(ast.MustParseTerm(v).Value), "%s can't be %s", name, v)
			if name != "ip" && name != "ta" { // compared as text and as jsonb: the compiler does not see it
				requireNever(t, "input.object."+name+" == "+v)
			}
		}
	}
	for name, c := range map[string]struct{ can, not []string }{
		"ta": {[]string{`"a"`, "null"}, []string{"1"}},
		"l":  {[]string{`"x"`, "1"}, []string{`"y"`}},
		"j":  {[]string{`"x"`}, nil},
		"t0": {nil, []string{`"x"`}},
	} {
		for _, v := range c.can {
			require.True(t, fields[name].CanHold(ast.MustParseTerm(v).Value), "%s can hold %s", name, v)
		}
		for _, v := range c.not {
			require.False(t, fields[name].CanHold(ast.MustParseTerm(v).Value), "%s can't hold %s", name, v)
			requireNever(t, v+" in input.object."+name)
		}
	}
	require.Equal(t, map[string]string{
		"c": "object", "l": "array", "u": "string", "u0": "string", "vu": "string", "au": "string", "t0": "string", "i": "number", "f": "number",
		"n": "number", "b": "boolean", "ts": "string", "ns": "number", "d": "string", "ip": "string", "j": "any", "e": "string", "ta": "array",
	}, types)
	p, ps := &s.Resources["r"].Params[0], &s.Resources["r"].Params[1]
	require.True(t, p.CanBe(ast.MustParseTerm(id).Value))
	require.False(t, p.CanBe(ast.String("me")))
	require.False(t, p.CanBe(ast.NullValue))
	require.True(t, ps.CanBe(ast.MustParseTerm("[1]").Value))
	require.False(t, ps.CanBe(ast.MustParseTerm(`["1"]`).Value))
}

// requireNever: what is never said to be is never selected.
func requireNever(t *testing.T, condition string) {
	c, err := compile(t.Context(), "package authz\nallow if "+condition, everyType, `{"p": "b0000000-0000-4000-8000-000000000001", "ps": []}`)
	require.NoError(t, err, condition)
	require.Equal(t, sqlgen.ResultNever, c.Filter.Result(), condition)
}
