package rego_test

import (
	"context"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/rego"
)

func load(t *testing.T, text string) *rego.Policy {
	t.Helper()
	p, err := rego.Load(t.Context(), rego.Module("policy.rego", text))
	require.NoError(t, err)
	return p
}

func TestPrepareRefuses(t *testing.T) {
	p := load(t, "package app.authz\n\nallow if input.x\n\nallow_all if input.y\n\nf(x) := x\n\nroles contains \"a\" if input.z\n")
	const form = "want a reference to a rule such as data.authz.allow"
	for query, want := range map[string]string{
		"":                       form,
		"allow":                  form,
		"input.x":                form,
		"data":                   form,
		"data.app.authz[x]":      form,
		"data.app.authz.allow(":  form,
		"data.app.authz.alow":    "the policy has no such rule; it has data.app.authz.allow, data.app.authz.allow_all, data.app.authz.f, data.app.authz.roles",
		"data.authz.allow":       "the policy has no such rule",
		"data.app.authz.allow.x": "undefined ref: data.app.authz.allow.x",
	} {
		t.Run(query, func(t *testing.T) {
			q, err := p.Prepare(t.Context(), query)
			require.Nil(t, q)
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, query)
		})
	}
	q, err := p.Prepare(t.Context(), "data.app.authz.allow")
	require.NoError(t, err)
	require.Equal(t, "data.app.authz.allow", q.String())
	require.Same(t, p, q.Policy())
}

func TestEval(t *testing.T) {
	p := load(t, `package authz

allow if input.x == 1

conflict := 1 if input.x > 0

conflict := true if input.x > 1

asked := input.x
`)
	eval := func(query, input string) (bool, error) {
		q, err := p.Prepare(t.Context(), query)
		require.NoError(t, err)
		return q.Eval(t.Context(), ast.MustParseTerm(input).Value)
	}
	ok, err := eval("data.authz.allow", `{"x": 1}`)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = eval("data.authz.allow", `{"x": 2}`)
	require.NoError(t, err)
	require.False(t, ok)
	ok, err = eval("data.authz.asked", `{"x": 7}`)
	require.NoError(t, err)
	require.False(t, ok, "a value that is not true does not allow")
	ok, err = eval("data.authz.conflict", `{"x": 2}`)
	require.ErrorContains(t, err, "evaluating data.authz.conflict: ")
	require.False(t, ok)
}

func TestPartialStopsWithItsContext(t *testing.T) {
	p := load(t, "package authz\n\nallow if {\n\tsome x in numbers.range(1, 100000000)\n\tinput.x == x\n}\n")
	q, err := p.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := q.Partial(ctx, ast.NewObject(), []ast.Ref{ast.MustParseRef("input.x")})
	require.Nil(t, r)
	require.ErrorContains(t, err, "partially evaluating data.authz.allow: ")
}

func TestReads(t *testing.T) {
	p := load(t, "package authz\n\nallow if input.object.owner == input.subject.id\n\nallow if input.list[_] == 1\n")
	var refs []string
	for _, r := range p.InputRefs() {
		refs = append(refs, r.String())
	}
	require.Equal(t, []string{"input.list", "input.object.owner", "input.subject.id"}, refs)
	for ref, want := range map[string]bool{
		"input.object":         true,
		"input.object.owner":   true,
		"input.object.owner.x": true,
		"input.list[0]":        true,
		"input.object.id":      false,
		"input.doc":            false,
	} {
		require.Equal(t, want, p.Reads(ast.MustParseRef(ref)), ref)
	}
}

func TestResidual(t *testing.T) {
	p := load(t, `package authz

allow if {
	input.known
	small
	not input.object.secret
}

small if input.object.size < limits.size

limits := {"size": 3 + 4}

labels contains "a" if input.object.a

allow if "a" in labels

package_name := "x"
`)
	q, err := p.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err)
	unknown := []ast.Ref{ast.MustParseRef("input.object")}
	r, err := q.Partial(t.Context(), ast.MustParseTerm(`{"known": true}`).Value, unknown)
	require.NoError(t, err)
	text := r.String()
	require.Contains(t, text, "data.residual.authz.allow = true\n")
	require.Contains(t, text, "data.residual.authz.small: ")
	require.Contains(t, text, "# policy.rego:9\n")
	require.NotContains(t, text, "input.known", "what is known is folded")
	require.Contains(t, text, ", 7)")
	for range 5 {
		again, err := q.Partial(t.Context(), ast.MustParseTerm(`{"known": true}`).Value, unknown)
		require.NoError(t, err)
		require.Equal(t, text, again.String())
	}

	require.True(t, r.Owns(ast.MustParseRef("data.residual.authz.small")))
	require.False(t, r.Owns(ast.MustParseRef("data.authz.small")))
	rules, n := r.Rules(ast.MustParseRef("data.residual.authz.labels.a"))
	require.Len(t, rules, 1)
	require.Equal(t, 4, n)
	rules, n = r.Rules(ast.MustParseRef("data.residual.authz.none"))
	require.Empty(t, rules)
	require.Zero(t, n)

	denied := load(t, "package authz\n\nallow if {\n\tinput.known\n\tinput.object.x\n}\n")
	q, err = denied.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err)
	r, err = q.Partial(t.Context(), ast.MustParseTerm(`{"known": false}`).Value, unknown)
	require.NoError(t, err)
	require.Empty(t, r.String())
}

// The residual's namespace is none of the policy's packages.
func TestNamespaceIsFree(t *testing.T) {
	p := load(t, "package residual\n\nallow if input.object.x\n")
	q, err := p.Prepare(t.Context(), "data.residual.allow")
	require.NoError(t, err)
	r, err := q.Partial(t.Context(), ast.NewObject(), []ast.Ref{ast.MustParseRef("input.object")})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(r.String(), "data.residual_."), r.String())
}
