package oracle

import (
	"fmt"
	"regexp"
	"strings"
)

// kind is the type of an expression.
type kind uint8

const (
	anything kind = iota
	truth
	text
	numeric
	array
	set
	object
)

var scalarKinds = []kind{text, text, text, numeric, numeric, truth}

// kindOf is the kind of a column's value.
func kindOf(c column) kind {
	switch c.name {
	case "b", "c":
		return truth
	case "i", "s", "f", "n", "ns":
		return numeric
	case "ta", "ua":
		return array
	case "j":
		return anything
	default:
		return text
	}
}

// builtin is a way to write an expression: what stands in <> is replaced by
// expressions; see [placeholders].
type builtin struct {
	name, form string
	of         kind
	off        bool // it is refused, whatever its arguments are
}

// builtins are the functions and operators that random policies use. One that the
// compiler refuses is used seldom; see [runner.probe].
var builtins = []builtin{
	{name: "startswith", of: truth, form: "startswith(<s>, <pre>)"},
	{name: "endswith", of: truth, form: "endswith(<s>, <s>)"},
	{name: "contains", of: truth, form: "contains(<s>, <pre>)"},
	{name: "strings.any_prefix_match", of: truth, form: "strings.any_prefix_match(<s>, <lits>)"},
	{name: "strings.any_prefix_match", of: truth, form: "strings.any_prefix_match(<a>, <s>)"},
	{name: "strings.any_suffix_match", of: truth, form: "strings.any_suffix_match(<s>, <lits>)"},
	{name: "regex.match", of: truth, form: "regex.match(<pat>, <s>)"},
	{name: "glob.match", of: truth, form: "glob.match(<glob>, <delims>, <s>)"},
	{name: "net.cidr_contains", of: truth, form: "net.cidr_contains(<cidr>, <ip>)"},
	{name: "is_null", of: truth, form: "is_null(<x>)"},
	{name: "is_string", of: truth, form: "is_string(<x>)"},
	{name: "is_number", of: truth, form: "is_number(<x>)"},
	{name: "is_boolean", of: truth, form: "is_boolean(<x>)"},
	{name: "is_array", of: truth, form: "is_array(<x>)"},
	{name: "is_object", of: truth, form: "is_object(<x>)"},
	{name: "is_set", of: truth, form: "is_set(<x>)"},

	{name: "lower", of: text, form: "lower(<s>)"},
	{name: "upper", of: text, form: "upper(<s>)"},
	{name: "trim", of: text, form: "trim(<s>, <lit>)"},
	{name: "trim_space", of: text, form: "trim_space(<s>)"},
	{name: "trim_prefix", of: text, form: "trim_prefix(<s>, <pre>)"},
	{name: "trim_suffix", of: text, form: "trim_suffix(<s>, <s>)"},
	{name: "trim_left", of: text, form: "trim_left(<s>, <lit>)"},
	{name: "trim_right", of: text, form: "trim_right(<s>, <lit>)"},
	{name: "replace", of: text, form: "replace(<s>, <lit>, <lit>)"},
	{name: "substring", of: text, form: "substring(<s>, <small>, <small>)"},
	{name: "concat", of: text, form: "concat(<lit>, [<s>, <s>])"},
	{name: "concat", of: text, form: "concat(<lit>, <a>)"},
	{name: "sprintf", of: text, form: `sprintf("%v-%s", [<v>, <s>])`},
	{name: "sprintf", of: text, form: `sprintf("%d", [<int>])`},
	{name: "format_int", of: text, form: "format_int(<int>, <base>)"},
	{name: "strings.reverse", of: text, form: "strings.reverse(<s>)"},
	{name: "type_name", of: text, form: "type_name(<x>)"},
	{name: "time.weekday", of: text, form: "time.weekday(<ns>)"},

	{name: "indexof", of: numeric, form: "indexof(<s>, <pre>)"},
	{name: "strings.count", of: numeric, form: "strings.count(<s>, <lit>)"},
	{name: "count", of: numeric, form: "count(<s>)"},
	{name: "count", of: numeric, form: "count(<a>)"},
	{name: "count", of: numeric, form: "count(<t>)"},
	{name: "plus", of: numeric, form: "<n> + <num>"},
	{name: "plus", of: numeric, form: "<n> + <n>"},
	{name: "minus", of: numeric, form: "<n> - <n>"},
	{name: "mul", of: numeric, form: "<n> * <n>"},
	{name: "div", of: numeric, form: "<n> / <n>"},
	{name: "rem", of: numeric, form: "<n> % <n>"},
	{name: "abs", of: numeric, form: "abs(<n>)"},
	{name: "ceil", of: numeric, form: "ceil(<n>)"},
	{name: "floor", of: numeric, form: "floor(<n>)"},
	{name: "round", of: numeric, form: "round(<n>)"},
	{name: "sum", of: numeric, form: "sum(<a>)"},
	{name: "product", of: numeric, form: "product(<a>)"},
	{name: "max", of: anything, form: "max(<a>)"},
	{name: "min", of: anything, form: "min(<t>)"},
	{name: "to_number", of: numeric, form: "to_number(<x>)"},
	{name: "time.now_ns", of: numeric, form: "time.now_ns()"},
	{name: "time.parse_rfc3339_ns", of: numeric, form: "time.parse_rfc3339_ns(<time>)"},
	{name: "time.parse_ns", of: numeric, form: `time.parse_ns("2006-01-02", <date>)`},
	{name: "time.add_date", of: numeric, form: "time.add_date(<ns>, <small>, <small>, <small>)"},

	{name: "split", of: array, form: "split(<s>, <lit>)"},
	{name: "array.concat", of: array, form: "array.concat(<a>, <a>)"},
	{name: "array.slice", of: array, form: "array.slice(<a>, <small>, <small>)"},
	{name: "time.date", of: array, form: "time.date(<ns>)"},
	{name: "time.clock", of: array, form: "time.clock(<ns>)"},
	{name: "time.diff", of: array, form: "time.diff(<ns>, <ns>)"},

	{name: "and", of: set, form: "<t> & <t>"},
	{name: "or", of: set, form: "<t> | <t>"},
	{name: "setminus", of: set, form: "<t> - <t>"},
	{name: "intersection", of: set, form: "intersection({<t>, <t>})"},
	{name: "union", of: set, form: "union({<t>, <t>})"},
	{name: "object.keys", of: set, form: "object.keys(<o>)"},

	{name: "json.filter", of: object, form: `json.filter(<o>, ["g1", "s/0"])`},
	{name: "object.get", of: anything, form: "object.get(<o>, <key>, <x>)"},
	{name: "object.get", of: anything, form: `object.get(<o>, ["g1", <key>], <x>)`},
	{name: "uuid.parse", of: anything, form: `object.get(uuid.parse(<s>), "version", <x>)`},
}

// placeholders are what stands in the forms of builtins.
var placeholders map[string]func(g *generator, depth int) string

func init() { // they write builtins, which hold placeholders
	placeholders = map[string]func(g *generator, depth int) string{
		"s": func(g *generator, depth int) string { return g.expr(text, depth) },
		"n": func(g *generator, depth int) string { return g.expr(numeric, depth) },
		"x": func(g *generator, depth int) string { return g.expr(anything, depth) },
		"a": func(g *generator, depth int) string { return g.expr(array, depth) },
		"t": func(g *generator, depth int) string { return g.expr(set, depth) },
		"o": func(g *generator, depth int) string { return g.expr(object, depth) },
		// constants
		"lit": func(g *generator, _ int) string {
			return g.oneOf(`","`, `"a"`, `""`, `"%"`, `"-"`, `" "`, `"\\"`, `"A"`, `"é"`)
		},
		"lits": func(g *generator, _ int) string {
			return g.oneOf(`["a", "1", "é"]`, `["%", "_"]`, `{"a%", "b"}`, `[]`, `[""]`)
		},
		"pre":   func(g *generator, depth int) string { return g.prefix(depth) },
		"num":   func(g *generator, _ int) string { return g.oneOf("0", "1", "2", "0.5", "10", "1000000000") },
		"small": func(g *generator, _ int) string { return g.oneOf("0", "1", "2", "3", "-1", "8", "100") },
		"base": func(g *generator, _ int) string {
			return g.oneOf("10", "10", "10", "10", "10", "16", "16", "16", "2", "8")
		},
		"v": func(g *generator, depth int) string { // seldom a collection
			if g.rng.IntN(10) == 0 {
				return g.expr(anything, depth)
			}
			return g.expr(pick(g.rng, scalarKinds), depth)
		},
		"int": func(g *generator, depth int) string { // of anything else it says that it is none
			if g.rng.IntN(10) == 0 {
				return g.expr(numeric, depth)
			}
			return g.field("i", "s")
		},
		"key":  func(g *generator, depth int) string { return g.key(depth) },
		"ip":   func(g *generator, depth int) string { return g.near(depth, "ip") },
		"ns":   func(g *generator, depth int) string { return g.near(depth, "ns") },
		"time": func(g *generator, depth int) string { return g.near(depth, "ts") },
		"date": func(g *generator, depth int) string { return g.near(depth, "d") },
		"cidr": func(g *generator, _ int) string {
			return g.oneOf(`"10.0.0.0/8"`, `"0.0.0.0/0"`, `"::/0"`, `"10.0.0.1/32"`, `"192.168.0.0/16"`, `"x"`)
		},
		"pat": func(g *generator, _ int) string {
			return g.oneOf(`"^a"`, `"a$"`, `"^[a-z]+$"`, `"b|open"`, `"^.$"`, `"[0-9]{2}"`, `"é"`, `"(?i)A"`, `"^$"`, `"\\."`, `"^a.*b$"`, `"\\d"`, `"["`)
		},
		"glob": func(g *generator, _ int) string {
			return g.oneOf(`"a*"`, `"*"`, `"?"`, `"**"`, `"{a,b}*"`, `"[a-c]"`, `"*%"`, `"a\\*"`, `"10.*"`)
		},
		"delims": func(g *generator, _ int) string {
			return g.oneOf(`[]`, `["."]`, `[":"]`, `null`)
		},
	}
}

// plain are fields of the kinds, for a call that tells whether a builtin is translated.
var plain = map[string]string{
	"s": "input.object.t0", "n": "input.object.i0", "x": "input.object.w0", "v": "input.object.w0", "a": "input.object.ta0", "t": "{input.object.t0}", "o": "input.object.j0",
	"int": "input.object.i0", "ip": "input.object.ip0", "ns": "input.object.ns0", "time": "input.object.ts0", "date": "input.object.d0",
}

var placeholder = regexp.MustCompile(`<[a-z]+>`)

func (b builtin) filled(with func(string) string) string {
	return placeholder.ReplaceAllStringFunc(b.form, func(p string) string { return with(strings.Trim(p, "<>")) })
}

// call writes a builtin.
func (g *generator) call(b builtin, depth int) string {
	out := b.filled(func(p string) string { return placeholders[p](g, depth-1) })
	if !strings.HasSuffix(out, ")") || strings.HasPrefix(b.form, "<") {
		out = "(" + out + ")"
	}
	return out
}

// builtin is one that makes a value of the kind.
func (g *generator) builtin(of kind) (builtin, bool) {
	for range 12 {
		b := pick(g.rng, g.builtins)
		if b.of == of && (!b.off || g.rng.IntN(1000) == 0) {
			return b, true
		}
	}
	return builtin{}, false
}

// expr is an expression of a kind; most of the time.
func (g *generator) expr(of kind, depth int) string {
	if vars := g.inScope(of); len(vars) > 0 && g.rng.IntN(3) > 0 {
		return pick(g.rng, vars)
	}
	if of == anything {
		if g.rng.IntN(4) == 0 {
			return g.jsonPath(depth)
		}
		of = pick(g.rng, append([]kind{array, set, object}, scalarKinds...))
	}
	if g.rng.IntN(80) == 0 { // of another kind: it is undefined in most places
		of = pick(g.rng, append([]kind{array, anything}, scalarKinds...))
	}
	if depth > 0 && g.rng.IntN(4) == 0 {
		if b, ok := g.builtin(of); ok {
			return g.call(b, depth)
		}
	}
	switch of {
	case array:
		return g.arrayExpr(depth)
	case set:
		return g.setExpr(depth)
	case object:
		return g.oneOf("input.object.j", "input.object.j0", "input.object.j.g1", "input.object.j0[input.object.t]", "input.object.j", "input.object.j0", `{"a": input.object.t0, "g1": input.object.j0}`, "data.roles", "data.lists", `{"g1": {"x": "read"}, "t": 1}`)
	case anything:
		return g.jsonPath(depth)
	}
	switch g.rng.IntN(12) {
	case 0, 1:
		return g.constant(of)
	case 2:
		if of == text {
			return g.oneOf("input.subject.id", "input.subject.key", "input.subject.groups[0]", "input.subject.groups[1]")
		}
		return "input.subject.n"
	case 3:
		return g.jsonPath(depth)
	case 4:
		return g.oneOf("input.object[input.subject.key]", "data.roles[input.object.t0]", "data.roles[input.object.w]", "data.list[0]", "data.list[1]", "input.object.deep.owner", "input.object.deep.kind", "input.object.type", "input.object.nothing")
	default:
		return g.fieldOf(of)
	}
}

func (g *generator) arrayExpr(depth int) string {
	switch g.rng.IntN(9) {
	case 0:
		return g.jsonPath(depth)
	case 1:
		return g.oneOf("input.subject.groups", "data.list", "input.object.kind", "data.lists[input.object.t0]")
	case 2:
		return fmt.Sprintf("[%s, %s]", g.expr(text, depth-1), g.expr(text, depth-1))
	case 3:
		return fmt.Sprintf("[%s, %s, %s]", g.constant(text), g.constant(text), g.constant(numeric))
	case 4:
		if depth > 0 {
			return g.comprehension("[%s | %s]", depth)
		}
	}
	return g.field("ta", "ua", "ta")
}

func (g *generator) setExpr(depth int) string {
	if depth > 0 {
		switch g.rng.IntN(3) {
		case 0:
			return g.comprehension("{%s | %s}", depth)
		case 1:
			return g.partialSet(depth)
		}
	}
	return fmt.Sprintf("{%s, %s, %s}", g.constant(text), g.expr(text, 0), g.expr(anything, 0))
}

// jsonPath is a place inside a jsonb column, of any type.
func (g *generator) jsonPath(depth int) string {
	out := g.field("j", "j")
	for range g.rng.IntN(3) {
		out += g.oneOf(".g1", ".g1", ".g2", ".n", ".s", ".x", `["a"]`, "[0]", "[1]", ".t", "[input.subject.id]", "[input.subject.key]", "["+g.fieldOf(text)+"]", "["+g.key(depth)+"]")
	}
	return out
}

func (g *generator) key(int) string {
	return g.oneOf(`"g1"`, `"n"`, `"read"`, `"a"`, `""`, `"x"`, "input.subject.key", g.fieldOf(text), "0")
}

// near is a column of the name, or a value of it.
func (g *generator) near(depth int, name string) string {
	for _, c := range columns {
		if c.name != name || g.rng.IntN(4) == 0 {
			continue
		}
		if g.rng.IntN(3) == 0 {
			return g.valueOf(c)
		}
		return g.field(name)
	}
	return g.expr(text, depth)
}

// fieldOf is a field of a kind.
func (g *generator) fieldOf(of kind) string {
	for {
		if c := pick(g.rng, columns); kindOf(c) == of {
			return g.field(c.name)
		}
	}
}

func (g *generator) field(names ...string) string {
	if len(names) == 0 {
		names = []string{pick(g.rng, columns).name}
	}
	name := pick(g.rng, names)
	if g.rng.IntN(2) == 0 {
		name += "0"
	}
	return "input.object." + name
}

// valueOf is a value of a column, most often one that many rows have.
func (g *generator) valueOf(c column) string { return marshal(likely(g.rng, c.values).doc) }

func (g *generator) oneOf(list ...string) string { return pick(g.rng, list) }

func (g *generator) op() string {
	return g.oneOf("==", "==", "==", "!=", "<", "<=", ">", ">=")
}

// opOf compares values of the kind. The order of values of any type is seldom asked for.
func (g *generator) opOf(of kind) string {
	if (of == anything || of == array || of == set || of == object) && g.rng.IntN(10) > 0 {
		return g.oneOf("==", "==", "!=")
	}
	return g.op()
}

func (g *generator) prefix(depth int) string {
	if depth > 0 && g.rng.IntN(3) == 0 {
		return g.expr(text, depth-1)
	}
	return g.oneOf(`"a"`, `"%"`, `"a\\"`, `""`, `"1"`, `"aaaaaaaa-"`, `"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"`, `"2026-01-02"`, `"é"`, `"f"`, `"o"`)
}

// constant is a value of a kind: of a column, or a strange one.
func (g *generator) constant(of kind) string {
	if of == anything || g.rng.IntN(40) == 0 {
		of = pick(g.rng, append([]kind{array, object, anything}, scalarKinds...))
	}
	if g.rng.IntN(3) > 0 {
		if c := pick(g.rng, columns); kindOf(c) == of {
			return g.valueOf(c)
		}
	}
	switch of {
	case truth:
		return g.oneOf("true", "false")
	case numeric:
		return g.oneOf(`0`, `1`, `2`, `3`, `-5`, `1.5`, `0.1`, `5`, `-1`, `40000`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775809`, `1e300`, `1e400`, `1.50`,
			`12345678901234567890.5`, `9007199254740993`, `9007199254740992`, `0.1000000000000000055511151231257827`, `1767323045000000000`, `1767323045123456000`, `1767323045123456001`, `1e-7`, `0.30000000000000004`, `32768`, `100000000000000000000`)
	case array:
		return g.oneOf(`[]`, `["read", "write"]`, `["a", "b"]`, `["`+uuidA+`"]`, `["x", null]`, `[["read"]]`, `[1, "a"]`)
	case object:
		return g.oneOf(`{}`, `{"read": 1, "x": "read"}`, `{"g1": []}`)
	case text:
		return g.oneOf(`"`+uuidA+`"`, `"`+uuidB+`"`, `"`+uuidC+`"`, `"`+strings.ToUpper(uuidB)+`"`, `"aaaaaaaa"`, `"me"`, `"aaaaaaaabbbbccccddddeeeeeeeeeeee"`, `"{`+uuidB+`}"`, `"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeeg"`,
			`"a"`, `"A"`, `"ab"`, `""`, `" "`, `"Z"`, `"é"`, `"É"`, `"e\u0301"`, `"a%b"`, `"a_b"`, `"a\\b"`, `"\\"`, `"o'c"`, `"\""`, `"read"`, `"*"`, `"日本"`, `"ﬁ"`, `"İ"`, `"ß"`, `"ΌΣ"`, `"😀"`, `"a\u0000"`, `"none"`, `"true"`, `"null"`, `"1"`, `"1.50"`,
			`"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05.5Z"`, `"2026-01-02T03:04:05.50Z"`, `"2026-01-02T03:04:05+00:00"`, `"2026-01-02T05:04:05+02:00"`, `"2026-01-02T03:04:05.123456Z"`, `"2026-01-02T03:04:05.1234567Z"`, `"2026-01-02t03:04:05z"`, `"2026-01-02"`, `"2026-01-0"`, `"2026-02-30"`, `"1999-12-31T23:59:59.999999Z"`, `"0001-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999999Z"`,
			`"open"`, `"closed"`, `"Zed"`, `"nope"`, `"10.0.0.1"`, `"10.0.0.0/8"`, `"::1"`, `"10.0.0.1/32"`, `"::ffff:10.0.0.1"`)
	default:
		return "null"
	}
}
