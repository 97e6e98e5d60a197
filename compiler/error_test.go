package compiler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

func TestErrorText(t *testing.T) {
	e := &compiler.Error{
		Code:       compiler.CodeBuiltin,
		Position:   &compiler.Position{File: "p.rego", Row: 3, Col: 10},
		Expression: "f(input.object.x)",
		Reason:     "no translation",
		Hint:       "a way out",
	}
	require.EqualError(t, e, "p.rego:3:10: RF3001: no translation: f(input.object.x) (a way out)")
	require.EqualError(t, &compiler.Error{Code: compiler.CodeEval, Reason: "stopped"}, "RF2002: stopped")
	require.EqualError(t, compiler.Errors{e, {Code: compiler.CodeEval, Reason: "stopped"}},
		"p.rego:3:10: RF3001: no translation: f(input.object.x) (a way out)\nRF2002: stopped")
	require.Equal(t, "p.rego", compiler.Position{File: "p.rego"}.String())
}

func TestErrorJSON(t *testing.T) {
	text, err := json.Marshal(compiler.Errors{
		{Code: compiler.CodeBuiltin, Position: &compiler.Position{File: "p.rego", Row: 3, Col: 10}, Expression: "x", Reason: "r", Hint: "h"},
		{Code: compiler.CodeEval, Reason: "r"},
	})
	require.NoError(t, err)
	require.JSONEq(t, `[
		{"code": "RF3001", "position": {"file": "p.rego", "row": 3, "col": 10}, "expression": "x", "reason": "r", "hint": "h"},
		{"code": "RF2002", "reason": "r"}
	]`, string(text))
}

func TestAsErrors(t *testing.T) {
	one := &compiler.Error{Code: compiler.CodeParam, Reason: "r"}
	parse := ast.Errors{
		ast.NewError(ast.ParseErr, ast.NewLocation(nil, "p.rego", 2, 1), "unexpected"),
		ast.NewError(ast.CompileErr, nil, "no place"),
	}
	policy := func(reason string, at *compiler.Position) *compiler.Error {
		return &compiler.Error{Code: compiler.CodePolicy, Reason: reason, Position: at}
	}
	at := &compiler.Position{File: "p.rego", Row: 2, Col: 1}
	for name, c := range map[string]struct {
		err  error
		want compiler.Errors
	}{
		"none":          {nil, nil},
		"one":           {fmt.Errorf("compiling: %w", one), compiler.Errors{one}},
		"several":       {fmt.Errorf("parsing: %w", compiler.Errors{one, one}), compiler.Errors{one, one}},
		"OPA's":         {fmt.Errorf("loading: %w", parse), compiler.Errors{policy("unexpected", at), policy("no place", nil)}},
		"one of OPA's":  {parse[0], compiler.Errors{policy("unexpected", at)}},
		"of its loader": {loader.Errors{parse, errors.New("no file")}, compiler.Errors{policy("unexpected", at), policy("no place", nil), policy("no file", nil)}},
		"any other":     {errors.New("no policy"), compiler.Errors{policy("no policy", nil)}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, compiler.AsErrors(c.err)) })
	}
}

// Each error of a compilation has its code, and the translation's have their place
// in the policy.
func TestRefusals(t *testing.T) {
	const schema = `
resources:
  r:
    table: t
    root: input.object
    fields:
      name: {column: name, type: text}
      n:    {column: n, type: int}
      tags: {column: tags, type: "text[]"}
      j:    {column: j, type: jsonb}
      k:    {column: k, type: jsonb}
    params: {input.user: uuid}
`
	const user = `{"user": "b0000000-0000-4000-8000-000000000001"}`
	for name, c := range map[string]struct {
		policy, input string
		code          compiler.Code
		at            string // row:col below package authz
		expression    string
	}{
		"builtin":                {`allow if crypto.md5(input.object.name) == "a"`, user, compiler.CodeBuiltin, "3:10", `crypto.md5(input.object.name)`},
		"arithmetic":             {"allow if input.object.n / 2 * input.object.n == 2", user, compiler.CodeBuiltin, "3:10", "input.object.n / 2 * input.object.n"},
		"second rule":            {"allow if input.object.n == 1\n\nallow if {\n\tinput.object.n == 2\n\tbase64.encode(input.object.name) == \"A\"\n}", user, compiler.CodeBuiltin, "7:2", "base64.encode(input.object.name)"},
		"loop":                   {"allow if first == \"a\"\nfirst := x if some x in input.object.tags", user, compiler.CodeIteration, "4:15", "some x in input.object.tags"},
		"object comprehension":   {"allow if {x: i | some i, x in input.object.tags}.a == 1", user, compiler.CodeConflict, "3:10", ""},
		"key of the row":         {"allow if { o := {input.object.name: 1}; o.a == 1 }", user, compiler.CodeExpression, "3:17", ""},
		"replaced function":      {"allow if { f with count as 1 }\nf if count(input.object.tags) == 1", user, compiler.CodeWith, "3:12", ""},
		"inside a modifier":      {"allow if { f with input.x as 1 }\nf if { input.x == 1\n\tcrypto.md5(input.object.name) }", user, compiler.CodeBuiltin, "5:2", ""},
		"in a helper":            {"allow if not f(input.object.name)\nf(x) if { x != \"a\"; crypto.md5(x) }", user, compiler.CodeBuiltin, "4:21", ""},
		"in a helper of v2":      {"import rego.v2\nallow if input.object.n == 1 or f(input.object.name)\nf(x) if { crypto.md5(x) }", user, compiler.CodeBuiltin, "5:11", ""},
		"in every":               {"allow if every x in input.object.tags { crypto.md5(x) }", user, compiler.CodeBuiltin, "3:41", ""},
		"in a partial set":       {"allow if \"a\" in s\ns contains x if { some x in input.object.tags; crypto.md5(x) }", user, compiler.CodeBuiltin, "4:48", ""},
		"in a chain of else":     {"allow if h == 1\nh := 1 if input.object.n == 1\nelse := 2 if crypto.md5(input.object.name)", user, compiler.CodeBuiltin, "5:1", ""},
		"values of one key":      {"allow if m.a == 1\nm[x] := i if some i, x in input.object.tags", user, compiler.CodeConflict, "4:14", ""},
		"with":                   {"allow if f with data.y as input.object.n\nf if data.y == input.object.n", user, compiler.CodeWith, "3:10", ""},
		"conflict":               {"allow if v == 1\nv := 1 if input.object.n > 1\nv := 2 if input.object.n < 9", user, compiler.CodeConflict, "", ""},
		"order of sets":          {"allow if {input.object.name, \"a\"} < {input.object.n}", user, compiler.CodeCompare, "3:10", ""},
		"index":                  {"allow if [x | some x in input.object.tags][0] == \"a\"", user, compiler.CodeReference, "3:10", ""},
		"huge number":            {"allow if input.object.n < 1e2000", user, compiler.CodeLiteral, "3:10", "input.object.n < 1e2000"},
		"beyond a double":        {"allow if input.object.j == 1e400", user, compiler.CodeLiteral, "3:10", "input.object.j == 1e400"},
		"beyond it in two ways":  {"allow if { input.x == 10e399; input.object.n == 1 }", `{"user": "b0000000-0000-4000-8000-000000000001", "x": 1e400}`, compiler.CodeLiteral, "3:23", ""},
		"known conflict":         {"allow if v == input.object.n\nv := 1 if true\nv := 2 if true", user, compiler.CodeEval, "", ""},
		"missing parameter":      {"allow if input.object.name == input.user", "{}", compiler.CodeParam, "", ""},
		"parameter of no uuid":   {"allow if input.object.name == input.user", `{"user": "B0000000-0000-4000-8000-000000000001"}`, compiler.CodeParam, "", ""},
		"parameter of no string": {"allow if input.object.name == input.user", `{"user": 3}`, compiler.CodeParam, "", ""},
		"root that is no object": {"allow if input.object.n == 1", `{"object": 3}`, compiler.CodeInput, "", ""},
		"root never read":        {"allow if input.doc.n == 1", user, compiler.CodeSchemaRoot, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(t.Context(), "package authz\n\n"+c.policy, schema, c.input)
			errs := compiler.AsErrors(err)
			require.Len(t, errs, 1, "%v", err)
			e := errs[0]
			require.Equal(t, c.code, e.Code, "%v", err)
			require.NotEmpty(t, e.Reason)
			if c.at != "" {
				require.NotNil(t, e.Position, "%v", err)
				require.Equal(t, "p.rego:"+c.at, e.Position.String(), "%v", err)
			}
			if c.expression != "" {
				require.Equal(t, c.expression, e.Expression)
			}
		})
	}
}

func TestDecodeInput(t *testing.T) {
	in, err := compiler.DecodeInput([]byte(`{"n": 12345678901234567890.5}`))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": json.Number("12345678901234567890.5")}, in)

	for _, text := range []string{"", "{", "[]", "null", "3", `{} {}`} {
		_, err := compiler.DecodeInput([]byte(text))
		var refused *compiler.Error
		require.ErrorAs(t, err, &refused, text)
		require.Equal(t, compiler.CodeInput, refused.Code, text)
	}
}

// compile is the whole way, for the first resource of the schema.
func compile(ctx context.Context, policy, schema, input string) (*compiler.Compilation, error) {
	s, err := compiler.ParseSchema([]byte(schema))
	if err != nil {
		return nil, err
	}
	in, err := compiler.DecodeInput([]byte(input))
	if err != nil {
		return nil, err
	}
	p, err := rego.Load(ctx, rego.Module("p.rego", policy))
	if err != nil {
		return nil, err
	}
	q, err := p.Prepare(ctx, "data.authz.allow")
	if err != nil {
		return nil, err
	}
	for _, r := range s.Resources {
		return compiler.Compile(ctx, q, r, in)
	}
	return nil, errors.New("no resource")
}
