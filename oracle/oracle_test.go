package oracle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

var (
	policies = flag.Int("oracle.n", 600, "random policies to check")
	seed     = flag.Uint64("oracle.seed", 1, "seed of the random policies; 0 for a random one")
)

func TestMain(m *testing.M) { pgtest.Run(m) }

// TestRandomPolicies holds random policies over random rows, with NULLs in each
// convention, against OPA. Nothing may differ and nothing may fail to run; a policy
// may be refused.
func TestRandomPolicies(t *testing.T) {
	ctx := context.Background()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d, %d policies", *seed, *policies)
	say := func(format string, args ...any) {
		if *policies > 1000 {
			fmt.Fprintf(os.Stderr, format+"\n", args...)
		}
	}
	say("seed %d, %d policies", *seed, *policies)
	r := newRunner(t, *seed)
	refused := map[string]int{}
	exact, some, telling, differ := 0, 0, 0, 0
	start, said := time.Now(), time.Now()
	for i := range *policies {
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			say("%v: %d of %d: %d exact, %d refused, %d differ", time.Since(start).Round(time.Second), i, *policies, exact, i-exact-differ, differ)
		}
		o := r.next(ctx)
		switch {
		case o.refusal != nil:
			refused[fmt.Sprintf("%s %s", o.refusal.Code, reason(o.refusal))]++
		case o.err != nil:
			differ++
			t.Errorf("seed %d, policy %d: %s", *seed, i, r.explain(ctx, o))
		default:
			exact++
			if o.report.Filter.Result() == sqlgen.ResultWhen {
				some++
			}
			if n := len(o.report.Allowed); 0 < n && n < o.report.Rows {
				telling++
			}
		}
	}
	byCount := func(a, b string) int { return refused[b] - refused[a] }
	for _, reason := range slices.SortedStableFunc(slices.Values(slices.Sorted(maps.Keys(refused))), byCount) {
		t.Logf("%5d refused: %s", refused[reason], reason)
	}
	t.Logf("seed %d, %v: %d exact (%d with a condition on the row, %d that tell rows apart), %d refused, %d differ",
		*seed, time.Since(start).Round(time.Second), exact, some, telling, *policies-exact-differ, differ)
	require.Greater(t, exact, *policies*3/5, "too many are refused for the test to say much")
	require.Greater(t, some, exact*2/5, "too few depend on the row")
}

// reason is that of a refusal, without what differs between policies.
func reason(e *compiler.Error) string {
	text := e.Reason
	for _, quote := range []string{`"`, "`"} {
		parts := strings.Split(text, quote)
		for i := 1; i < len(parts); i += 2 {
			parts[i] = "…"
		}
		text = strings.Join(parts, quote)
	}
	return text
}

// runner makes random policies and checks them.
type runner struct {
	*fixture
	rng     *rand.Rand
	columns map[string]Column
	input   map[string]any
	number  int
	compile func(context.Context, *rego.Query, *compiler.Resource, any) (*compiler.Compilation, error)
}

func newRunner(t testing.TB, seed uint64) *runner {
	f := newFixture(t)
	columns, err := ColumnsOf(context.Background(), f.db, "things")
	require.NoError(t, err)
	input := map[string]any{"subject": map[string]any{"id": uuidA, "groups": []any{"a", "open", uuidB}, "n": 1, "key": "t"}}
	return &runner{fixture: f, rng: rand.New(rand.NewPCG(seed, 2)), columns: columns, input: input}
}

// checked is a random policy, and what came of it.
type checked struct {
	text, convention string
	at               Case
	report           *Report         // where it could be compared
	refusal          *compiler.Error // else
	err              error           // of a difference, or of something that does not run
	row              Row             // that shows the difference, if one does
}

// rowsMade is how many rows are made for each policy, beside those of the table.
const rowsMade = 60

func (r *runner) next(ctx context.Context) (c checked) {
	c.convention = conventions[r.number%len(conventions)]
	r.number++
	var query *rego.Query
	for query == nil { // a policy that does not type-check: another one, then
		c.text = (&generator{rng: r.rng}).policy()
		policy, err := rego.Load(ctx, rego.Module("policy.rego", c.text), rego.Data(sharedData))
		if err != nil {
			continue
		}
		if query, err = policy.Prepare(ctx, "data.authz.allow"); err != nil {
			c.err = err
			return c
		}
	}
	c.at = Case{Query: query, Resource: r.resources[c.convention], Input: r.input, Key: "row_id", Compile: r.compile}
	made := Hostile(r.rng, c.at.Resource, r.columns, constantsOf(query.Policy()), rowsMade)
	defer func() {
		if p := recover(); p != nil {
			c.err = fmt.Errorf("panic: %v", p)
		}
	}()
	c.report, c.err = Check(ctx, r.db, c.at, r.rows[c.convention][:rowsMade])
	if errors.As(c.err, &c.refusal) {
		c.err = nil
		return c
	}
	var more *Report
	if c.err == nil {
		more, c.err = CheckMade(ctx, r.db, c.at, made)
	}
	if c.err != nil {
		c.row = Row{Columns: made[0]}
		return c
	}
	c.report.Rows += more.Rows
	c.report.Allowed = append(c.report.Allowed, more.Allowed...)
	c.report.Leaked = append(c.report.Leaked, more.Leaked...)
	c.report.Lost = append(c.report.Lost, more.Lost...)
	if different := append(slices.Clone(c.report.Leaked), c.report.Lost...); len(different) > 0 {
		c.err, c.row = c.report.Err(), different[0]
	}
	return c
}

// constantsOf are the constants of a policy.
func constantsOf(p *rego.Policy) []ast.Value {
	var out []ast.Value
	for _, m := range p.Modules() {
		for _, rule := range m.Rules {
			ast.WalkTerms(rule, func(t *ast.Term) bool {
				if ast.IsConstant(t.Value) {
					out = append(out, t.Value)
				}
				return false
			})
		}
	}
	return out
}

// explain shrinks what was found, and shows it as a conformance file.
func (r *runner) explain(ctx context.Context, c checked) string {
	text := fmt.Sprintf("NULL is %s:\n%s\n%v\n", c.convention, c.text, c.err)
	s, err := Shrink(ctx, r.db, c.at, c.row, 3000)
	if err != nil {
		return fmt.Sprintf("%s\nit can't be shrunk: %v", text, err)
	}
	return fmt.Sprintf("%s, after %d tries smaller:\n\n%s\nSQL: %v %v\ndocument: %v\n\nor whole, %s", s.Symptom, s.Tries, r.conformance(c, s), s.Filter, s.Err, s.Row.Document, text)
}

// conformance is the text of a conformance file that shows the difference.
func (r *runner) conformance(c checked, s *Smallest) string {
	return fmt.Sprintf("TODO: say what it is (found with NULL as %s).\n-- policy.rego --\n%s-- data.json --\n%v\n-- input.json --\n%s\n-- rows.json --\n%s\n-- want --\nexact\n",
		c.convention, s.Policy(), s.Data, marshal(s.Input), s.Row.Columns)
}
