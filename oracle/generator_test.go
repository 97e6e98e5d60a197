package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator writes random policies.
type generator struct {
	rng      *rand.Rand
	builtins []builtin
	names    int
	scope    []variable // of the body that is written
	rules    map[string]*strings.Builder
	pkg      string // that is written
}

// variable is one that is bound.
type variable struct {
	name string
	of   kind
}

// policy is the modules of a policy.
func (g *generator) policy() map[string]string {
	g.names, g.pkg, g.scope = 0, "authz", nil
	g.rules = map[string]*strings.Builder{}
	for range 1 + g.rng.IntN(3) {
		g.rule("allow if", g.body(3+g.rng.IntN(4)/3, 1+g.rng.IntN(3)))
	}
	out := map[string]string{}
	for pkg, rules := range g.rules {
		name := "policy.rego"
		if pkg != "authz" {
			name = pkg + ".rego"
		}
		out[name] = "package " + pkg + "\n\nimport rego.v1\n\n" + rules.String()
	}
	return out
}

// add adds rules to the package that is written.
func (g *generator) add(rules string) {
	if g.rules[g.pkg] == nil {
		g.rules[g.pkg] = &strings.Builder{}
	}
	g.rules[g.pkg].WriteString(rules + "\n\n")
}

func (g *generator) rule(head string, body []string) { g.add(head + block(body)) }

func block(body []string) string {
	return " {\n\t" + strings.ReplaceAll(strings.Join(body, "\n"), "\n", "\n\t") + "\n}"
}

func (g *generator) fresh(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

// inScope are the variables that may be of the kind.
func (g *generator) inScope(of kind) []string {
	var out []string
	for _, v := range g.scope {
		if v.of == of || v.of == anything || of == anything {
			out = append(out, v.name)
		}
	}
	return out
}

// inside writes something with variables of its own.
func (g *generator) inside(outer bool, write func()) {
	saved := g.scope
	if outer {
		g.scope = slices.Clone(saved)
	} else {
		g.scope = nil
	}
	write()
	g.scope = saved
}

// body is the statements of a rule.
func (g *generator) body(depth, n int) (lines []string) {
	g.inside(false, func() { lines = g.statements(depth, n) })
	return lines
}

func (g *generator) statements(depth, n int) (lines []string) {
	for range n {
		lines = append(lines, g.statement(depth)...)
	}
	return lines
}

func (g *generator) statement(depth int) []string {
	if g.names > 25 {
		depth = 0
	}
	if depth <= 0 {
		return []string{g.maybeNot() + g.atom(0)}
	}
	switch g.rng.IntN(14) {
	case 0: // a variable
		of := pick(g.rng, scalarKinds)
		if g.rng.IntN(4) == 0 {
			of = anything
		}
		value := g.expr(of, depth-1)
		v := g.bind("v", of)
		return []string{v + " := " + value, g.about(v, of, depth-1)}
	case 1, 2: // a loop
		in, of := g.collection(depth - 1)
		x := g.bind("x", of)
		lines := []string{fmt.Sprintf("some %s in %s", x, in), g.about(x, of, depth-1)}
		if g.rng.IntN(3) == 0 {
			k := g.bind("k", anything)
			lines = []string{fmt.Sprintf("some %s, %s in %s", k, x, in), g.about(x, of, depth-1), g.about(k, pick(g.rng, []kind{text, numeric, text}), 0)}
		}
		if g.rng.IntN(3) == 0 {
			lines = append(lines, g.statement(depth-1)...)
		}
		return lines
	case 3: // all elements
		return g.every(depth)
	case 4: // a wildcard, which no negation may hold
		in, of := g.collection(0)
		if strings.HasPrefix(in, "input") || strings.HasPrefix(in, "data") {
			return []string{g.compare(in+"[_]", of, depth-1)}
		}
		return g.every(depth)
	case 5: // below a negation, and deeper
		name := g.helper(depth - 1)
		return []string{"not " + name}
	default:
		return []string{g.maybeNot() + g.condition(depth)}
	}
}

// every is a condition on all elements.
func (g *generator) every(depth int) (lines []string) {
	in, of := g.collection(depth - 1)
	g.inside(true, func() {
		x := g.bind("x", of)
		vars, body := x, []string{g.about(x, of, depth-1)}
		if g.rng.IntN(4) == 0 {
			k := g.bind("k", anything)
			vars = k + ", " + x
			body = append(body, g.about(k, text, 0))
		}
		if g.rng.IntN(3) == 0 {
			body = append(body, g.statement(depth-1)...)
		}
		lines = []string{fmt.Sprintf("every %s in %s", vars, in) + block(body)}
	})
	return lines
}

func (g *generator) bind(prefix string, of kind) string {
	v := g.fresh(prefix)
	g.scope = append(g.scope, variable{v, of})
	return v
}

func (g *generator) maybeNot() string { return g.oneOf("", "", "not ") }

// collection is what may be looped over, and the kind of its elements.
func (g *generator) collection(depth int) (string, kind) {
	switch g.rng.IntN(10) {
	case 0:
		return g.setExpr(depth), text
	case 1:
		if depth > 0 {
			return g.arrayExpr(depth), anything
		}
	case 2:
		return fmt.Sprintf("{%s, %s}", g.constant(text), g.constant(text)), text
	case 3:
		return g.oneOf("input.subject.groups", "data.list", "input.object.kind", "data.lists", "data.lists.a"), text
	case 4:
		return fmt.Sprintf(`{"a": %s, "b": %s}`, g.expr(text, 0), g.expr(text, 0)), text
	case 5, 6:
		return g.oneOf("input.object.ta", "input.object.ta0", "input.object.ua", "input.object.ua0"), text
	}
	return g.jsonPath(depth), anything
}

// about is a condition on a variable.
func (g *generator) about(v string, of kind, depth int) string {
	not := g.maybeNot()
	switch g.rng.IntN(6) {
	case 0:
		return not + fmt.Sprintf("%s in {%s, %s}", v, g.expr(of, 0), g.constant(text))
	case 1:
		if depth > 0 {
			in, _ := g.collection(depth - 1)
			return not + v + " in " + in
		}
	case 2:
		forms := []string{fmt.Sprintf("is_string(%s)", v), v}
		if of == text || of == anything {
			forms = append(forms, fmt.Sprintf("startswith(%s, %s)", v, g.prefix(0)), fmt.Sprintf("count(%s) %s %d", v, g.op(), g.rng.IntN(3)))
		}
		if of == anything {
			forms = append(forms, fmt.Sprintf("%s.g1 == %s", v, g.constant(text)))
		}
		return not + pick(g.rng, forms)
	}
	return not + g.compare(v, of, depth)
}

// compare compares an expression with another of its kind.
func (g *generator) compare(l string, of kind, depth int) string {
	if of == anything && g.rng.IntN(2) == 0 {
		of = pick(g.rng, scalarKinds)
	}
	r := g.expr(of, depth)
	if g.rng.IntN(2) == 0 {
		r = g.constant(of)
	}
	return fmt.Sprintf("%s %s %s", l, g.opOf(of), r)
}

// condition is an expression that may stand below a negation.
func (g *generator) condition(depth int) string {
	switch g.rng.IntN(20) {
	case 0, 1:
		return g.helper(depth - 1)
	case 2, 3:
		return g.function(depth - 1)
	case 4:
		return g.chain(depth - 1)
	case 5:
		member := g.oneOf("%s in %s", "%s in %s", "%[2]s[%[1]s]")
		name := g.partialSet(depth)
		return fmt.Sprintf(member, g.expr(text, 0), name)
	case 6:
		return g.partialObject(depth - 1)
	case 7:
		c := g.comprehension(g.oneOf("[%s | %s]", "{%s | %s}"), depth)
		return g.oneOf(
			fmt.Sprintf("count(%s) %s %d", c, g.op(), g.rng.IntN(3)),
			fmt.Sprintf("count(%s) > 0", c),
			fmt.Sprintf("count(%s) == 0", c),
			fmt.Sprintf("%s in %s", g.constant(text), c),
			fmt.Sprintf("%s in %s", g.expr(text, 0), c),
			fmt.Sprintf("%s in %s", g.expr(text, 0), c),
			fmt.Sprintf("%s == %s", c, g.oneOf(`[]`, `["a"]`, `{"a"}`, `set()`)),
		)
	case 8: // of what is known
		if g.rng.IntN(4) > 0 {
			return g.atom(depth)
		}
		name := g.helper(depth - 1)
		return fmt.Sprintf("%s with %s", name, g.oneOf("input.subject.n as 2", `input.subject.key as "w"`, `data.roles as {"Z": 1}`, `data.list as ["x"]`, `input.subject as {"n": 0}`))
	case 9:
		name, of := g.value(depth - 1)
		return g.compare(name, of, 0)
	default:
		return g.atom(depth)
	}
}

// atom is a condition that needs no rule.
func (g *generator) atom(depth int) string {
	switch g.rng.IntN(16) {
	case 0, 1, 2, 3: // with a value that the column has
		c := pick(g.rng, columns)
		return fmt.Sprintf("%s %s %s", g.field(c.name), g.op(), g.valueOf(c))
	case 4: // with a column of any type
		return fmt.Sprintf("%s %s %s", g.field(), g.op(), g.field())
	case 5: // with a constant of any type
		return fmt.Sprintf("%s %s %s", g.field(), g.op(), g.constant(anything))
	case 6:
		c := pick(g.rng, columns)
		return fmt.Sprintf("%s in {%s, %s, %s}", g.field(c.name), g.valueOf(c), g.valueOf(c), g.constant(anything))
	case 7:
		return fmt.Sprintf("%s in [%s, %s]", g.expr(anything, depth-1), g.expr(anything, depth-1), g.field())
	case 8: // both ways round
		return fmt.Sprintf("%s in %s", g.oneOf(`"read"`, `"a"`, g.constant(text), g.field(), g.expr(anything, depth-1)), g.oneOf("input.object.ta", "input.object.ta0", "input.object.ua0", "input.object.ua", "input.object.j", "input.object.j0", g.jsonPath(0)))
	case 9:
		return g.oneOf(g.fieldOf(truth), g.fieldOf(truth), g.field(), g.jsonPath(depth), "input.object[input.subject.key]")
	case 10: // parameters
		return g.oneOf(
			g.field("u", "v", "t", "w")+g.oneOf(" == ", " == ", " != ", " < ")+"input.subject.id",
			g.fieldOf(text)+" in input.subject.groups",
			"input.subject.id in "+g.field("ua", "ua", "ta", "j"),
			g.jsonPath(0)+" in input.subject.groups",
		)
	case 11:
		return fmt.Sprintf("count(%s) %s %d", g.oneOf(g.field(), g.arrayExpr(0), g.jsonPath(0)), g.op(), g.rng.IntN(4))
	case 12, 13:
		if b, ok := g.builtin(truth); ok && b.of == truth {
			return g.call(b, depth)
		}
	case 14:
		return fmt.Sprintf("%s %s %s", g.jsonPath(depth), g.opOf(anything), g.expr(anything, depth-1))
	}
	of := pick(g.rng, scalarKinds)
	return g.compare(g.expr(of, depth), of, depth)
}

// defined is a name of a rule, and what it is called where it is used. Some rules are in
// another package.
func (g *generator) defined(prefix string, write func(name string)) string {
	name, pkg := g.fresh(prefix), g.pkg
	if g.rng.IntN(8) == 0 {
		g.pkg = g.oneOf("authz", "lib")
	}
	used := name
	if g.pkg != pkg {
		used = "data." + g.pkg + "." + name
	}
	write(name)
	g.pkg = pkg
	return used
}

// helper is a rule that is true, or not.
func (g *generator) helper(depth int) string {
	return g.defined("h", func(name string) {
		for range 1 + g.rng.IntN(3) {
			g.rule(name+" if", g.body(depth, 1+g.rng.IntN(2)))
		}
		if g.rng.IntN(5) == 0 {
			g.add(fmt.Sprintf("default %s := %t", name, g.rng.IntN(2) == 0))
		}
	})
}

// function is a call of one.
func (g *generator) function(depth int) string {
	n := 1 + g.rng.IntN(3)
	args := make([]string, n)
	for i := range args {
		args[i] = g.expr(pick(g.rng, []kind{text, text, anything, numeric}), depth)
	}
	valued := g.rng.IntN(3) == 0
	called := g.defined("f", func(name string) {
		definitions := 1 + g.rng.IntN(3)
		excluding := func(int, []string) string { return "" }
		if valued {
			excluding = g.excluding(definitions)
		}
		for d := range definitions {
			g.inside(false, func() {
				params := make([]string, n)
				for i := range params {
					switch g.rng.IntN(6) {
					case 0:
						params[i] = g.constant(text) // a pattern
					case 1:
						params[i] = "_"
					default:
						params[i] = g.bind("p", anything)
					}
				}
				condition := excluding(d, params)
				head := fmt.Sprintf("%s(%s)", name, strings.Join(params, ", "))
				if valued {
					head += " := " + g.oneOf(`"x"`, fmt.Sprint(d), "true", g.expr(text, 0))
				}
				otherwise := ""
				if valued && g.rng.IntN(3) == 0 {
					otherwise = " else := " + g.oneOf(`"y"`, "false", g.expr(text, 0))
					if condition := excluding(d, params); condition != "" {
						otherwise += " if " + condition
					}
				}
				var body []string
				if len(g.scope) > 0 && g.rng.IntN(2) == 0 {
					body = []string{g.about(pick(g.rng, g.scope).name, anything, depth)}
				} else {
					body = g.statements(depth, 1)
				}
				if condition != "" {
					body = append([]string{condition}, body...)
				}
				g.add(head + " if" + block(body) + otherwise)
			})
		}
	})
	call := fmt.Sprintf("%s(%s)", called, strings.Join(args, ", "))
	if valued && g.rng.IntN(3) > 0 {
		return fmt.Sprintf("%s %s %s", call, g.op(), g.oneOf(`"x"`, `"y"`, "0", g.expr(text, 0)))
	}
	return call
}

// chain compares a rule with else.
func (g *generator) chain(depth int) string {
	values := []string{`"x"`, `"y"`, `"z"`, "1", "false"}
	if g.rng.IntN(2) == 0 {
		values = append(values, g.expr(text, 0))
	}
	name := g.defined("e", func(name string) {
		g.inside(false, func() {
			rule := fmt.Sprintf("%s := %s if", name, pick(g.rng, values)) + block(g.body(depth, 1+g.rng.IntN(2)))
			for range 1 + g.rng.IntN(2) {
				rule += fmt.Sprintf(" else := %s if", pick(g.rng, values)) + block(g.body(depth, 1))
			}
			if g.rng.IntN(2) == 0 {
				rule += " else := " + pick(g.rng, values)
			}
			g.add(rule)
		})
	})
	if g.rng.IntN(4) == 0 {
		return name
	}
	return fmt.Sprintf("%s %s %s", name, g.op(), pick(g.rng, values))
}

// excluding are conditions for several definitions of one rule or function, of which most
// often no two hold together, in the ways in which policies are written. A function's
// may be one of its parameters, which is changed; no condition is empty.
func (g *generator) excluding(definitions int) func(definition int, params []string) string {
	none := func(int, []string) string { return "" }
	if definitions == 1 || g.rng.IntN(10) == 0 { // OPA may find two values
		return none
	}
	constants := []string{`"a"`, `"open"`, `"b"`}
	g.rng.Shuffle(len(constants), func(i, j int) { constants[i], constants[j] = constants[j], constants[i] })
	of := g.oneOf(g.fieldOf(text), g.field("j")+".g2")
	equal := func(d int, _ []string) string { return fmt.Sprintf("%s == %s", of, constants[d]) }
	switch g.rng.IntN(6) {
	case 0: // a pattern
		return func(d int, params []string) string {
			if len(params) == 0 {
				return equal(d, nil)
			}
			params[0] = constants[d]
			return ""
		}
	case 1: // an argument
		return func(d int, params []string) string {
			if len(params) == 0 {
				return equal(d, nil)
			}
			if params[0][0] != 'p' {
				params[0] = g.bind("p", anything)
			}
			return fmt.Sprintf("%s == %s", params[0], constants[d])
		}
	case 2:
		sets := []string{`{"a", "x"}`, `{"b", "open"}`, `{"Z", ""}`}
		return func(d int, _ []string) string { return fmt.Sprintf("%s in %s", of, sets[d]) }
	case 3:
		n := g.fieldOf(numeric)
		conditions := []string{n + " < 1", n + " > 1", n + " == 1"}
		return func(d int, _ []string) string { return conditions[d] }
	case 4:
		if definitions == 2 {
			c := g.atom(0)
			return func(d int, _ []string) string { return []string{c, "not " + c}[d] }
		}
	}
	return equal
}

// value is a rule with a value of the row.
func (g *generator) value(depth int) (string, kind) {
	of := pick(g.rng, scalarKinds)
	return g.defined("w", func(name string) {
		definitions := 1 + max(0, g.rng.IntN(4)-1)
		excluding := g.excluding(definitions)
		for d := range definitions {
			g.inside(false, func() { // its value may be bound in its body
				body := g.statements(depth, 1)
				if condition := excluding(d, nil); condition != "" {
					body = append([]string{condition}, body...)
				}
				if g.rng.IntN(10) > 0 { // OPA finds as many values as a loop has
					g.scope = slices.DeleteFunc(g.scope, func(v variable) bool { return v.name[0] == 'x' || v.name[0] == 'k' })
				}
				g.rule(fmt.Sprintf("%s := %s if", name, g.expr(of, 0)), body)
			})
		}
		if g.rng.IntN(2) == 0 {
			g.add(fmt.Sprintf("default %s := %s", name, g.constant(of)))
		}
	}), of
}

// partialSet is a set that rules make.
func (g *generator) partialSet(depth int) string {
	return g.defined("s", func(name string) {
		for range 1 + g.rng.IntN(2) {
			g.inside(false, func() {
				if g.rng.IntN(3) == 0 {
					g.add(fmt.Sprintf("%s contains %s", name, g.oneOf(g.constant(text), g.expr(text, 0))))
					return
				}
				body := g.statements(depth-1, 1)
				g.rule(fmt.Sprintf("%s contains %s if", name, g.expr(text, 0)), body)
			})
		}
	})
}

// partialObject asks for a key of an object that rules make.
func (g *generator) partialObject(depth int) string {
	name := g.defined("o", func(name string) {
		g.inside(false, func() {
			switch g.rng.IntN(3) {
			case 0:
				g.rule(fmt.Sprintf("%s[k] := v if", name), []string{fmt.Sprintf(`some k, v in {"a": 1, "b": %s, "": "x"}`, g.constant(text)), g.field() + " " + g.op() + " v"})
			case 1:
				g.rule(fmt.Sprintf("%s[%s] := %s if", name, g.oneOf(`"a"`, `"b"`), g.expr(text, 0)), g.body(depth, 1))
				g.rule(fmt.Sprintf(`%s["c"] := %s if`, name, g.expr(text, 0)), g.body(depth, 1))
			default:
				g.rule(fmt.Sprintf("%s[k] := %s if", name, g.expr(text, 0)), append([]string{fmt.Sprintf("some k in [%s, %s]", g.constant(text), `"a"`)}, g.body(depth, 1)...))
			}
		})
	})
	at := fmt.Sprintf("%s[%s]", name, g.oneOf(`"a"`, `"b"`, `"c"`, g.fieldOf(text), "input.subject.key"))
	switch g.rng.IntN(4) {
	case 0:
		return at
	case 1:
		return fmt.Sprintf("%s in %s", g.expr(text, 0), name)
	default:
		return g.compare(at, text, 0)
	}
}

// comprehension is one of a form for its head and its body.
func (g *generator) comprehension(form string, depth int) (out string) {
	in, of := g.collection(depth - 1)
	g.inside(true, func() {
		x := g.bind("x", of)
		lines := []string{fmt.Sprintf("some %s in %s", x, in), g.about(x, of, depth-2)}
		if depth > 1 && g.rng.IntN(3) == 0 {
			lines = append(lines, g.statement(depth-2)...)
		}
		head := x
		if g.rng.IntN(4) == 0 {
			head = g.expr(text, 0)
		}
		out = fmt.Sprintf(form, head, strings.Join(lines, "; "))
	})
	return out
}
