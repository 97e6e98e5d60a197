package rego

import (
	"fmt"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"
)

// Full evaluation means the same of a policy and of what desugaring makes of it.
func TestDesugarElse(t *testing.T) {
	inputs := []string{
		`{}`, `null`, `{"x": null}`, `{"x": false}`, `{"x": true}`,
		`{"x": 0}`, `{"x": 1}`, `{"x": 2}`, `{"x": 3}`, `{"x": 4}`,
		`{"x": "a"}`, `{"x": [1, 2]}`, `{"x": {"y": 1}}`,
		`{"x": 1, "y": 1}`, `{"x": 1, "y": 2}`, `{"x": 2, "y": false}`, `{"x": 3, "y": null}`, `{"y": 3}`,
	}
	for name, policy := range map[string]string{
		"two links":           "p := 1 if input.x == 1\nelse := 2 if input.x == 2",
		"many links":          "p := 1 if input.x < 1\nelse := 2 if input.x < 2\nelse := 3 if input.x < 3\nelse := 4",
		"no last condition":   "p := 1 if input.x == 1\nelse := 2",
		"no values":           "p if input.x == 1\nelse := false if input.x == 2\nelse if input.x == 3",
		"false is a value":    "p := false if input.x\nelse := true if input.y",
		"value of the input":  "p := input.y if input.x == 1\nelse := 2 if input.x",
		"undefined value":     "p := input.y.z if input.x\nelse := input.y if input.x\nelse := 9",
		"computed value":      "p := input.x + 1 if input.y\nelse := input.x * 10",
		"loop value":          "p := v if some v in input.x\nelse := 0",
		"with default":        "default p := 0\np := 1 if input.x == 1\nelse := 2 if input.x == 2",
		"beside another rule": "p := 1 if input.x == 1\nelse := 2 if input.x == 2\np := 3 if input.x == 3",
		"two chains":          "p := 1 if input.x == 1\nelse := 2 if input.x == 2\np := 2 if input.y == 2\nelse := 1 if input.y == 1",
		"chains of two rules": "p := 1 if input.x == 1\nelse := q if input.x\nq := 5 if input.y == 1\nelse := 6 if input.y == 2\nelse := 7",
		"variables":           "p := y if {\n\ty := input.y\n\ty > 1\n} else := y if {\n\ty := input.x\n\ty > 1\n}",
		"negations":           "p := 1 if not input.x\nelse := 2 if not input.y\nelse := 3",
		"every":               "p := 1 if every v in input.x { v > 0 }\nelse := 2",
		"with modifier":       "p := 1 if q with input.x as input.y\nelse := 2 if q\nq if input.x == 1",
		"path":                "p.a.b := 1 if input.x == 1\nelse := 2 if input.x == 2",

		"function":             "p := f(input.x)\nf(x) := 1 if x == 1\nelse := 2 if x == 2\nelse := 3",
		"functions default":    "p := f(input.x)\ndefault f(_) := 0\nf(x) := 1 if x == 1\nelse := 2 if x == 2",
		"wildcard argument":    "p := f(input.x, input.y)\nf(_, y) := 1 if y == 1\nelse := 2 if y == 2",
		"wildcard arguments":   "p := f(input.x, input.y)\nf(_, _) := 1 if input.x == 1\nelse := 2",
		"wildcard in an array": "p := f(input.x)\nf([x, _]) := x if x > 1\nelse := 2",
		"constant argument":    "p := f(input.x)\nf(1) := 1 if input.y == 1\nelse := 2 if input.y == 2\nf(2) := 4 if input.y\nelse := 5",
		"object argument":      "p := f(input.x)\nf({\"y\": y}) := y if y > 1\nelse := 2",
		"undefined argument":   "p := f(input.x.y.z)\nf(x) := x if x\nelse := 2",
		"function value":       "p := f(input.x)\nf(x) := x.y if x\nelse := x",
		"function in a set":    "p := {f(v) | some v in [input.x, input.y, 3]}\nf(v) := \"one\" if v == 1\nelse := \"many\" if v > 1",
		"nested functions":     "p := f(g(input.x))\nf(x) := 1 if x == 2\nelse := g(x)\ng(x) := 2 if x == 1\nelse := x",
	} {
		t.Run(name, func(t *testing.T) {
			module := Module("policy.rego", "package t\n\n"+policy)
			p, err := Load(t.Context(), module)
			require.NoError(t, err)
			for _, m := range p.desugared.Modules {
				for _, r := range m.Rules {
					require.Nil(t, r.Else)
				}
			}
			desugared := withoutElse(t, module)
			for _, input := range inputs {
				require.Equal(t, value(t, p.source, input), value(t, desugared, input), "input %s", input)
			}
		})
	}
}

// withoutElse is the policy as partial evaluation sees it, but for its modifiers.
func withoutElse(t *testing.T, from ...Source) *ast.Compiler {
	t.Helper()
	s := sources{modules: map[string]*ast.Module{}, data: map[string]any{}}
	for _, src := range from {
		require.NoError(t, src(&s))
	}
	plain := map[string]*ast.Module{}
	for name, m := range s.modules {
		plain[name] = desugarElse(m)
	}
	c, err := compile(plain, untyped())
	require.NoError(t, err)
	return c
}

// value is data.t.p, or what evaluation says instead.
func value(t *testing.T, c *ast.Compiler, input string) string {
	t.Helper()
	rs, err := rego.New(rego.Compiler(c), rego.Query("data.t.p"), rego.ParsedInput(ast.MustParseTerm(input).Value)).Eval(t.Context())
	switch {
	case err != nil:
		return "error"
	case len(rs) == 0:
		return "undefined"
	default:
		return fmt.Sprint(rs[0].Expressions[0].Value)
	}
}

// The rules of one package may stand in several modules, with chains at the same
// place in each.
func TestDesugarElseInSeveralModules(t *testing.T) {
	a := Module("a.rego", "package t\n\na := 1 if input.x == 1\nelse := 2\n\np := [a, b]")
	b := Module("b.rego", "package t\n\nb := 1 if input.y == 1\nelse := 2\n")
	p, err := Load(t.Context(), a, b)
	require.NoError(t, err)
	for _, input := range []string{`{}`, `{"x": 1}`, `{"y": 1}`, `{"x": 1, "y": 1}`} {
		require.Equal(t, value(t, p.source, input), value(t, withoutElse(t, a, b), input), "input %s", input)
	}
}
