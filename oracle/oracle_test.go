package oracle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

var (
	policies = flag.Int("oracle.n", 600, "random policies to check")
	seed     = flag.Uint64("oracle.seed", 1, "seed of the random policies")
)

func TestMain(m *testing.M) { pgtest.Run(m) }

// TestRandomPolicies holds random policies over random rows, with NULLs in each
// convention, against OPA. Nothing may differ and nothing may fail to run; a policy
// may be refused.
func TestRandomPolicies(t *testing.T) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(*seed, 2))
	fix := makeFixture(t, pgtest.New(t), rng, 60)
	input := map[string]any{"subject": map[string]any{"id": uuidA, "groups": []any{"a", "open", uuidB}}}
	g := generator{rng: rng}
	refused := map[string]int{}
	exact, some := 0, 0
	for i := range *policies {
		text := g.policy()
		conv := conventions[i%len(conventions)]
		policy, err := rego.Load(ctx, rego.Module("policy.rego", text))
		for err != nil { // a type error: another one, then
			text = g.policy()
			policy, err = rego.Load(ctx, rego.Module("policy.rego", text))
		}
		query, err := policy.Prepare(ctx, "data.authz.allow")
		require.NoError(t, err, text)
		report, err := Check(ctx, fix.db, Case{Query: query, Resource: fix.resources[conv], Input: input, Key: "row_id"}, fix.rows[conv])
		var refusal *compiler.Error
		if err == nil {
			err = report.Err()
		}
		switch {
		case err == nil:
			exact++
			if report.Filter.Result() == sqlgen.ResultWhen {
				some++
			}
		case errors.As(err, &refusal):
			refused[fmt.Sprintf("%s %s", refusal.Code, refusal.Reason)]++
		default:
			t.Errorf("seed %d, policy %d, NULL is %s:\n%s\n%v", *seed, i, conv, text, err)
			if t.Failed() && i > 0 && testing.Verbose() {
				t.FailNow()
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(refused)) {
		t.Logf("%4d refused: %s", refused[reason], reason)
	}
	t.Logf("seed %d: %d exact (%d of them with a condition on the row), %d refused", *seed, exact, some, *policies-exact)
	require.Greater(t, exact, *policies*3/5, "too many are refused for the test to say much")
	require.Greater(t, some, exact*2/5, "too few depend on the row")
}
