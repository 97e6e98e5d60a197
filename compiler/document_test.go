package compiler_test

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

// TestGoInputs: what JSON could not have said is refused, and structs are objects.
func TestGoInputs(t *testing.T) {
	ctx := context.Background()
	schema, err := compiler.ParseSchema([]byte(`
params: {input.subject.id: text}
resources: {thing: {table: things, root: input.object, fields: {t: {column: t, type: text}, n: {column: n, type: numeric}}}}`))
	require.NoError(t, err)
	resource, err := schema.Resource("thing")
	require.NoError(t, err)
	policy, err := rego.Load(ctx, rego.Module("p.rego", "package authz\nallow if { input.n > 1; input.object.t == input.subject.id }\nallow if input.object.t == input.s"))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)

	type subject struct {
		ID string `json:"id"`
	}
	c, err := compiler.Compile(ctx, query, resource, map[string]any{"n": 2, "subject": subject{"a"}})
	require.NoError(t, err)
	require.Equal(t, "t = 'a'", c.Filter.Inline())

	// OPA's own objects may have keys that JSON has not
	numbered := ast.MustParseTerm(`{"n": 0, "subject": {"id": "a"}, "s": "b", "names": {1: "c"}}`).Value
	byNumber, err := rego.Load(ctx, rego.Module("p.rego", "package authz\nallow if not input.names[1] == input.object.t"))
	require.NoError(t, err)
	asked, err := byNumber.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)
	c, err = compiler.Compile(ctx, asked, resource, numbered)
	require.NoError(t, err)
	require.Equal(t, "t IS DISTINCT FROM 'c'", c.Filter.Inline())

	for name, input := range map[string]map[string]any{
		"NaN":                {"n": math.NaN()},
		"infinity":           {"n": math.Inf(1)},
		"no number":          {"n": json.Number("abc")},
		"a quotient":         {"n": []any{json.Number("1/2")}},
		"an empty number":    {"n": json.Number("")},
		"a hexadecimal":      {"n": json.Number("0x10")},
		"text that is not":   {"s": "\xff"},
		"a quotient as one":  {"n": 2, "subject": map[string]any{"id": json.Number("1/2")}},
		"no parameter":       {"n": 2, "subject": nil},
		"null parameter":     {"subject": map[string]any{"id": nil}},
		"parameter of a map": {"subject": map[string]any{"id": map[string]any{}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, given := input["subject"]; !given {
				input["subject"] = subject{"a"}
			}
			_, err := compiler.Compile(ctx, query, resource, input)
			require.Error(t, err)
			require.NotEmpty(t, compiler.AsErrors(err)[0].Code)
		})
	}
}
