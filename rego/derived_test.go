package rego_test

import (
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/rego"
)

// A builtin without a fixed value is found also where it stands in for another, and one
// that looks at the clock by itself.
func TestAsksTime(t *testing.T) {
	for body, want := range map[string]bool{
		`input.x == 1`:                                              false,
		`time.now_ns() > 1`:                                         true,
		`not time.now_ns() > 1`:                                     true,
		`helper`:                                                    true,
		`every x in [1] { x < time.now_ns() }`:                      true,
		`{x | x := time.now_ns()} != set()`:                         true,
		`input.x == 1 with input.x as time.now_ns()`:                true,
		`opa.runtime() > 1 with opa.runtime as time.now_ns`:         true,
		`crypto.x509.parse_and_verify_certificates(input.certs)[0]`: true,
		`crypto.x509.parse_and_verify_certificates_with_options(input.certs, {})[0]`: true,
	} {
		query := prepared(t, "package authz\nallow if { "+body+" }\nhelper if time.now_ns() > 1")
		require.Equal(t, want, query.AsksTime(), body)
	}
}

func TestDerivedHasOneValue(t *testing.T) {
	for body, refused := range map[string]string{
		`x := input.y`:                                   "",
		`x := time.now_ns()`:                             "",
		`x := rand.intn("a", 3)`:                         "calls rand.intn",
		`x := upper("a") with upper as uuid.rfc4122`:     "calls uuid.rfc4122",
		`x := upper("a") with upper as data.authz.other`: "calls uuid.rfc4122",
		`x := input.object.id`:                           "reads input.object.id",
		`x := input.object.kind`:                         "",
		`some k; x := input[k].id`:                       "reads input",
	} {
		query := prepared(t, "package authz\nallow if count(derived) > 0\nderived contains x if { "+body+" }\nother(x) := uuid.rfc4122(x)")
		err := query.Policy().Derived(ast.MustParseRef("data.authz.derived"), []ast.Ref{ast.MustParseRef("input.object.id")})
		if refused == "" {
			require.NoError(t, err, body)
			continue
		}
		require.ErrorContains(t, err, refused, body)
	}
}

func prepared(t *testing.T, policy string) *rego.Query {
	p, err := rego.Load(t.Context(), rego.Module("policy.rego", policy))
	require.NoError(t, err, policy)
	query, err := p.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err, policy)
	return query
}
