package rego_test

import (
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/rego"
)

func TestRules(t *testing.T) {
	p, err := rego.Load(t.Context(),
		rego.Module("a.rego", `package authz
import data.helpers
allow if helpers.f(input.object.x)
allow if { some s in states; s == input.object.s; every t in input.ts { named(t) } }
states := {"a", "b"}
default limit := 3
empty := 1 if input.x
else := 2
unused if input.object.y
named(t) if t != object.get(helpers.table, t, 1)
`),
		rego.Module("b.rego", `package helpers
f(x) if x == 1
f(x) if table[x]
table[k] := 1 if some k in input.keys
other if true
`))
	require.NoError(t, err)
	q, err := p.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err)
	var have []string
	for _, r := range q.Rules() {
		have = append(have, r.Loc().File+":"+r.Head.Ref().GroundPrefix().String())
	}
	require.Equal(t, []string{"a.rego:allow", "a.rego:allow", "a.rego:states", "a.rego:named", "b.rego:f", "b.rego:f", "b.rego:table"}, have)

	v, ok := q.Constant(ast.MustParseRef("data.authz.states"))
	require.True(t, ok)
	require.Equal(t, `{"a", "b"}`, v.String())
	for _, ref := range []string{"data.authz.allow", "data.authz.empty", "data.helpers.table", "data.helpers.f", "data.none", "data.authz"} {
		_, ok := q.Constant(ast.MustParseRef(ref))
		require.False(t, ok, ref)
	}
}
