package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rego"
)

// TestNumbersBeyondADouble holds conditions with a number, $ in their text, against OPA,
// where rows have the same number, others near to it, and none. They are exact with any
// number; those in lookedFor are refused of one beyond a double, which OPA looks for by
// its text.
func TestNumbersBeyondADouble(t *testing.T) {
	ctx := context.Background()
	db := pgtest.New(t)
	_, err := db.Exec(ctx, "CREATE TABLE beyond (n numeric, na numeric[], j jsonb, i bigint, f double precision, t text)")
	require.NoError(t, err)
	schema, err := compiler.ParseSchema([]byte(`{resources: {r: {table: beyond, fields: {
		n: {column: n, type: numeric}, na: {column: na, type: "numeric[]"}, j: {column: j, type: jsonb},
		i: {column: i, type: int}, f: {column: f, type: float}, t: {column: t, type: text}}}}}`))
	require.NoError(t, err)
	resource, err := schema.Resource("r")
	require.NoError(t, err)
	const most = "1.7976931348623157e308" // of a double
	plain := "1" + strings.Repeat("0", 400)
	var rows []string
	for _, n := range []string{"5", most, plain, plain + ".0", plain + "1", "-" + plain, "null"} {
		for _, form := range []string{"%s", "[%s]", `{"a": [%s]}`} {
			rows = append(rows, fmt.Sprintf(`{"n": %s, "na": [%[1]s], "j": %[2]s, "i": 5, "f": 5, "t": "a"}`, n, fmt.Sprintf(form, n)))
		}
	}

	check := func(body, number string) error {
		body, rules, _ := strings.Cut(strings.ReplaceAll(body, "$", number), " where ")
		policy, err := rego.Load(ctx,
			rego.Module("policy.rego", "package authz\n\nimport rego.v1\n\nallow if {\n\t"+body+"\n}\n"+rules),
			rego.Data(map[string]any{"limit": json.Number("1e400"), "list": []any{json.Number("1e400"), "a"}}))
		require.NoError(t, err, body)
		query, err := policy.Prepare(ctx, "data.authz.allow")
		require.NoError(t, err, body)
		input := map[string]any{"big": json.Number("1e400"), "one": 1}
		report, err := CheckMade(ctx, db, Case{Query: query, Resource: resource, Input: input, Direct: true}, rows)
		if err == nil {
			require.NoError(t, report.Err(), "%s, %s", body, number)
		}
		return err
	}
	refused := func(body, number string) {
		t.Helper()
		var refusal *compiler.Error
		if err := check(body, number); !errors.As(err, &refusal) || refusal.Code != compiler.CodeLiteral {
			t.Errorf("%s, %.10s: want it refused with %s, have %v", body, number, compiler.CodeLiteral, err)
		}
	}
	lines := func(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
	for _, body := range lines(lookedFor) {
		require.NoError(t, check(body, most), body)
		require.NoError(t, check(body, "-5e-400"), body)
		refused(body, "1e400")
		refused(body, plain)
	}
	for _, body := range lines(compared) {
		for _, number := range []string{"5", most, "1e400", "-1e400"} {
			require.NoError(t, check(body, number), "%s, %s", body, number)
		}
	}
	for _, body := range lines(madeOf) {
		refused(body, "1e400")
	}
	for _, body := range lines(known) { // data and input have 1e400
		require.NoError(t, check(body, "1e400"), body)
		refused(body, plain)
	}
}

const lookedFor = `
input.object.n == $
$ == input.object.n
v := input.object.n; v == $
not h where h if input.object.n == $
f(input.object.n) where f(x) if x == $
level == 2 where level := 1 if { input.object.n == $ } else := 2
input.object.n == limit where limit := $
input.object.n == object.get({"a": $}, "a", 0)
input.object.n in [$, 5]
input.object.n in {"a": $}
input.object.n in {$, 5}
input.object.n in s where s contains n if some n in [$, 5]
s[input.object.n] where s contains n if some n in [$, 5]
$ in s where s contains input.object.n
{$: 1}[input.object.n] == 1
$ in input.object.na
input.object.j == $
input.object.j == [$]
input.object.j == [$, input.object.t]
input.object.j == {"a": [$]}
input.object.j[0] == $
input.object.j.a[_] == $
some x in input.object.j; x == $
every x in input.object.j { x == $ }
input.object.j in [$, 5]
$ in input.object.j
max(input.object.na) == $
count({input.object.n, $}) == 1
count({x | some x in [input.object.n, $]}) == 1
{input.object.n} & {$} == {$}
`

const compared = `
input.object.n != $
not input.object.n != $
input.object.n < $
input.object.n >= $; input.object.n <= $
not input.object.n > $
input.object.j != $
input.object.j != [$]
input.object.j > $
some x in input.object.j; x != $
every x in input.object.j { x >= $ }
[$] in input.object.j
max(input.object.na) >= $
input.object.i == $
input.object.i in {$, 5}
input.object.i * input.object.i == $
input.object.f == $
input.object.f in [$, 5]
input.object.t == $
input.object.t in {$, "a"}
$ in input.object.t
count(input.object.na) == $
`

// madeOf compares with what OPA computes, and writes with all digits.
const madeOf = `
f(input.one * $, input.object.t) where f(x, t) if { x == $; t == "a" }
f(input.one * $, input.object.t) where f(x, t) if { x in [$, 5]; t == "a" }
f([input.one * $], input.object.t) where f(x, t) if { $ in x; t == "a" }
f([input.one * $], input.object.t) where f(x, t) if { x == [$]; t == "a" }
f([input.one * $], input.object.t) where f(x, t) if { x[_] == $; t == "a" }
input.object.n in [input.one * $, 5]
`

const known = `
input.big == $; input.object.t == "a"
input.big in [$]; input.object.t == "a"
data.limit in [$, 1]; input.object.t == "a"
$ in data.list; input.object.t == "a"
data.list == [$, input.object.t]
f(input.big, input.object.t) where f(x, t) if { x == $; t == "a" }
f(1e400, input.object.t) where f(x, t) if { x == $; t == "a" }
f(input.one * 1e400, input.object.t) where f(x, t) if { x < $; t == "a" }
every x in [input.object.t] { f(x) } where f(t) if { input.big == $; t == "a" }
every x in [input.object.t] { f(x, input.big) } where f(t, y) if { y in [$, 1]; t == "a" }
h with input.big as 1e400 where h if { input.big == $; input.object.t == "a" }
`
