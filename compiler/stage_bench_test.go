package compiler

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/policies"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// BenchmarkBind has the stages of a filter by the bundled policy: bind is derive, the
// rest of values, and settle; template is partial and the translation.
func BenchmarkBind(b *testing.B) {
	policy, err := rego.Load(b.Context(), rego.FS(policies.FS))
	require.NoError(b, err)
	query, err := policy.Prepare(b.Context(), "data.authz.allow")
	require.NoError(b, err)
	schema, err := ParseSchema(policies.Schema())
	require.NoError(b, err)
	for _, name := range []string{"audit_log", "document"} {
		r, err := schema.Resource(name)
		require.NoError(b, err)
		plan, err := NewPlan(query, r)
		require.NoError(b, err)
		for _, n := range []int{1, 10, 100, 1000} {
			input, err := toInput(auditor(n))
			require.NoError(b, err)
			t, err := plan.Template(b.Context(), input)
			require.NoError(b, err)
			f, err := t.Bind(b.Context(), input)
			require.NoError(b, err)
			value, err := t.values(b.Context(), input)
			require.NoError(b, err)
			run := func(stage string, call func() error) {
				b.Run(fmt.Sprintf("%s/orgs=%d/stage=%s", name, n, stage), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := call(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			whole, err := plan.withConstants(input)
			require.NoError(b, err)
			run("derive", func() error { _, err := t.derivation.Eval(b.Context(), whole); return err })
			run("values", func() error { _, err := t.values(b.Context(), input); return err })
			run("settle", func() error { _, err := sqlgen.WhenBound(context.Background(), t.simplified, value); return err })
			run("bind", func() error { _, err := t.Bind(b.Context(), input); return err })
			run("render", func() error { f.Rendered(); return nil })
			run("partial", func() error {
				doc, err := plan.layout.document(input)
				if err != nil {
					return err
				}
				_, err = query.PartialOf(b.Context(), doc.known, plan.unknowns)
				return err
			})
			run("template", func() error { _, err := plan.template(b.Context(), input); return err })
		}
	}
}

// auditor is an input of a subject that audits n organizations.
func auditor(n int) map[string]any {
	every := map[string]any{"negate": false, "resource_type": "*", "action": "*"}
	grant := []any{map[string]any{"negate": false, "resource_type": "audit_log", "action": "read"}}
	byOrg, groups := map[string]any{}, make([]any, n)
	for i := range n {
		org := uuid.UUID{6: 0x40, 8: 0x80, 14: byte(i >> 8), 15: byte(i)}.String()
		groups[i], byOrg[org] = org, map[string]any{"org": grant, "member": []any{}}
	}
	return map[string]any{"action": "read", "subject": map[string]any{
		"id":     uuid.UUID{6: 0x40, 8: 0x80, 9: 1}.String(),
		"roles":  []any{map[string]any{"site": []any{}, "user": []any{}, "by_org_id": byOrg}},
		"groups": groups,
		"scope": map[string]any{
			"site": []any{every}, "user": []any{}, "by_org_id": map[string]any{},
			"allow_list": []any{map[string]any{"type": "*", "id": "*"}},
		},
	}}
}
