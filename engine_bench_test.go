package rowfence_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/policies"
)

// auditor is a subject that audits n organizations, by the bundled policy.
func auditor(n, seed int) map[string]any {
	grant := []any{map[string]any{"negate": false, "resource_type": "audit_log", "action": "read"}}
	byOrg := map[string]any{}
	groups := make([]string, n)
	for i := range n {
		groups[i] = uuid.UUID{0: byte(seed >> 8), 1: byte(seed), 6: 0x40, 8: 0x80, 14: byte(i >> 8), 15: byte(i)}.String()
		byOrg[groups[i]] = map[string]any{"org": grant, "member": []any{}}
	}
	return map[string]any{
		"id":     uuid.UUID{0: byte(seed >> 8), 1: byte(seed), 6: 0x40, 8: 0x80, 9: 1}.String(),
		"roles":  []any{map[string]any{"site": []any{}, "user": []any{}, "by_org_id": byOrg}},
		"groups": groups,
		"scope": map[string]any{
			"site": []any{map[string]any{"negate": false, "resource_type": "*", "action": "*"}}, "user": []any{},
			"by_org_id": map[string]any{}, "allow_list": []any{map[string]any{"type": "*", "id": "*"}},
		},
	}
}

func bundled(tb testing.TB) *rowfence.Engine {
	e, err := rowfence.New(context.Background(), rowfence.Config{Policies: policies.FS, Schema: policies.Schema()})
	require.NoError(tb, err)
	return e
}

func BenchmarkFilterWarm(b *testing.B) {
	e := bundled(b)
	for _, n := range []int{1, 10, 100, 1000} {
		s := subject(auditor(n, 0))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := e.Filter(b.Context(), s, "read", "audit_log")
				if err != nil {
					b.Fatal(err)
				}
				f.SQL(1)
			}
		})
	}
}

func BenchmarkFilterNewSubject(b *testing.B) {
	e := bundled(b)
	for _, resource := range []string{"audit_log", "document"} {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", resource, n), func(b *testing.B) {
				b.ReportAllocs()
				seed := 0
				for b.Loop() {
					b.StopTimer()
					seed++
					s := subject(auditor(n, seed))
					b.StartTimer()
					_, err := e.Filter(b.Context(), s, "read", resource)
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
