package rego

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"
)

var (
	randomPolicies = flag.Int("rego.n", 120, "random policies to evaluate directly")
	randomSeed     = flag.Uint64("rego.seed", 1, "seed of the first of them")
)

// Policies of all that is compiled, and of what stands next to it: a value that is known
// directly is OPA's.
func TestDirectRandom(t *testing.T) {
	var valid, direct, unsure, interpreted int
	for i := range *randomPolicies {
		seed := *randomSeed + uint64(i)
		g := &ruleGenerator{rng: rand.New(rand.NewPCG(seed, 4)), odd: i%4 == 0}
		sources := []Source{Data(randomData())}
		text := g.modules()
		for i, m := range text {
			sources = append(sources, Module(fmt.Sprintf("m%d.rego", i), m))
		}
		p, err := Load(t.Context(), sources...)
		if err != nil {
			continue
		}
		valid++
		for range 3 {
			input := ast.MustParseTerm(g.input()).Value
			note := fmt.Sprintf("seed %d\n%s\ninput %v\n", seed, strings.Join(text, "\n"), input)
			d, u, i := agrees(t, note, p, input)
			direct, unsure, interpreted = direct+d, unsure+u, interpreted+i
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("of %d policies, %d compile: %d rules evaluated directly, %d left to OPA at their input, %d left to it altogether",
		*randomPolicies, valid, direct, unsure, interpreted)
	require.Greater(t, valid, *randomPolicies/4)
	require.Greater(t, direct, valid)
}

func randomData() map[string]any {
	return map[string]any{
		"d": map[string]any{
			"arr": []any{1, "a", []any{1, 2}, map[string]any{"a": 1, "0": "x"}},
			"obj": map[string]any{"a": 1, "0": "b", "b": map[string]any{"a": "a"}, "c": false, "n": nil},
			"s":   "a",
			"e":   map[string]any{},
		},
		"t": map[string]any{"base": map[string]any{"a": 1, "1": 2}, "p0": map[string]any{"a": 7}},
		"u": map[string]any{"x": []any{}},
	}
}

// ruleGenerator makes modules of a few rules, each of which may read those before it.
type ruleGenerator struct {
	rng       *rand.Rand
	rules     []string // references
	functions []function
	vars      []string
	odd       bool // forms that are left to OPA
	count     int
}

type function struct {
	name  string
	arity int
}

func (g *ruleGenerator) pick(from ...string) string { return from[g.rng.IntN(len(from))] }

func (g *ruleGenerator) chance(percent int) bool { return g.rng.IntN(100) < percent }

func (g *ruleGenerator) modules() []string {
	names := []string{"t", g.pick("t", "t.v", "u", "u")}
	heads := []string{"package " + names[0] + "\n", "package " + names[1] + "\n"}
	for i := range 2 + g.rng.IntN(4) {
		at := min(g.rng.IntN(4), 1)
		name := fmt.Sprintf("p%d", i)
		g.add(heads, at, name, "data."+names[at]+"."+name)
	}
	return heads
}

// add adds a rule that compiles to one of the modules.
func (g *ruleGenerator) add(heads []string, at int, name, ref string) {
	rules, functions := g.rules, g.functions
	for range 8 {
		text := g.rule(name, ref)
		with := []string{heads[0], heads[1]}
		with[at] += text
		if g.chance(5) { // definitions in both modules
			with[1-at] += text
		}
		if _, err := ast.CompileModules(map[string]string{"m0.rego": with[0], "m1.rego": with[1]}); err == nil {
			copy(heads, with)
			return
		}
		g.rules, g.functions = rules, functions
	}
}

// rule is the definitions of a rule.
func (g *ruleGenerator) rule(name, ref string) string {
	var b strings.Builder
	definitions := 1 + g.rng.IntN(3)
	switch kind := g.rng.IntN(10); {
	case kind < 4:
		if g.chance(40) {
			fmt.Fprintf(&b, "default %s := %s\n", name, g.constant(1))
		}
		for range definitions {
			fmt.Fprintf(&b, "%s%s\n", name, g.complete(nil))
		}
		g.rules = append(g.rules, ref)
	case kind < 6:
		for range definitions {
			body := g.body(nil)
			fmt.Fprintf(&b, "%s contains %s if {\n%s}\n", name, g.term(2), body)
		}
		g.rules = append(g.rules, ref)
	case kind < 8:
		for range definitions {
			body := g.body(nil)
			if g.odd && g.chance(15) {
				fmt.Fprintf(&b, "%s[%s] contains %s if {\n%s}\n", name, g.known(), g.term(1), body)
				continue
			}
			if g.odd && g.chance(10) {
				fmt.Fprintf(&b, "%s.%s := %s if {\n%s}\n", name, g.pick("a", "b"), g.term(1), body)
				continue
			}
			fmt.Fprintf(&b, "%s[%s] := %s if {\n%s}\n", name, g.term(1), g.term(1), body)
		}
		g.rules = append(g.rules, ref)
	default:
		arity := 1 + g.rng.IntN(2)
		if g.chance(30) {
			fmt.Fprintf(&b, "default %s(%s) := %s\n", name, strings.Repeat("_, ", arity-1)+"_", g.constant(1))
		}
		for range definitions {
			var args, vars []string
			for i := range arity {
				v := fmt.Sprintf("a%d", i)
				switch g.rng.IntN(8) {
				case 0:
					args = append(args, g.constant(1))
				case 1:
					args, vars = append(args, "["+v+", b"+v+"]"), append(vars, v, "b"+v)
				case 2:
					args = append(args, "_")
				case 3:
					args, vars = append(args, "a0"), append(vars, "a0")
				default:
					args, vars = append(args, v), append(vars, v)
				}
			}
			fmt.Fprintf(&b, "%s(%s)%s\n", name, strings.Join(args, ", "), g.complete(vars))
		}
		g.functions = append(g.functions, function{ref, arity})
	}
	return b.String()
}

// complete is the value and body of a rule or function, with its else.
func (g *ruleGenerator) complete(args []string) string {
	var b strings.Builder
	for n := 0; n == 0 || n < 3 && g.chance(30); n++ {
		if n > 0 {
			b.WriteString(" else")
		}
		body := g.body(args)
		if g.chance(70) {
			fmt.Fprintf(&b, " := %s", g.term(2))
		}
		fmt.Fprintf(&b, " if {\n%s}", body)
	}
	return b.String()
}

// body leaves the variables that it gives values in vars.
func (g *ruleGenerator) body(args []string) string {
	g.vars = append([]string(nil), args...)
	var b strings.Builder
	for range 1 + g.rng.IntN(3) {
		b.WriteString("  " + g.expr() + "\n")
	}
	return b.String()
}

func (g *ruleGenerator) fresh() string {
	g.count++
	return fmt.Sprintf("v%d", g.count)
}

func (g *ruleGenerator) expr() string {
	v := g.fresh()
	bind := func(text string, vars ...string) string {
		g.vars = append(g.vars, vars...)
		return text
	}
	switch g.rng.IntN(20) {
	case 0, 1:
		return bind(fmt.Sprintf("%s := %s", v, g.term(2)), v)
	case 2, 3:
		return bind(fmt.Sprintf("some %s in %s", v, g.known()), v)
	case 4:
		return bind(fmt.Sprintf("some %s, w%s in %s; %s != w%s", v, v, g.known(), v, v), v, "w"+v)
	case 5:
		return bind(fmt.Sprintf("some %s; %s[%s] = %s", v, g.ref(), v, g.term(1)), v)
	case 6:
		return bind(fmt.Sprintf("some %s; %s[%s][%s]", v, g.ref(), v, g.pick(v, "_", `"a"`, "0")), v)
	case 7:
		return bind(fmt.Sprintf("some %s; [%s, %s] = %s", v, v, g.pick(v, "_", "[1, _]"), g.ref()), v)
	case 8:
		return bind(fmt.Sprintf("some %s; %s[%s] = %s[%s]", v, g.ref(), v, g.ref(), v), v)
	case 9:
		return bind(fmt.Sprintf("some %s, w%s; %s[%s][w%s][%s]", v, v, g.ref(), v, v, v), v, "w"+v)
	case 10, 11:
		return "not " + g.test()
	case 12:
		if len(g.functions) > 0 { // the value as the last argument
			return fmt.Sprintf("%s, %s)", strings.TrimSuffix(g.call(1), ")"), g.term(1))
		}
		return g.test()
	case 13:
		if !g.odd {
			return g.test()
		}
		return bind(fmt.Sprintf("some %s; %s = [%s, %s]", v, g.ref(), v, g.term(1)), v)
	case 14:
		if !g.odd {
			return g.test()
		}
		return bind(fmt.Sprintf("some %s; %s = {%s: %s}", v, g.ref(), g.constant(0), v), v)
	default:
		return g.test()
	}
}

func (g *ruleGenerator) test() string {
	switch g.rng.IntN(8) {
	case 0, 1, 2:
		return fmt.Sprintf("%s %s %s", g.term(1), g.pick("==", "=", "!=", "<", ">="), g.ref())
	case 3:
		return fmt.Sprintf("(%s in %s)", g.term(1), g.known())
	case 4:
		return fmt.Sprintf("(%s, %s in %s)", g.term(1), g.term(1), g.known())
	case 5:
		if len(g.functions) > 0 {
			return g.call(1)
		}
		return g.known()
	default:
		return g.known()
	}
}

func (g *ruleGenerator) constant(depth int) string {
	if depth > 0 && g.chance(25) {
		return g.pick("[]", "{}", "set()", "[1, 2]", `["a"]`, `{"a": 1}`, `{1, "a"}`, `{1: "x"}`, `{"0": [1]}`, "[1, 1.0]", "{1.0}", `{[1]: 2}`)
	}
	return g.pick("1", "1.0", "2", "0", "-1", "1e0", `"a"`, `"b"`, `"0"`, `"1"`, `""`, "true", "false", "null", "true", "0.5")
}

// ref is a reference without variables that have no value.
func (g *ruleGenerator) ref() string {
	base := g.pick("input", "input.a", "input.b", "input.c", "input.a", "data.d.arr", "data.d.obj", "data.t.base", "data.d.e", "data.d.s", "data.u.x", "data.d.none")
	if n := len(g.rules); n > 0 && g.chance(40) {
		base = g.rules[g.rng.IntN(n)]
	}
	if n := len(g.vars); n > 0 && g.chance(30) {
		base = g.vars[g.rng.IntN(n)]
	}
	for g.chance(25) {
		key := g.pick(`"a"`, `"b"`, `"0"`, "0", "1", "1.0")
		if !g.odd && strings.HasPrefix(base, "data.") {
			key = g.pick(`"a"`, `"b"`, `"0"`)
		}
		if n := len(g.vars); n > 0 && g.chance(50) {
			key = g.vars[g.rng.IntN(n)]
		}
		base += "[" + key + "]"
	}
	return base
}

// known is a term with a value that the checker of types does not know.
func (g *ruleGenerator) known() string {
	switch n := g.rng.IntN(10); {
	case n == 0:
		return g.comprehension(1)
	case n == 1:
		return g.constant(1)
	default:
		return g.ref()
	}
}

func (g *ruleGenerator) call(depth int) string {
	f := g.functions[g.rng.IntN(len(g.functions))]
	args := make([]string, f.arity)
	for i := range args {
		args[i] = g.term(depth - 1)
	}
	return fmt.Sprintf("%s(%s)", f.name, strings.Join(args, ", "))
}

func (g *ruleGenerator) term(depth int) string {
	if depth <= 0 {
		if g.chance(40) {
			return g.constant(0)
		}
		return g.ref()
	}
	switch g.rng.IntN(16) {
	case 0, 1:
		return g.constant(1)
	case 2:
		return fmt.Sprintf("[%s, %s]", g.term(depth-1), g.term(depth-1))
	case 3:
		return fmt.Sprintf("{%s, %s}", g.term(depth-1), g.term(depth-1))
	case 4:
		return fmt.Sprintf("{%s: %s, %s: %s}", g.constant(0), g.term(depth-1), g.term(depth-1), g.term(depth-1))
	case 5:
		return g.comprehension(depth - 1)
	case 6, 7:
		if len(g.functions) > 0 {
			return g.call(depth)
		}
		return g.ref()
	case 8:
		return fmt.Sprintf(g.pick("count(%s)", "type_name(%s)", `sprintf("%%v", [%s])`, "to_number(%s)", "json.marshal(%s)",
			"sort(%s)", "is_string(%s)", "max(%s)", "sum(%s)", "upper(%s)", "object.keys(%s)", "json.unmarshal(%s)"), g.term(depth-1))
	case 9:
		return fmt.Sprintf(g.pick("(%s + %s)", "(%s - %s)", "(%s | %s)", "(%s & %s)", "array.concat(%s, %s)", "object.get(%s, %s, 1)", "(%s / %s)", "object.union(%s, %s)"),
			g.ref(), g.ref())
	default:
		return g.ref()
	}
}

// comprehension has variables of its own beside those around it.
func (g *ruleGenerator) comprehension(depth int) string {
	outer := g.vars
	g.vars = append([]string(nil), outer...)
	defer func() { g.vars = outer }()
	body := g.expr()
	for g.chance(40) {
		body += "; " + g.expr()
	}
	switch g.rng.IntN(3) {
	case 0:
		return fmt.Sprintf("[%s | %s]", g.term(depth), body)
	case 1:
		return fmt.Sprintf("{%s | %s}", g.term(depth), body)
	default:
		return fmt.Sprintf("{%s: %s | %s}", g.term(depth), g.term(depth), body)
	}
}

// input is often a document of what the rules read.
func (g *ruleGenerator) input() string {
	if g.chance(5) {
		return g.constant(1)
	}
	var value func(depth int) string
	value = func(depth int) string {
		n := g.rng.IntN(3)
		parts := make([]string, n)
		switch kind := g.rng.IntN(10); {
		case depth == 0 || kind < 4:
			return g.pick("1", "1.0", "2", "0", `"a"`, `"b"`, `"0"`, "true", "false", "null", "0.5")
		case kind < 7:
			for i := range parts {
				parts[i] = value(depth - 1)
			}
			return "[" + strings.Join(parts, ", ") + "]"
		default:
			keys := g.rng.Perm(3)
			for i := range parts {
				parts[i] = []string{`"a"`, `"b"`, `"0"`}[keys[i]] + ": " + value(depth-1)
			}
			return "{" + strings.Join(parts, ", ") + "}"
		}
	}
	return fmt.Sprintf(`{"a": %s, "b": %s, "c": %s}`, value(3), value(2), value(2))
}
