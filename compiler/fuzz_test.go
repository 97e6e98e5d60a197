package compiler_test

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/limit"
	"github.com/rowfence/rowfence/policies"
)

// maxHeap is the memory that the command gives a compilation, unless it is told
// otherwise.
const maxHeap = 1 << 30

// Whatever the policy, the schema and the input are, there is a filter or a coded
// error, within the limits of time and memory, and nothing panics.
func FuzzCompile(f *testing.F) {
	const schema = `{resources: {r: {table: t, fields: {u: {column: u, type: uuid}, s: {column: s, type: text, "null": ""}, n: {column: n, type: int, absent: true}, ts: {column: ts, type: timestamptz}, j: {column: j, type: jsonb}, a: {column: a, type: "text[]"}}}}}`
	bundled, err := fs.ReadFile(policies.FS, "authz.rego")
	require.NoError(f, err)
	f.Add(string(bundled), string(policies.Schema()), `{"action": "read", "subject": {"id": "x", "roles": []}}`)
	for _, rules := range []string{
		"allow if input.object.u == input.user",
		"allow if {\n\tnot input.object.s == \"a\"\n\tinput.object.n < 3\n}",
		"default allow := false\nallow if f(input.object.s) == 1\nf(x) := 1 if x == \"a\"\nelse := 2 if x == \"b\"",
		"allow if some g in input.groups; g in input.object.j[g]",
		"allow if input.object.a[_] == \"x\"",
		"allow if every x in [1, 2] { input.object.n != x }",
		"allow if input.object.ts > \"2026-01-01T00:00:00.5Z\"\nallow if object.get(input.object.j, \"k\", null) == null",
		"allow if s[input.object.s]\ns contains x if some x in [\"a\", input.object.s]\no[k] := v if some k, v in input.object",
		"allow if [input.object.n, 1] == [1, x]; x > 0\nallow if {x := {input.object.s}; count(x) == 1}",
		"allow if startswith(input.object.u, \"a\") with input.user as 3",
	} {
		f.Add("package authz\n\n"+rules, schema, `{"user": "b0000000-0000-4000-8000-000000000001", "groups": ["a"]}`)
	}
	f.Fuzz(func(t *testing.T, policy, schema, input string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var c *compiler.Compilation
		err := limit.Run(ctx, maxHeap, func(ctx context.Context) (err error) {
			c, err = compile(ctx, policy, schema, input)
			return err
		})
		if err != nil {
			require.Nil(t, c)
			errs := compiler.AsErrors(err)
			require.NotEmpty(t, errs)
			for _, e := range errs {
				require.NotEmpty(t, e.Code)
			}
			return
		}
		text, _ := c.Filter.SQL(1)
		require.NotEmpty(t, text)
		require.NotEmpty(t, c.Filter.Inline())
		_ = c.Residual.String()
	})
}
