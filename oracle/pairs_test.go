package oracle

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/rego"
)

// TestPairs holds the comparison of each field with each other one against OPA, by each
// operator: none may be refused. The conventions of NULL and negation take turns.
func TestPairs(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	n := 0
	for _, a := range columns {
		for _, b := range columns {
			for _, op := range []string{"==", "!=", "<", "<=", ">", ">="} {
				n++
				conv := conventions[n%len(conventions)]
				left, right := a.name, b.name
				if n%5 == 0 {
					right += "0"
				}
				text := fmt.Sprintf("package authz\n\nallow if input.object.%s %s input.object.%s\n", left, op, right)
				if n%2 == 0 {
					text = fmt.Sprintf("package authz\n\nallow if not input.object.%s %s input.object.%s\n", left, op, right)
				}
				policy, err := rego.Load(ctx, rego.Module("policy.rego", text))
				require.NoError(t, err, text)
				query, err := policy.Prepare(ctx, "data.authz.allow")
				require.NoError(t, err, text)
				report, err := Check(ctx, f.db, Case{Query: query, Resource: f.resources[conv], Input: sharedInput, Key: "row_id", Direct: true}, f.rows[conv][:80])
				if err == nil {
					err = report.Err()
				}
				if err != nil {
					t.Errorf("NULL is %s: %s%v", conv, text, err)
				}
			}
		}
	}
	t.Logf("%d comparisons", n)
}
