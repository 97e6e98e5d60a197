package oracle

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator writes random policies of the constructs that are translated.
type generator struct {
	rng     *rand.Rand
	helpers []string
}

func (g *generator) policy() string {
	g.helpers = nil
	var b strings.Builder
	for range 1 + g.rng.IntN(2) {
		b.WriteString("allow if {\n")
		for range 1 + g.rng.IntN(3) {
			fmt.Fprintf(&b, "\t%s\n", g.condition(2))
		}
		b.WriteString("}\n")
	}
	return "package authz\n\nimport rego.v1\n\n" + b.String() + "\n" + strings.Join(g.helpers, "\n")
}

func (g *generator) name(prefix string) string { return fmt.Sprintf("%s%d", prefix, len(g.helpers)) }

// condition is an expression of a body.
func (g *generator) condition(depth int) string {
	not := ""
	if g.rng.IntN(3) == 0 {
		not = "not "
	}
	if depth == 0 || g.rng.IntN(3) > 0 {
		return not + g.atom()
	}
	switch g.rng.IntN(10) {
	case 7: // a loop over a collection of the row
		v := g.name("x")
		g.helpers = append(g.helpers, "")
		return fmt.Sprintf("some %s in %s\n\t%s", v, g.collection(), g.about(v, not))
	case 8: // all elements of one
		v := g.name("x")
		g.helpers = append(g.helpers, "")
		name := g.name("h")
		g.helpers = append(g.helpers, fmt.Sprintf("%s if {\n\tevery %s in %s {\n\t\t%s\n\t}\n}\n", name, v, g.collection(), g.about(v, pick(g.rng, []string{"", "not "}))))
		return not + name
	case 9: // a comprehension, or a set made in a loop
		v := g.name("x")
		g.helpers = append(g.helpers, "")
		set := fmt.Sprintf("{%s | some %s in %s; %s}", v, v, g.collection(), g.about(v, ""))
		if g.rng.IntN(2) == 0 {
			name := g.name("s")
			g.helpers = append(g.helpers, fmt.Sprintf("%s contains %s if {\n\tsome %s in %s\n\t%s\n}\n", name, v, v, g.collection(), g.about(v, "")))
			set = name
		}
		return pick(g.rng, []string{
			fmt.Sprintf("%s%s in %s", not, g.constant(), set),
			fmt.Sprintf("%s%s in %s", not, g.field(), set),
			fmt.Sprintf("%scount(%s) %s", not, set, pick(g.rng, []string{"> 0", "== 0", ">= 1", "< 1", "!= 0"})),
		})
	case 0: // a helper
		name := g.name("h")
		g.helpers = append(g.helpers, "")
		at := len(g.helpers) - 1
		body := ""
		for range 1 + g.rng.IntN(2) {
			body += fmt.Sprintf("%s if {\n\t%s\n\t%s\n}\n", name, g.condition(depth-1), g.condition(depth-1))
		}
		if g.rng.IntN(3) == 0 {
			body = fmt.Sprintf("default %s := %t\n", name, g.rng.IntN(2) == 0) + body
		}
		g.helpers[at] = body
		return not + name
	case 1: // a function
		name := g.name("f")
		body := fmt.Sprintf("%s(x) if x == %s\n%s(x) if { x %s %s }\n", name, g.constant(), name, g.op(), g.constant())
		g.helpers = append(g.helpers, body)
		return fmt.Sprintf("%s%s(%s)", not, name, g.field())
	case 2: // a chain of else
		name := g.name("e")
		g.helpers = append(g.helpers, "")
		at := len(g.helpers) - 1
		g.helpers[at] = fmt.Sprintf("%s := \"x\" if {\n\t%s\n} else := \"y\" if {\n\t%s\n} else := \"z\"\n", name, g.condition(depth-1), g.condition(depth-1))
		return fmt.Sprintf("%s%s %s %q", not, name, pick(g.rng, []string{"==", "!="}), pick(g.rng, []string{"x", "y", "z"}))
	case 3: // a partial set
		name := g.name("s")
		g.helpers = append(g.helpers, fmt.Sprintf("%s contains %s\n%s contains v if {\n\tv := %s\n\t%s\n}\n", name, g.constant(), name, g.field(), g.atom()))
		if g.rng.IntN(2) == 0 {
			return fmt.Sprintf("%s%s[%s]", not, name, g.field())
		}
		return fmt.Sprintf("%s%s in %s", not, g.field(), name)
	case 4: // a variable
		v := g.name("x")
		g.helpers = append(g.helpers, "")
		return fmt.Sprintf("%s := %s\n\t%s%s %s %s", v, g.field(), not, v, g.op(), g.constant())
	case 5: // a loop over known values
		v := g.name("x")
		g.helpers = append(g.helpers, "")
		return fmt.Sprintf("some %s in [%s, %s]\n\t%s %s %s", v, g.constant(), g.constant(), g.field(), pick(g.rng, []string{"==", "!="}), v)
	default: // a partial object
		name := g.name("m")
		g.helpers = append(g.helpers, fmt.Sprintf("%s[k] := v if {\n\tsome k, v in {\"a\": 1, \"b\": %s}\n\t%s %s v\n}\n", name, g.constant(), g.field(), g.op()))
		return fmt.Sprintf("%s%s[%s]", not, name, pick(g.rng, []string{`"a"`, `"b"`, "input.object.t", "input.object.w0"}))
	}
}

func (g *generator) atom() string {
	switch g.rng.IntN(14) {
	case 0, 1, 2:
		return fmt.Sprintf("%s %s %s", g.field(), g.op(), g.constant())
	case 3:
		return fmt.Sprintf("%s %s %s", g.field(), g.op(), g.field())
	case 4:
		return fmt.Sprintf("%s in {%s, %s, %s}", g.field(), g.constant(), g.constant(), g.constant())
	case 5:
		return fmt.Sprintf("%s in [%s, %s]", g.field(), g.constant(), g.field())
	case 6:
		return g.field()
	case 7:
		return fmt.Sprintf("%s(%s, %s)", pick(g.rng, []string{"startswith", "endswith", "contains"}), g.field(), pick(g.rng, []string{g.constant(), g.field(), g.prefix()}))
	case 8:
		return fmt.Sprintf("%s(%s)", pick(g.rng, []string{"is_null", "is_string", "is_number", "is_boolean", "is_array", "is_object"}), g.field())
	case 9: // ACLs
		return pick(g.rng, []string{
			fmt.Sprintf("%s in input.object.j.g1", g.constant()),
			`"read" in input.object.j0.g1`,
			`"read" in input.object.j0`,
			fmt.Sprintf("%s in input.object.j", g.constant()),
			`"read" in input.object.j[input.subject.id]`,
			`"read" in input.object.j0[input.object.u]`,
			fmt.Sprintf("%s in input.object.j0[%s]", g.field(), g.constant()),
			`input.object.j.g1[_] == "read"`,
			fmt.Sprintf("input.object.j0[_] == %s", g.constant()),
			`"*" in input.object.j[input.object.t]`,
		})
	case 10: // jsonb
		return fmt.Sprintf("%s %s %s", pick(g.rng, []string{"input.object.j.n", "input.object.j0.n", "input.object.j.s", "input.object.j0.g1", "input.object.j.g1[0]", "input.object.j0[0]", "input.object.j[1]"}), g.op(), g.constant())
	case 11: // arrays
		return fmt.Sprintf("%s in input.object.%s", pick(g.rng, []string{g.constant(), g.field()}), pick(g.rng, []string{"ta", "ta0", "ua", "ua0"}))
	case 12: // sizes
		return fmt.Sprintf("count(%s) %s %d", pick(g.rng, []string{g.field(), g.collection()}), g.op(), g.rng.IntN(4))
	default: // parameters
		return pick(g.rng, []string{
			g.field() + " == input.subject.id",
			g.field() + " != input.subject.id",
			g.field() + " in input.subject.groups",
			"input.subject.id in input.object.ua",
			"input.subject.id in input.object.ta0",
			g.field() + " < input.subject.id",
		})
	}
}

// collection is a part of the row that may be looped over.
func (g *generator) collection() string {
	return pick(g.rng, []string{
		"input.object.ta", "input.object.ta0", "input.object.ua", "input.object.ua0", "input.object.j", "input.object.j0",
		"input.object.j.g1", "input.object.j0.g1", "input.object.j0[input.object.t]", "input.subject.groups", "input.object.kind",
	})
}

// about is a condition on a variable.
func (g *generator) about(v, not string) string {
	return pick(g.rng, []string{
		fmt.Sprintf("%s%s %s %s", not, v, g.op(), g.constant()),
		fmt.Sprintf("%s%s %s %s", not, v, pick(g.rng, []string{"==", "!="}), g.field()),
		fmt.Sprintf("%sstartswith(%s, %s)", not, v, g.prefix()),
		fmt.Sprintf("%s%s in %s", not, v, g.collection()),
		fmt.Sprintf("%s%s in {%s, %s}", not, v, g.constant(), g.constant()),
		fmt.Sprintf("%sis_string(%s)", not, v),
		fmt.Sprintf("%s%s", not, v),
	})
}

func (g *generator) op() string {
	return pick(g.rng, []string{"==", "==", "!=", "<", "<=", ">", ">="})
}

func (g *generator) field() string {
	c := pick(g.rng, columns)
	if g.rng.IntN(2) == 0 {
		return "input.object." + c.name + "0"
	}
	return "input.object." + c.name
}

func (g *generator) prefix() string {
	return pick(g.rng, []string{`"a"`, `"%"`, `"a\\"`, `""`, `"1"`, `"aaaaaaaa-"`, `"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"`, `"2026-01-02"`, `"é"`, `"f"`})
}

// constant is a JSON value of a column, or one near it.
func (g *generator) constant() string {
	return pick(g.rng, []string{
		`"` + uuidA + `"`, `"` + uuidB + `"`, `"` + uuidC + `"`, `"` + strings.ToUpper(uuidB) + `"`, `"aaaaaaaa"`, `"me"`,
		`"a"`, `"A"`, `"ab"`, `""`, `"Z"`, `"é"`, `"a%b"`, `"a\\b"`, `"o'c"`, `"read"`, `"*"`, `"日本"`, `"a\u0000"`, `"none"`,
		`true`, `false`, `null`,
		`0`, `1`, `2`, `3`, `-5`, `1.5`, `0.1`, `5`, `-1`, `40000`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775809`, `1e300`, `1e400`, `1.50`, `12345678901234567890.5`, `9007199254740993`, `9007199254740992`, `0.1000000000000000055511151231257827`,
		`"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05.5Z"`, `"2026-01-02T03:04:05.50Z"`, `"2026-01-02T03:04:05+00:00"`, `"2026-01-02T03:04:05.123456Z"`, `"2026-01-02"`, `"2026-01-0"`, `"1999-12-31T23:59:59.999999Z"`,
		`1767323045000000000`, `1767323045123456000`, `1767323045123456001`,
		`"open"`, `"closed"`, `"Zed"`, `"nope"`, `"10.0.0.1"`, `"10.0.0.0/8"`, `"::1"`, `"10.0.0.1/32"`,
		`[]`, `{}`, `["read", "write"]`, `["a", "b"]`, `{"read": 1, "x": "read"}`, `["` + uuidA + `"]`,
	})
}
