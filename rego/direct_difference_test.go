package rego

import (
	"fmt"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"
)

// Where the order or the way of OPA's evaluation shows, which direct evaluation does not
// follow.
func TestDirectDifferences(t *testing.T) {
	for name, tc := range map[string]struct{ policy, input string }{
		"definitions of equal values": {
			"p := input.a\np := input.b\nq := json.marshal(p)", `{"a": 1, "b": 1.0}`,
		},
		"solutions of equal values": {"p := x if some x in input.a\nq := json.marshal(p)", `{"a": [1, 1.0]}`},
		"keys of equal values": {
			"p[k] := v if some k, v in input.a\np[k] := v if some k, v in input.b\nq := json.marshal(p)",
			`{"a": {"x": 1}, "b": {"x": 1.0}}`,
		},
		"equal keys": {"p[k] := 1 if some k in input.a\nq := json.marshal([k | some k, _ in p])", `{"a": [1, 1.0]}`},
		"equal arguments": {
			"f(x) := json.marshal(x)\np := [f(x) | some x in input.a]", `{"a": [1, 1.0]}`,
		},
		"values of a function that are equal": {
			"f(x) := input.a if x\nf(x) := input.b if x\np := [json.marshal(f(true)), json.marshal(f(true))]",
			`{"a": {"x": [1]}, "b": {"x": [1.0]}}`,
		},
		"a place in an array of data":         {`p := data.d.arr["1"]`, `{}`},
		"a place of the input in one of data": {`p := data.d.arr[input.at]`, `{"at": "1"}`},
		"a place of the input below one":      {`p := data.d.arr["3"][input.at]`, `{"at": "a"}`},
		"a wanted value that is the default":  {"default f(_) := 2\nf(x) := 1 if x\np if f(input.x, 2)", `{"x": true}`},
		"a wanted value that is else":         {"f(x) := 1 if x\nelse := 2\np if f(input.x, 2)", `{"x": true}`},
		"a wanted value with a conflict":      {"f(x) := 1 if x\nf(x) := 2 if x\np if f(input.x, 2)", `{"x": true}`},
		"a number that no float is":           {"p if input.x == 1e400", `{"x": 10e399}`},
		"one among members":                   {"p if input.x in {1e400, 2}", `{"x": 10e399}`},
		"one in a function":                   {"f(1e400) := 1\np := f(input.x)", `{"x": 10e399}`},
		"definitions of equal keys": {
			"p := {input.a: 1} if true\np := {input.b: 1} if true\nq := json.marshal(p)", `{"a": 1, "b": 1.0}`,
		},
		"keys of equal keys": {
			"p.k := {{input.a: 1}: 1} if true\np.k := {{input.b: 1}: 1} if true\nq := json.marshal(p)", `{"a": 1, "b": 1.0}`,
		},
		"one as a key, unified":                 {"p if {input.x: 1} == {input.y: 1}", `{"x": 1e400, "y": 10e399}`},
		"one as a key of a negation":            {"p if not {input.x * input.x: 1} == {input.y: 1}", `{"x": 1e200, "y": 1e400}`},
		"one in a key of a value":               {"p if [{[input.x]: 1}] == [{[input.y]: 1}]", `{"x": 1e400, "y": 10e399}`},
		"one as a key that is an argument":      {"f(x) := 1 if x == {input.x: 1}\np := f({input.y: 1})", `{"x": 1e400, "y": 10e399}`},
		"one looked up in a literal":            {"p if {input.x: 1}[input.y]", `{"x": 1e400, "y": 10e399}`},
		"one looked up in a set":                {"p if { s := {input.x}; s[input.y] }", `{"x": 1e400, "y": 10e399}`},
		"one looked up in a rule's set":         {"s contains [input.x] if true\np if s[[input.y]]", `{"x": 1e400, "y": 10e399}`},
		"one looked up in a rule's keys":        {"s[input.x] := 1 if true\np := s[input.y]", `{"x": 1e400, "y": 10e399}`},
		"one looked up in a constant object":    {"default s := {1e400: 1}\np if s[input.y]", `{"y": 10e399}`},
		"a comprehension for all keys at once":  {"p := [s | some k in input.a; s := [k | k = input.b[_]]]", `{"a": [1], "b": [1.0, 2]}`},
		"a comprehension of keys that conflict": {"p := [s | some k in input.a; s := {x: y | some x, y in input.b; [x, y] = k}]", `{"a": [[0, 1], [0, 2]], "b": [1, 2]}`},
		"a default beside a definition's false": {"default p := true\np := false if input.x", `{"x": 1}`},
		"an early end before a conflict":        {"c := x if some x in input.a\np if { some y in [1, 2]; y < c }\np if input.b", `{"a": [3, 4], "b": true}`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Load(t.Context(), Data(randomData()), Module("m.rego", "package x\n"+tc.policy))
			require.NoError(t, err)
			agrees(t, tc.policy, p, ast.MustParseTerm(tc.input).Value)
		})
	}
}

// OPA leaves a body of a constant value at its first solution: to look at all of them
// would be too many steps here.
func TestDirectFirstSolution(t *testing.T) {
	p, err := Load(t.Context(), Module("m.rego", `package x
p if {
	some a in input.all
	some b in input.all
	some c in input.all
	a == b
	b == c
}`))
	require.NoError(t, err)
	rules, ok := p.direct.compile([]ast.Ref{ast.MustParseRef("data.x.p")})
	require.True(t, ok[0])
	all := make([]*ast.Term, 200)
	for i := range all {
		all[i] = ast.StringTerm("same")
	}
	got, err := rules.eval(t.Context(), ast.NewObject(ast.Item(ast.StringTerm("all"), ast.ArrayTerm(all...))))
	require.NoError(t, err)
	require.Equal(t, ast.Value(ast.Boolean(true)), got[0])
}

// One derivation serves many, while others are made.
func TestDirectConcurrently(t *testing.T) {
	p, err := Load(t.Context(), Data(randomData()), Module("m.rego", `package x
s contains x if some x in data.d.arr
o[x] := {y | some y in {1, 2, "a", x}} if some x in input.a
f(x) := {x, 3, 2, 1} | s
p := [f(x) | some x in input.a; x in {1, 2, 5}]
allow if 2 in p[0]`))
	require.NoError(t, err)
	q, err := p.Prepare(t.Context(), "data.x.allow")
	require.NoError(t, err)
	refs := []ast.Ref{ast.MustParseRef("data.x.p"), ast.MustParseRef("data.x.o"), ast.MustParseRef("data.x.s")}
	d := q.Derive(refs)
	input := ast.MustParseTerm(`{"a": [1, 2, 3, 5]}`).Value
	want, err := d.query.interpret(d.params).eval(t.Context(), input)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			own := d
			if i%2 == 0 {
				own = q.Derive(refs[i%3:])
			}
			for range 50 {
				got, err := own.Eval(t.Context(), input)
				if err != nil || fmt.Sprint(got) != fmt.Sprint(want[len(want)-len(got):]) {
					t.Errorf("%v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}
