package lint_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/lint"
	"github.com/rowfence/rowfence/policies"
	"github.com/rowfence/rowfence/rego"
)

const schema = `
params: {input.subject.id: uuid}
resources:
  audit_log:
    table: audit_logs
    fields:
      type:  {const: audit_log}
      id:    {column: id, type: uuid, not_null: true}
      org:   {column: organization_id, type: uuid, "null": ""}
      owner: {const: ""}
      code:  {column: status_code, type: int}
  document:
    table: documents
    fields:
      type:      {const: document}
      id:        {column: id, type: uuid, not_null: true}
      org:       {column: organization_id, type: uuid, not_null: true}
      owner:     {column: owner_id, type: uuid}
      state:     {column: state, type: enum(state)}
      states:    {column: states, type: "enum(state)[]"}
      tags:      {column: tags, type: "text[]"}
      meta:      {column: meta, type: jsonb}
      info.size: {column: size, type: int, not_null: true}
      info.at:   {column: at, type: timestamptz}
      gone:      {column: gone, type: text, absent: true}
`

func resources(t *testing.T, text string) []*compiler.Resource {
	s, err := compiler.ParseSchema([]byte(text))
	require.NoError(t, err)
	var out []*compiler.Resource
	for _, r := range s.Resources {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *compiler.Resource) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

func findings(t *testing.T, policy, schema string) []lint.Finding {
	p, err := rego.Load(t.Context(), rego.Module("p.rego", policy))
	require.NoError(t, err)
	q, err := p.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err)
	found := lint.Policy(q, resources(t, schema), map[string][]string{"state": {"active", "archived", "draft"}})
	lint.Sort(found)
	return found
}

// Each rule has the findings that are said of it, and no other but the infos.
func TestPolicy(t *testing.T) {
	const id = `"b0000000-0000-4000-8000-000000000001"`
	for name, c := range map[string]struct {
		rules string // below package authz; every case reads input.object.id
		want  []string
	}{
		"nothing wrong": {`allow if { input.object.type == "audit_log"; input.object.org in {` + id + `, ""}; input.object.code > 399 }
allow if { input.object.state != "draft"; input.object.tags[_] == "x"; input.object.meta.anything[0].deep == 1; input.object.info.size < 10 }
allow if { "x" in input.object.tags; "draft" in input.object.states; input.object.owner == null; object.get(input.object, "extra", 1) == 1 }
allow if { input.subject.id == ` + id + `; input.object.id != null; input.other.thing == 1; not input.object.gone == "x" }`, nil},

		"type":             {`allow if input.object.type == "audit_lgo"`, []string{`p.rego:3:10 warning never-true type: input.object.type == "audit_lgo" can never be true: no resource has this value (did you mean audit_log?)`}},
		"type, negated":    {`allow if not input.object.type == "docment"`, []string{`p.rego:3:10 warning never-true type: input.object.type == "docment" can never be true: no resource has this value (did you mean document?)`}},
		"type unlike all":  {`allow if input.object.type != "user"`, []string{`p.rego:3:10 warning always-true type: input.object.type != "user" is true wherever there is a value: no resource has this value (it has audit_log, document)`}},
		"enum":             {`allow if input.object.state == "actve"`, []string{`p.rego:3:10 warning never-true document state: input.object.state == "actve" can never be true: the type state has no such label (did you mean active?)`}},
		"enum, not equal":  {`allow if input.object.state != "Draft"`, []string{`p.rego:3:10 warning always-true document state: input.object.state != "Draft" is true wherever there is a value: the type state has no such label (did you mean draft?)`}},
		"enum in set":      {`allow if input.object.state in {"draft", "actve"}`, []string{`p.rego:3:10 warning never-member document state: input.object.state can never be the member "actve": the type state has no such label (did you mean active?)`}},
		"enum in rule":     {"allow if input.object.state in open\nopen := [\"draft\", \"opened\"]", []string{`p.rego:3:10 warning never-member document state: input.object.state can never be the member "opened": the type state has no such label (it has active, archived, draft)`}},
		"enum in array":    {`allow if "actve" in input.object.states`, []string{`p.rego:3:10 warning never-true document states: "actve" in input.object.states can never be true: the type state has no such label (did you mean active?)`}},
		"enum, some":       {"allow if {\n\tsome s in input.object.states\n\ts == \"actve\"\n}", []string{`p.rego:5:2 warning never-true document states: input.object.states[_] == "actve" can never be true: the type state has no such label (did you mean active?)`}},
		"enum, every":      {`allow if every s in input.object.states { s != "actve" }`, []string{`p.rego:3:43 warning always-true document states: input.object.states[_] != "actve" is true wherever there is a value: the type state has no such label (did you mean active?)`}},
		"enum, variable":   {"allow if {\n\tdoc := input.object\n\ts := doc.state\n\twant := \"actve\"\n\ts == want\n}", []string{`p.rego:7:2 warning never-true document state: input.object.state == "actve" can never be true: the type state has no such label (did you mean active?)`}},
		"enum in helper":   {"allow if h\nh if input.object.state == \"actve\"", []string{`p.rego:4:6 warning never-true document state: input.object.state == "actve" can never be true: the type state has no such label (did you mean active?)`}},
		"enum in else":     {"allow if h == 1\nh := 2 if input.object.code == 1\nelse := 1 if input.object.state == \"actve\"", []string{`p.rego:5:1 warning never-true document state: input.object.state == "actve" can never be true: the type state has no such label (did you mean active?)`}},
		"uuid":             {`allow if input.object.owner == "me"`, []string{`p.rego:3:10 warning never-true owner: input.object.owner == "me" can never be true: owner is a uuid, lower case with hyphens`}},
		"uuid of one":      {`allow if input.object.id == "ME"`, []string{`p.rego:3:10 warning never-true id: input.object.id == "ME" can never be true: id is a uuid, lower case with hyphens`}},
		"uuid parameter":   {`allow if input.subject.id == ""`, []string{`p.rego:3:10 warning never-true: input.subject.id == "" can never be true: the parameter is a uuid, lower case with hyphens`}},
		"int and string":   {`allow if "5" == input.object.code`, []string{`p.rego:3:10 warning never-true audit_log code: input.object.code == "5" can never be true: code is an int, a number to the policy`}},
		"order":            {`allow if input.object.info.size > "5"`, []string{`p.rego:3:10 warning order-of-types document info.size: the order of input.object.info.size and "5" is that of their types, whatever the value: info.size is an int, a number to the policy (compare with a number)`}},
		"null, not_null":   {`allow if input.object.info.size == null`, []string{`p.rego:3:10 warning never-true document info.size: input.object.info.size == null can never be true: info.size is an int, not_null`}},
		"null, absent":     {`allow if input.object.gone == null`, []string{`p.rego:3:10 warning never-true document gone: input.object.gone == null can never be true: gone is a text, absent where it is NULL`}},
		"null, a value":    {`allow if input.object.org != null`, []string{`p.rego:3:10 warning always-true org: input.object.org != null is true wherever there is a value: org is a uuid, "" where it is NULL`}},
		"time":             {`allow if input.object.info.at == "2026-01-02"`, []string{`p.rego:3:10 warning never-true document info.at: input.object.info.at == "2026-01-02" can never be true: info.at is a timestamptz, RFC 3339 in UTC as 2026-01-02T03:04:05.5Z`}},
		"element":          {`allow if 3 in input.object.tags`, []string{`p.rego:3:10 warning never-true document tags: 3 in input.object.tags can never be true: tags is a text[], a string to the policy`}},
		"no collection":    {`allow if "x" in input.object.gone`, []string{`p.rego:3:10 warning never-true document gone: "x" in input.object.gone can never be true: gone is a text, and no collection (write input.object.gone == "x")`}},
		"unknown field":    {`allow if input.object.ownr == "x"`, []string{`p.rego:3:10 warning unknown-field ownr: the schema of audit_log, document lacks input.object.ownr: it is undefined for every row, unless the input has it (did you mean owner?)`}},
		"unknown, through": {"allow if {\n\tdoc := input.object\n\tnot doc.info.sise == 3\n}", []string{`p.rego:5:6 warning unknown-field info.sise: the schema of audit_log, document lacks input.object.info.sise: it is undefined for every row, unless the input has it (did you mean info.size?)`}},
		"unknown, import":  {"import input.object as doc\nallow if doc.zzz", []string{`p.rego:4:10 warning unknown-field zzz: the schema of audit_log, document lacks input.object.zzz: it is undefined for every row, unless the input has it (the schema has code, gone, id, info.at, info.size, meta, org, owner, state, states, tags, type)`}},
		"below a scalar":   {`allow if input.object.gone.name == "x"`, []string{`p.rego:3:10 warning unknown-field gone.name: input.object.gone.name is undefined for every row: gone is a text`}},
		"with":             {"allow if h with input.object.state as \"x\" with input.object.new as 1\nh if { input.object.state == \"x\"; input.object.new == 1 }", nil},
		"not depended on":  {"allow if true\nother if input.object.ownr == 3", nil},
		"two variables":    {`allow if count({x | x = input.object.state; x == "y"}) + count({x | x = input.object.gone; x == "y"}) > 0`, nil},
		"argument":         {"allow if f(input.object.gone, \"y\")\nf(x, y) if { x = input.object.state; x == y }\nf(x, _) if x == \"zz\"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var have []string
			for _, f := range findings(t, "package authz\n\n"+c.rules+"\nallow if input.object.id == input.z", schema) {
				if f.Severity != lint.Info {
					have = append(have, line(f))
				}
			}
			require.Equal(t, c.want, have)
		})
	}
}

// line is a finding in one line.
func line(f lint.Finding) string {
	out := ""
	if f.Position != nil {
		out = f.Position.String() + " "
	}
	out += fmt.Sprintf("%s %s", f.Severity, f.Check)
	for _, part := range []string{f.Resource, f.Field} {
		if part != "" {
			out += " " + part
		}
	}
	out += ": " + f.Reason
	if f.Hint != "" {
		out += " (" + f.Hint + ")"
	}
	return out
}

func TestPolicyInfos(t *testing.T) {
	var have []string
	for _, f := range findings(t, `package authz
allow if { doc := input.object; doc.state == "draft"; doc.info.size > 3; object.get(doc, "gone", 1) == 1 }
allow if input.object.owner == input.subject.id
unused if input.object.code == 3
`, schema) {
		have = append(have, line(f))
	}
	require.Equal(t, []string{
		"info unread-field audit_log code: no rule that the query depends on reads it",
		"info unread-field audit_log id: no rule that the query depends on reads it",
		"info unread-field audit_log org: no rule that the query depends on reads it",
		"info unread-field audit_log type: no rule that the query depends on reads it",
		"info unread-field document id: no rule that the query depends on reads it",
		"info unread-field document info.at: no rule that the query depends on reads it",
		"info unread-field document meta: no rule that the query depends on reads it",
		"info unread-field document org: no rule that the query depends on reads it",
		"info unread-field document states: no rule that the query depends on reads it",
		"info unread-field document tags: no rule that the query depends on reads it",
		"info unread-field document type: no rule that the query depends on reads it",
		"p.rego:2:33 info field-of-some state: input.object.state is undefined for every row of audit_log: only document has it",
		"p.rego:2:55 info field-of-some info.size: input.object.info.size is undefined for every row of audit_log: only document has it",
	}, have)

	// Read as a whole, all of its fields may be.
	for _, rule := range []string{
		"allow if f(input.object)\nf(x) if x.id == 1", "allow if { some k; input.object[k] == 1 }", "allow if f(input)\nf(x) if x.object.id == 1",
		`allow if { doc := input.object; "x" in doc }`, "allow if { o := input.object; f(o) }\nf(x) if x.id == 1",
	} {
		require.Empty(t, findings(t, "package authz\n"+rule, schema), rule)
	}
}

func TestPolicyRoot(t *testing.T) {
	const root = "resources: {doc: {table: t, root: input.object, fields: {a: {column: a, type: text}}}}"
	have := findings(t, "package authz\nallow if input.objct.a == \"x\"", root)
	require.Equal(t, "p.rego:2:10 warning root doc: the policy never reads input.object, where the row of doc stands (it reads input.objct)", line(have[0]))
	have = findings(t, "package authz\nallow if input.subject.a == \"x\"", root)
	require.Equal(t, "warning root doc: the policy never reads input.object, where the row of doc stands", line(have[0]))
}

// The bundled policy has nothing to find.
func TestBundledPolicy(t *testing.T) {
	p, err := rego.Load(t.Context(), rego.FS(policies.FS))
	require.NoError(t, err)
	q, err := p.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err)
	require.Empty(t, lint.Policy(q, resources(t, string(policies.Schema())), nil))
}
