package rego

import (
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"
)

// Two definitions exclude each other only where no input makes both true.
func TestExclusive(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`v := 1 if input.x == "a"`, `v := 2 if input.x == "b"`, true},
		{`v := 1 if input.x == "a"`, `v := 2 if input.y == "b"`, false},
		{`v := 1 if input.x == "a"`, `v := 2 if input.x != "a"`, true},
		{`v := 1 if input.x == "a"`, `v := 2 if input.x != "b"`, false},
		{`v := 1 if input.x == "a"`, `v := 2 if not input.x == "a"`, true},
		{`v := 1 if not input.x == "a"`, `v := 2 if not input.x != "a"`, false}, // it may be undefined
		{`v := 1 if input.x in {"a", "b"}`, `v := 2 if input.x in ["c"]`, true},
		{`v := 1 if input.x in {"a", "b"}`, `v := 2 if input.x in {"b", "c"}`, false},
		{`v := 1 if input.x in {"a", "b"}`, `v := 2 if input.x == "c"`, true},
		{`v := 1 if input.x in {"a", "b"}`, `v := 2 if not input.x in {"a", "b", "c"}`, true},
		{`v := 1 if "a" in input.x`, `v := 2 if "b" in input.x`, false},
		{`v := 1 if "a" in input.x`, `v := 2 if not "a" in input.x`, true},
		{`v := 1 if input.x < 3`, `v := 2 if input.x >= 3`, true},
		{`v := 1 if input.x < 3`, `v := 2 if 3 <= input.x`, true},
		{`v := 1 if input.x <= 3`, `v := 2 if input.x >= 3`, false},
		{`v := 1 if input.x < 3`, `v := 2 if input.x > 2`, false}, // 2.5
		{`v := 1 if input.x < 3`, `v := 2 if input.x == "a"`, true},
		{`v := 1 if input.x < "a"`, `v := 2 if input.x == 3`, false}, // numbers are below strings
		{`v := 1 if input.x < input.y`, `v := 2 if input.y < input.x`, true},
		{`v := 1 if input.x < input.y`, `v := 2 if input.y > input.x`, false},
		{`v := 1 if input.x == input.y`, `v := 2 if input.x != input.y`, true},
		{`v := 1 if input.x`, `v := 2 if not input.x`, true},
		{`v := 1 if input.x`, `v := 2 if input.x == false`, true},
		{`v := 1 if input.x`, `v := 2 if input.x == null`, false},
		{`v := 1 if startswith(input.x, "a")`, `v := 2 if not startswith(input.x, "a")`, true},
		{`v := 1 if startswith(input.x, "a")`, `v := 2 if not startswith(input.x, "b")`, false},
		{`v := 1 if startswith(input.x, "a")`, `v := 2 if startswith(input.x, "a") == true`, false},
		{`v := 1 if count(input.x) == 1`, `v := 2 if count(input.x) > 1`, true},
		{`v := 1 if count(input.x) == 1`, `v := 2 if count(input.y) > 1`, false},
		{`v := 1 if { x := input.x; x == 1 }`, `v := 2 if { y := input.x; y == 2 }`, true},
		{`v := 1 if { some x in input.x; x == 1 }`, `v := 2 if { some y in input.x; y == 2 }`, false},
		{`v := 1 if input.x[_] == 1`, `v := 2 if input.x[_] == 2`, false},
		{`v := 1 if input.x[input.y] == 1`, `v := 2 if input.x[input.y] == 2`, true},
		{`v := 1 if input.x == 1`, `v := 2 if { input.x == 2 with input.y as 1 }`, false},
		{`v(x) := 1 if x == 1`, `v(y) := 2 if y == 2`, true},
		{`v(1) := 1`, `v(y) := 2 if y > 1`, true},
		{`v(x, _) := 1 if x == 1`, `v(_, x) := 2 if x == 2`, false},
		{`v([x, 1]) := 1`, `v([x, 2]) := 2`, false}, // patterns are not looked into
		{`v := 1 if numbers.range(1, input.x)[_] == 1`, `v := 2 if numbers.range(1, input.x)[_] == 2`, false},
	} {
		p, err := Load(t.Context(), Module("p.rego", "package p\n"+c.a+"\n"+c.b))
		require.NoError(t, err)
		rules := p.desugared.GetRulesExact(ast.MustParseRef("data.p.v"))
		require.Len(t, rules, 2)
		require.Equal(t, c.want, exclusive(rules[0], rules[1]), "%s\n%s", c.a, c.b)
		require.Equal(t, c.want, exclusive(rules[1], rules[0]), "%s\n%s", c.b, c.a)
	}
}
