package oracle

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

// TestParameters holds policies with parameters against OPA, each for several inputs:
// those of one key share a template. An outcome is exact, or the code of a refusal.
func TestParameters(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		name, policy string
		params       string
		outcomes     map[string]string // by input
	}{
		{
			"a place in an array",
			`allow if input.object.j[input.k] == "read"
			allow if input.object.ta[input.k] == "a"`,
			`{input.k: int}`,
			map[string]string{`{"k": 0}`: "", `{"k": 1}`: "", `{"k": 0.0}`: "RF4002", `{"k": 0e0}`: "RF4002", `{"k": -0}`: "RF4002"},
		},
		{
			"a place in an array, numeric",
			`allow if input.object.j[input.k] == "read"`,
			`{input.k: numeric}`,
			map[string]string{`{"k": 0}`: "", `{"k": 0.0}`: "", `{"k": 0e0}`: "RF4002", `{"k": 0.5}`: "", `{"k": 0.00000000000000000000}`: "RF4002"},
		},
		{
			"a place in an array, of a document",
			`allow if input.object.j[input.k.at] == "read"`,
			`{input.k: jsonb}`,
			map[string]string{`{"k": {"at": 0}}`: "", `{"k": {"at": 0.0}}`: "", `{"k": {"at": 0e0}}`: "RF4002", `{"k": {"at": "g2"}}`: ""},
		},
		{
			"a number before a part of the row with the same number",
			`allow if input.k <= count(array.slice(input.object.j, 0, 2))
			allow if not input.k <= count(array.slice(input.object.j, 0, 1))`,
			`{input.k: int}`,
			map[string]string{`{"k": 0}`: "", `{"k": 1}`: "", `{"k": 2}`: ""},
		},
		{
			"the text of an integer",
			`allow if sprintf("%v-%s", [input.k, input.object.t]) == "1-a"
			allow if format_int(input.k, 10) == input.object.t
			allow if substring(input.object.t, input.k, 1) == "b"`,
			`{input.k: int}`,
			map[string]string{`{"k": 1}`: "", `{"k": -1}`: "", `{"k": 1.0}`: "RF4002", `{"k": 1e0}`: "RF4002"},
		},
		{
			"a number beyond a float64",
			`allow if input.object.n in data.authz.all
			all contains input.k`,
			`{data.authz.all: set(numeric)}`,
			map[string]string{`{"k": 1.50}`: "", `{"k": 1e400}`: "RF4002", `{"k": 1e300}`: ""},
		},
		{
			"a rule that may have two values, and decides of no row",
			`allow if { level > 0; input.object.t == "a" }
			allow if input.object.t == "a"
			level := l if some l in input.levels`,
			`{data.authz.level: int}`,
			map[string]string{`{"levels": [1]}`: "", `{"levels": []}`: "", `{"levels": [1, 2]}`: "RF2002"},
		},
		{
			"a rule that may have two values, where no row is allowed",
			`allow if { level > 0; input.object.t == "a"; input.action == "read" }
			level := l if some l in input.levels`,
			`{data.authz.level: int}`,
			map[string]string{`{"levels": [1], "action": "read"}`: "", `{"levels": [1, 2], "action": "read"}`: "RF2002", `{"levels": [1, 2], "action": "write"}`: ""},
		},
		{
			"a function of two values below a set",
			`allow if { count(all) >= 0; input.object.t == "a" }
			all contains f(x) if some x in input.levels
			f(x) := 1 if x > 0
			f(x) := 2 if x > 1`,
			`{data.authz.all: set(int)}`,
			map[string]string{`{"levels": [1]}`: "", `{"levels": [2]}`: "RF2002"},
		},
		{
			"undefined below not",
			`allow if { not k == "x"; input.object.t == "a" }
			allow if { not k; input.object.t == "ab" }
			allow if { not f(k); input.object.t == "A" }
			allow if { not startswith(k, "x"); input.object.t == "z" }
			allow if { not k == input.object.t; input.object.i == 1 }
			f(x) if x == "q"
			k := input.x`,
			`{data.authz.k: text}`,
			map[string]string{`{"x": "x"}`: "", `{"x": "q"}`: "", `{"x": "a"}`: "", `{}`: "", `{"x": null}`: "RF4002"},
		},
		{
			"a rule that is false",
			`allow if { not k; input.object.t == "a" }
			allow if { k; input.object.t == "z" }
			allow if { k == false; input.object.t == "ab" }
			allow if { k != true; input.object.t == "A" }
			allow if { x := k; input.object.b == x; input.object.i == 2 }
			allow if { input.object.i == 3; not input.object.b == k }
			k := input.x`,
			`{data.authz.k: bool}`,
			map[string]string{`{"x": true}`: "", `{"x": false}`: "", `{}`: ""},
		},
		{
			"every, of an array that may be missing",
			`allow if { every x in k { x != input.object.t } }
			allow if { not e; input.object.i == 1 }
			e if every x in k { x != input.object.w }
			k := input.x`,
			`{data.authz.k: "text[]"}`,
			map[string]string{`{"x": ["a", "b"]}`: "", `{"x": []}`: "", `{}`: ""},
		},
		{
			"sets of texts and uuids",
			`allow if { some x in s; x == input.object.u }
			allow if input.object.u in s
			allow if { not input.object.v in s; input.object.i == 1 }
			allow if { s[input.object.t]; input.object.i == 2 }
			allow if { input.object.t in s & r; input.object.i == 3 }
			allow if { input.object.t in s | r; input.object.i == 0 }
			allow if { input.object.t in s - r; input.object.i == -5 }
			allow if { count(s | {input.object.t}) == 3; input.object.i == 40000 }
			s contains x if some x in input.list
			r contains x if some x in input.other`,
			`{data.authz.s: set(text), data.authz.r: set(text)}`,
			map[string]string{
				`{"list": ["11111111-1111-1111-1111-111111111111", "x"], "other": ["x"]}`: "",
				`{"list": ["AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee", "a"], "other": ["b"]}`: "",
				`{"list": ["a", "b"], "other": ["b", "ab"]}`:                              "",
				`{"list": [], "other": []}`:                                               "",
				`{"list": ["a\u0000"], "other": []}`:                                      "RF4002",
				`{"list": [1], "other": []}`:                                              "RF4002",
			},
		},
		{
			"a rule by a name of the input",
			`allow if input.object.t in data.authz.sets[input.name]
			sets.s contains x if some x in input.list
			sets.r contains x if some x in input.other`,
			`{data.authz.sets.s: set(text)}`,
			map[string]string{
				`{"list": ["a"], "other": ["b"], "name": "s"}`: "", `{"list": ["b"], "other": ["a"], "name": "r"}`: "",
				`{"list": ["a"], "other": ["b"], "name": "q"}`: "",
			},
		},
		{
			"the input as a whole",
			`allow if { i := input; i.role == "admin"; input.object.t == "a" }
			allow if { f(input.subject, input.object.t) }
			f(s, x) if { s.id == x; not s.role }
			allow if { some k, v in input.subject; v == "admin"; k != "id"; input.object.t == "z" }`,
			`{input.subject.id: text}`,
			map[string]string{
				`{"role": "admin", "subject": {"id": "a"}}`: "", `{"role": "user", "subject": {"id": "a"}}`: "",
				`{"role": "user", "subject": {"id": "ab", "role": "admin"}}`: "", `{"role": "user", "subject": {"id": "admin", "role": "x"}}`: "",
			},
		},
		{
			"a document",
			`allow if input.object.j == doc
			allow if { doc; input.object.i == 1 }
			allow if { not doc; input.object.i == 2 }
			allow if { doc.a == input.object.t }
			allow if { not doc.a == input.object.t; input.object.i == 3 }
			doc := input.x`,
			`{data.authz.doc: jsonb}`,
			map[string]string{
				`{"x": "read"}`: "", `{"x": {"a": "b"}}`: "", `{"x": {"a": false}}`: "", `{"x": null}`: "", `{"x": false}`: "", `{}`: "", `{"x": 0}`: "",
				`{"x": "\u0000"}`: "RF4002",
			},
		},
	} {
		for _, convention := range conventions {
			policy, err := rego.Load(t.Context(), rego.Module("policy.rego", "package authz\n"+c.policy))
			require.NoError(t, err, c.name)
			query, err := policy.Prepare(t.Context(), "data.authz.allow")
			require.NoError(t, err, c.name)
			_, resources, _ := strings.Cut(schemaText(convention), "resources:")
			schema, err := compiler.ParseSchema([]byte("params: " + c.params + "\nresources:" + resources))
			require.NoError(t, err, c.name)
			resource, err := schema.Resource("thing")
			require.NoError(t, err)
			shared := sharedTemplates{}
			for text, want := range c.outcomes {
				t.Run(c.name+"/"+convention, func(t *testing.T) {
					input, err := compiler.DecodeInput([]byte(text))
					require.NoError(t, err)
					at := Case{Query: query.At(now), Resource: resource, Input: input, Key: "row_id", Compile: shared.compile, Direct: true}
					report, err := Check(t.Context(), f.db, at, f.rows[convention])
					var refusal *compiler.Error
					switch {
					case errors.As(err, &refusal):
						require.Equal(t, want, string(refusal.Code), "%s: %v", text, err)
					default:
						require.NoError(t, err, text)
						require.Empty(t, want, "%s: it is %v", text, report.Filter)
						require.NoError(t, report.Err(), text)
						new(templates).decides(t, at, report, f.rows[convention])
					}
				})
			}
		}
	}
}

// sharedTemplates are templates by their keys.
type sharedTemplates map[compiler.Key]*compiler.Template

func (s sharedTemplates) compile(ctx context.Context, query *rego.Query, r *compiler.Resource, input any) (*compiler.Compilation, error) {
	plan, err := compiler.NewPlan(query, r)
	if err != nil {
		return nil, err
	}
	key, err := plan.Key(input)
	if err != nil {
		return nil, err
	}
	if s[key] == nil {
		if s[key], err = plan.Template(ctx, input); err != nil {
			return nil, err
		}
	}
	filter, err := s[key].Bind(ctx, input)
	return &compiler.Compilation{Filter: filter}, err
}
