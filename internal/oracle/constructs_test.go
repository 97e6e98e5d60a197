package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rego"
)

// constructs are policies in which OPA's partial evaluation, or SQL, is likely to
// mean something else than full evaluation. The code is that of the refusal (which
// may come under one convention of NULL only), or empty where the translation is
// exact.
var constructs = []struct{ name, code, body, rest string }{
	{"conflict of known values below not", "RF2002", "not blocked; input.object.t == \"a\"", "blocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict of known values", "RF2002", "blocked; input.object.t == \"a\"", "blocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict of a known function below not", "RF3005", "not f(1); input.object.t == \"a\"", "f(x) := true if x == 1\nf(x) := false if x > 0"},
	{"conflict of a known object below not", "RF2002", "not m.a; input.object.t == \"a\"", "m[k] := v if { some k, v in {\"a\": false} }\nm[k] := v if { some k, v in {\"a\": true} }"},
	{"conflict deep below not", "RF2002", "not h; input.object.t == \"a\"", "h if { blocked; input.object.i == 1 }\nblocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict below not, the row through an argument", "RF2002", "not f(input.object.t)", "f(x) if { blocked; x == \"a\" }\nblocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict below not, the row through a variable", "RF2002", "t := input.object.t; not t == blocked", "blocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict below not, the row in a document", "RF2002", "o := input; not h(o)", "h(o) if { blocked; o.object.t == \"a\" }\nblocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict below not in a set", "RF2002", "not s[input.object.t]", "s contains x if { blocked; x := input.object.w }\nblocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict below not in a comprehension", "RF3005", "not input.object.t in xs", "xs := {x | blocked; x := input.object.w}\nblocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"conflict in a function of a function", "RF2002", "g(input.object.t)", "g(x) if not f(x)\nf(x) if { blocked; x == \"a\" }\nblocked := true if input.subject.n == 1\nblocked := false if input.subject.n > 0"},
	{"a builtin of several results", "RF3001", "not h", "cfg := {\"a\": 1, \"b\": 2} if input.object.i > 0\nh if { walk(cfg, [_, v]); v == 1 }"},
	{"jsonb and a huge number", "RF3009", "input.object.j == 1e2000", ""},
	{"jsonb and an array with a huge number", "RF3009", "input.object.j != [1e2000]", ""},
	{"jsonb and a huge number in a set", "RF3009", "input.object.j in {1, 1e2000}", ""},
	{"an element with an element", "", "input.object.ta[_] == input.object.j[_]", ""},
	{"a set of which no definition is left", "", "not \"a\" in s", "s contains \"a\" if { input.object.t == \"a\"; input.subject.n == 2 }"},
	{"a set of which no definition is left, by key", "", "not s.a", "s contains \"a\" if { input.object.t == \"a\"; input.subject.n == 2 }"},
	{"a set of which no definition is left, counted", "", "count(s) == 0", "s contains \"a\" if { input.object.t == \"a\"; input.subject.n == 2 }"},
	{"a set of which no definition is left, compared", "RF3006", "not s == set()", "s contains \"a\" if { input.object.t == \"a\"; input.subject.n == 2 }"},
	{"a set of which no definition is left, in a variable", "", "x := s; not \"b\" in x", "s contains \"a\" if { input.object.t == \"a\"; input.subject.n == 2 }"},
	{"an object of which no definition is left", "", "not is_set(m); object.get(m, \"a\", 2) == 2", "m[k] := 1 if { k := input.object.t; input.subject.n == 2 }"},
	{"an object of which nothing may be left", "", "is_object(m)", "m[k] := 1 if { some k in [\"a\", \"b\"]; input.object.i0 == k }"},
	{"known and unknown keys of one object", "RF3007", "not m[input.object.t0]", "m[\"a\"] := true if input.object.b0\nm[k] := true if { k := input.object.w0; input.object.c0 }"},
	{"an inner set that may be empty", "RF3007", "not \"b\" in m.x", "m[k] contains \"a\" if { some k in [\"x\"]; input.object.b0 }"},
	{"an inner object that may be empty", "RF3007", "not m.x", "m[k][l] := 1 if { some k in [\"x\"]; some l in [\"y\"]; input.object.b0 }"},
	{"a boolean result and data below not", "", "not startswith(input.object.t0, \"a\") == data.roles[input.object.w0]", ""},
	{"a boolean result and data below two nots", "", "not h", "h if not startswith(input.object.t0, \"a\") == data.roles[input.object.w0]"},
	{"an index that is no plain integer", "", "input.object.j[1e0] == 1", ""},
	{"an object comprehension that conflicts below not", "RF3005", "not h", "h if { input.object.b0; {\"a\": v | some v in [1, 2]}.a == 1 }"},
	{"a text with a NUL searched for a field", "RF3009", "startswith(\"a\\u0000b\", input.object.t)", ""},
	{"a parameter that is not of its type", "", "input.subject.id != null; input.object.t != \"zz\"", ""},
	{"an array parameter compared", "", "input.object.ta == input.subject.groups", ""},
	{"a comprehension with a known variable of another type", "RF3003", "not h", "h if { role := input.subject.n; count({z | some z in input.object.ta0; role == \"admin\"}) == 0 }"},
	{"a comprehension with a variable of the row", "", "t := input.object.t; count({z | some z in input.object.ta0; z == t}) == 0", ""},
	{"a comprehension in a function of the row", "", "f(input.object.t)", "f(t) if count({z | some z in input.object.ta0; z == t}) > 0"},
	{"known and unknown keys of one object in every", "RF3007", "every x in input.object.ta0 { not p[x] }", "p.a := true if input.object.b0\np[k] := true if { k := input.object.t0; input.object.c0 }"},
	{"the index of an array comprehension, every", "RF3002", "every k, _ in [y | some y in input.object.ta0; y != \"a\"] { k != 0 }", ""},
	{"the index of an array comprehension", "RF3002", "some k, x in [y | some y in input.object.ta0]; x == \"b\"; k == 1", ""},
	{"an array comprehension without its index", "", "some _, x in [y | some y in input.object.ta0]; x == \"b\"", ""},
	{"an array literal at a place of the row, below not", "RF3007", "not startswith(input.object.t0, \"a\") == [true][input.object.s]", ""},
	{"a data array at a place of the row, below not", "RF3007", "not input.object.t0 == data.list[input.object.s]", ""},
	{"a data array at a place of the row, before not", "", "x := data.list[input.object.s]; not input.object.t0 == x", ""},
	{"conflict of unknown values below not", "RF3005", "not blocked; input.object.t == \"a\"", "blocked := true if input.object.i == 1\nblocked := false if input.object.i > 0"},
	{"whole document", "RF3006", "input.object == {\"a\": 1}", ""},
	{"whole input", "", "x := input; x.object.t == \"a\"", ""},
	{"iteration over input", "", "some k; input[k].t == \"a\"", ""},
	{"iteration over the document", "", "some k; input.object[k] == \"a\"; k != \"w\"", ""},
	{"wildcard over the document", "", "input.object[_] == \"a\"", ""},
	{"member of the document", "", "\"a\" in input.object", ""},
	{"with on a known value", "RF3004", "h with input.subject.n as 5", "h if { input.subject.n == 5; input.object.t == \"a\" }"},
	{"with on the row", "RF3004", "h with input.object.t as \"a\"", "h if { input.object.t == \"a\"; input.object.i == 1 }"},
	{"with on all input", "RF3004", "h with input as {\"object\": {\"t\": \"a\"}}", "h if input.object.t == \"a\""},
	{"with on data", "RF3004", "h with data.roles as {\"a\": 5}", "h if data.roles[input.object.t] == 5"},
	{"with below not", "RF3004", "not h with input.subject.n as 5", "h if { input.subject.n == 5; input.object.t == \"a\" }"},
	{"with on a builtin", "", "count([input.object.t]) == 7 with count as 7", ""},
	{"key from the input", "", "input.object[input.subject.key] == \"a\"", ""},
	{"key from the row", "", "input.object[input.object.t] == \"Z\"", ""},
	{"data by a field", "", "data.roles[input.object.t] == 1", ""},
	{"data by a field below not", "", "not data.roles[input.object.t] == 1", ""},
	{"data by a field, list", "", "data.lists[input.object.t][_] == \"x\"", ""},
	{"data by a field, member", "", "\"x\" in data.lists[input.object.t]", ""},
	{"data by a number", "", "data.roles[input.object.i] == 1", ""},
	{"data array by a number", "", "data.list[input.object.s] == \"a\"", ""},
	{"array literal by a number", "", "[\"a\", \"b\"][input.object.s] == \"b\"", ""},
	{"every over known", "", "every x in [\"a\", \"b\"] { input.object.t != x }", ""},
	{"every over known below not", "", "not h", "h if { every x in [\"a\", \"b\"] { input.object.t != x } }"},
	{"every over the row", "", "every x in input.object.ta { x != \"a\" }", ""},
	{"print", "", "print(input.object.t); input.object.t == \"a\"", ""},
	{"default function", "", "f(input.object.t) == \"no\"", "default f(_) := \"no\"\nf(x) := \"yes\" if x == \"a\""},
	{"default function below not", "", "not f(input.object.t) == \"no\"", "default f(_) := \"no\"\nf(x) := \"yes\" if x == \"a\""},
	{"nested partial object", "", "m.a.b == 1", "m[k][l] := 1 if { some k in [\"a\", \"c\"]; some l in [\"b\", \"d\"]; input.object.t == k }"},
	{"partial object by a field", "", "m[input.object.w] == 1", "m[k] := 1 if { some k in [\"a\", \"b\"]; input.object.t != k }"},
	{"partial object with a field as key", "", "m[\"a\"] == 1", "m[k] := 1 if { k := input.object.t }"},
	{"rule with a reference head", "", "r.a.b", "r.a.b if input.object.t == \"a\"\nr.a.c if input.object.t == \"b\""},
	{"value of a field", "", "h == true", "h := input.object.b"},
	{"two values of fields", "RF3005", "h == true", "h := input.object.b if input.object.i == 1\nh := input.object.c if input.object.i != 1"},
	{"no boolean", "", "h == 1", "h := 1 if input.object.b"},
	{"a field with itself", "", "input.object.t == input.object.t", ""},
	{"a field with itself, not", "", "not input.object.t != input.object.t", ""},
	{"a variable that is never used", "", "x := input.object.j.g1; input.object.i >= 0", ""},
	{"a reference that may be missing, hoisted", "", "not f(input.object.j.g1)", "f(x) if x == \"a\""},
	{"a reference that may be missing, not hoisted", "", "not input.object.j.g1 == \"a\"", ""},
	{"now", "RF3001", "time.now_ns() > input.object.ns", ""},
	{"random", "RF3001", "rand.intn(\"a\", 10) == input.object.i", ""},
	{"field and object", "", "input.object.t == input.subject", ""},
	{"array of fields", "", "[input.object.t, input.object.w] == [\"a\", \"b\"]", ""},
	{"array of fields below not", "", "not [input.object.t, input.object.w] == [\"a\", \"b\"]", ""},
	{"array pattern", "", "[x, \"b\"] = [input.object.t, input.object.w]; x != \"z\"", ""},
	{"set of fields", "RF3006", "{input.object.t, \"a\"} == {\"a\"}", ""},
	{"set operation", "RF3001", "count({input.object.t} & {\"a\"}) > 0", ""},
	{"comprehension over known", "", "input.object.t in {x | some x in [\"a\", \"b\"]; x != \"b\"}", ""},
	{"comprehension with a field", "", "\"a\" in {x | some x in [\"a\", \"b\"]; x != input.object.t}", ""},
	{"unification", "", "some x; input.object.t = x; x != \"b\"", ""},
	{"rule set below not", "", "not s[input.object.t]", "s contains \"a\"\ns contains x if { x := input.object.w; input.object.i == 1 }"},
	{"rule set, member below not", "", "not input.object.t in s", "s contains \"a\"\ns contains x if { x := input.object.w; input.object.i == 1 }"},
	{"rule set, loop", "", "some x in s; x != \"a\"", "s contains \"a\"\ns contains x if { x := input.object.w; input.object.i == 1 }"},
	{"rule set, counted above one", "RF3006", "count(s) == 2", "s contains \"a\"\ns contains x if { x := input.object.w }"},
	{"template string", "RF3001", "$\"{input.object.t}-x\" == \"a-x\"", ""},
	{"negative literal", "", "input.object.i == -5", ""},
	{"huge exponent", "RF3009", "input.object.n < 1e9999", ""},
	{"division", "RF3001", "input.object.i / 0 == 1", ""},
	{"jsonb key with a NUL", "", "input.object.j[\"a\\u0000\"] == 1", ""},
	{"text with a NUL, order", "", "input.object.t < \"a\\u0000b\"", ""},
	{"text with 0x1A", "", "input.object.t == \"a\\u001a\"", ""},
	{"walk", "RF3001", "walk(input.object, [p, v]); v == \"a\"", ""},
	{"object.get with a default", "", "object.get(input.object, \"t\", \"none\") == \"none\"", ""},
	{"object.get of jsonb", "", "object.get(input.object.j, \"g1\", \"none\") == \"none\"", ""},
	{"object.get of a missing key", "", "object.get(input.object, \"nope\", \"none\") == \"none\"", ""},
	{"bare missing field", "", "not input.object.nope; input.object.i == 1", ""},
	{"or of many", "", "h1; h2; h3", "h1 if input.object.t == \"a\"\nh1 if input.object.b\nh2 if input.object.i > 0\nh2 if input.object.c\nh3 if input.object.w == \"a\"\nh3 if input.object.u0 != \"x\""},
	{"a helper used three times", "", "h; not h2; h3", "h if input.object.t != \"a\"\nh2 if { h; input.object.b }\nh3 if not h2"},
	{"else with values of fields", "RF3005", "e == \"a\"", "e := input.object.t if input.object.b\nelse := input.object.w"},
	{"else with a value that is undefined", "", "e == \"x\"", "e := input.object.j.g1 if input.object.b0\nelse := \"x\""},
	{"else below not in a function", "", "not f(input.object.t, 1) == \"x\"", "f(a, _) := \"x\" if a == \"a\"\nelse := \"y\" if input.object.b\nelse := \"x\" if a == \"b\""},
	{"parameter as a key", "", "\"read\" in input.object.j[input.subject.id]", ""},
	{"parameter in a string function", "", "startswith(input.object.t, input.subject.id)", ""},
	{"parameter loop", "", "some g in input.subject.groups; g == input.object.t", ""},
	{"parameter member", "", "\"a\" in input.subject.groups; input.object.t == \"b\"", ""},
	{"is_ of a missing key", "", "is_string(input.object.j.g1)", ""},
	{"is_ below not", "", "not is_string(input.object.j.g1)", ""},
	{"boolean result compared", "", "startswith(input.object.t, \"a\") == false", ""},
	{"negated boolean result", "", "x := startswith(input.object.t, \"a\"); not x", ""},
	{"dates in a set", "", "input.object.d in {\"2026-01-02\", \"1999-12-31\"}", ""},
	{"timestamps in a set", "", "input.object.ts in {\"2026-01-02T03:04:05Z\", \"2026-01-02T03:04:05.5Z\", \"x\"}", ""},
	{"nanoseconds in a set", "", "input.object.ns in {1767323045000000000, 1767323045500000000, 1}", ""},
	{"floats in a set", "", "input.object.f in {0.1, 1.5, 1e300}", ""},
	{"wide integers in a set", "", "input.object.s in {1, 2, 40000, 9223372036854775807}", ""},
	{"numerics in a set", "", "input.object.n in {1, 1.5, 12345678901234567890.5}", ""},
	{"addresses in a set", "", "input.object.ip in {\"10.0.0.1\", \"10.0.0.0/8\", \"::1\"}", ""},
	{"enums in a set", "", "input.object.e in {\"open\", \"Zed\", \"nope\"}", ""},
	{"booleans in a set", "", "input.object.b in {true, null}", ""},
	{"jsonb in a set", "", "input.object.j in {true, \"read\", 5}", ""},
	{"outside a set of dates", "", "not input.object.d in {\"2026-01-02\", \"1999-12-31\"}", ""},
	{"outside a set of floats", "", "not input.object.f0 in {0.1, 1.5}", ""},
	{"a nested field", "", "input.object.deep.owner == \"a\"; input.object.deep.kind == \"k\"", ""},
	{"a nested field that is negated", "", "not input.object.deep.owner == \"a\"", ""},
	{"a document with a nested field", "", "d := input.object.deep; d.owner != \"b\"; d.kind == \"k\"", ""},
	{"a key of a document with a nested field", "", "input.object.deep[k] == \"a\"; k != \"kind\"", ""},
	{"loop over an array", "", "some x in input.object.ta; startswith(x, \"a\")", ""},
	{"loop, equality", "", "some x in input.object.ta; x == \"a\"", ""},
	{"loop, null", "", "some x in input.object.ta; x == null", ""},
	{"loop below not", "", "not h", "h if { some x in input.object.ta; x != \"a\" }"},
	{"loop with an index", "", "some i, x in input.object.ta; i > 0; x == \"b\"", ""},
	{"loop over jsonb with a key", "", "some k, v in input.object.j; k == \"g1\"; v != \"read\"", ""},
	{"loop over jsonb with any key", "", "some k, v in input.object.j0; k != \"n\"; v == [\"read\", \"write\"]", ""},
	{"loop over a part of jsonb", "", "some x in input.object.j.g1; x != \"read\"", ""},
	{"two wildcards", "", "input.object.j[_][_] == \"read\"", ""},
	{"a wildcard with a key behind it", "", "input.object.j[_].x == \"read\"", ""},
	{"a wildcard, bare", "", "input.object.j[_]", ""},
	{"loop with a membership", "", "some x in input.object.ta; x in input.object.ta0", ""},
	{"loop with a negated membership", "", "some x in input.object.ta; not x in input.object.ta0", ""},
	{"two loops", "", "some x in input.object.ta; some y in input.object.ta0; x == y", ""},
	{"two loops of one array", "", "some i, x in input.object.ta0; some j, y in input.object.ta0; i < j; x < y", ""},
	{"every below not", "", "not h", "h if { every x in input.object.ta { x != \"a\" } }"},
	{"every with a key", "", "every k, v in input.object.j { k != \"g1\"; v != 5 }", ""},
	{"every of a part of jsonb", "", "every x in input.object.j0.g1 { x == \"read\" }", ""},
	{"every of every", "", "every x in input.object.ta0 { every y in input.object.ta { x <= y } }", ""},
	{"every with a helper", "", "every x in input.object.ta { f(x) }", "f(x) if x == \"a\"\nf(x) if startswith(x, \"b\")"},
	{"every with rules and data", "", "every x in input.object.ta { g(x) }", "g(x) if data.roles[x] == 1\ng(x) if { x == input.object.t; not h }\ng(x) if x in names\nh if input.object.b\nnames contains \"x\"\nnames contains input.subject.key"},
	{"every with a chain of else", "", "every x in input.object.ta { e(x) != \"no\" }", "e(x) := \"yes\" if x == \"a\"\nelse := \"no\" if x == \"b\"\nelse := \"maybe\""},
	{"comprehension with rules and data", "", "\"a\" in {x | some x in input.object.ta; data.roles[x] > 0; x in input.subject.groups}", ""},
	{"rule set of a loop", "", "\"b\" in s", "s contains x if { some x in input.object.ta; x != \"a\" }"},
	{"rule set of a loop below not", "", "not \"b\" in s", "s contains x if { some x in input.object.ta; x != \"a\" }"},
	{"loop over a rule set of a loop", "", "some x in s; startswith(x, \"b\")", "s contains x if { some x in input.object.ta; x != \"a\" }"},
	{"two loops over a rule set of a loop", "", "some x in s; some y in s; x < y", "s contains x if { some x in input.object.ta; x != \"x\" }"},
	{"rule set of a loop, counted", "", "count(s) > 0", "s contains x if { some x in input.object.ta; x != \"a\" }"},
	{"comprehension, member", "", "\"b\" in {x | some x in input.object.ta; x != \"a\"}", ""},
	{"comprehension, counted", "", "count([x | some x in input.object.ta; startswith(x, \"a\")]) == 0", ""},
	{"comprehension, loop", "", "xs := {x | some x in input.object.ta}; some y in xs; y in input.object.ta0", ""},
	{"helper with a loop", "", "h; input.object.i0 >= 0", "h if { some x in input.object.ta; x == input.object.t }"},
	{"function of an element", "", "some x in input.object.ta; f(x, input.object.t)", "f(x, y) if x == y\nf(x, _) if x == null"},
	{"value of a rule from a loop", "RF3002", "h == \"a\"", "h := x if { some x in input.object.ta; x != \"b\" }"},
	{"constant of a rule from a loop", "", "h == \"yes\"", "h := \"yes\" if { some x in input.object.ta; x != \"b\" }"},
	{"parameter loop as a key", "", "some g in input.subject.groups; \"read\" in input.object.j[g]", ""},
	{"parameter loop below not", "", "not h", "h if { some g in input.subject.groups; g == input.object.t }"},
	{"every parameter", "", "every g in input.subject.groups { g != input.object.t }", ""},
	{"loop over uuids", "", "some x in input.object.ua; x != input.subject.id", ""},
	{"loop over objects", "", "some x in input.object.j; x.x == \"read\"", ""},
	{"member of a loop in a literal", "", "some x in input.object.ta; x in [\"a\", input.object.t]", ""},
	{"count of text", "", "count(input.object.t) > 1", ""},
	{"count of text below not", "", "not count(input.object.t) > 1", ""},
	{"count of an array", "", "count(input.object.ta) == 2", ""},
	{"count of jsonb", "", "count(input.object.j) >= 1", ""},
	{"element of an array", "", "input.object.ta[1] == \"b\"", ""},
	{"element of an array, null", "", "input.object.ta[1] == null", ""},
	{"element of an array below not", "", "not input.object.ta[0] == \"a\"", ""},
	{"element of an array, hoisted", "", "x := input.object.ta0[0]; not x == \"a\"", ""},
	{"time parsed", "", "time.parse_rfc3339_ns(input.object.ts) >= time.parse_rfc3339_ns(\"2026-01-02T03:04:05.25Z\")", ""},
	{"time parsed, below not", "", "not time.parse_rfc3339_ns(input.object.ts) > 1767323045000000000", ""},
	{"times parsed and compared", "", "time.parse_rfc3339_ns(input.object.ts0) < input.object.ns0", ""},
	{"time of jsonb parsed", "RF3001", "time.parse_rfc3339_ns(input.object.j.s) > 5", ""},
	{"comparison as a value", "", "x := input.object.i > 1; x == false", ""},
}

// TestConstructs: each is exact or refused, on rows with NULL in each convention.
func TestConstructs(t *testing.T) {
	ctx := context.Background()
	db := pgtest.New(t)
	rows := load(t, db, rand.New(rand.NewPCG(7, 7)), 250)
	input := map[string]any{"subject": map[string]any{"id": uuidA, "groups": []any{"a", "open"}, "n": 1, "key": "t"}}
	data := rego.Data(map[string]any{
		"roles": map[string]any{"a": 1, "b": 2, "": 1}, "list": []any{"a", "b"},
		"lists": map[string]any{"a": []any{"x"}, "b": []any{}},
	})
	for _, c := range constructs {
		for _, conv := range conventions {
			t.Run(c.name+"/"+conv, func(t *testing.T) {
				schema, err := compiler.ParseSchema([]byte(schemaText(conv)))
				require.NoError(t, err)
				resource, err := schema.Resource("thing")
				require.NoError(t, err)
				text := fmt.Sprintf("package authz\n\nimport rego.v1\n\nallow if { %s }\n\n%s\n", c.body, c.rest)
				policy, err := rego.Load(ctx, rego.Module("policy.rego", text), data)
				require.NoError(t, err)
				query, err := policy.Prepare(ctx, "data.authz.allow")
				require.NoError(t, err)
				f, err := Check(ctx, db, Case{query, resource, input, rows[conv]})
				var refusal *compiler.Error
				if errors.As(err, &refusal) {
					require.Equal(t, c.code, string(refusal.Code), "%v", err)
					return
				}
				require.NoError(t, err)
				t.Log(f)
			})
		}
	}
}
