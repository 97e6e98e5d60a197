package oracle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
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
	exact, repaired, some, telling, differ, conflicts := 0, 0, 0, 0, 0, 0
	start, said := time.Now(), time.Now()
	for i := range *policies {
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			say("%v: %d of %d: %d exact, %d refused, %d differ", time.Since(start).Round(time.Second), i, *policies, exact, i-exact-differ, differ)
		}
		o := r.next(ctx)
		cut := o.refusal != nil
		if cut {
			refused[reason(o.refusal)]++
			if mayConflict(o.refusal) {
				conflicts++
			}
			for range 8 { // what is left of it may be exact
				if !r.without(ctx, &o) {
					break
				}
			}
		}
		switch {
		case o.refusal != nil:
		case o.err != nil:
			differ++
			t.Errorf("seed %d, policy %d: %s", *seed, i, r.explain(ctx, o))
		default:
			exact++
			if cut {
				repaired++
			}
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
	whole := exact - repaired
	share := func(of int) float64 { return 100 * float64(whole) / float64(max(of, 1)) }
	t.Logf("%d refused because OPA may find two values, %d for another reason; %.1f %% exact of all, %.1f %% of those without a possible conflict",
		conflicts, *policies-whole-differ-conflicts, share(*policies), share(*policies-conflicts))
	t.Logf("seed %d, %v: %d exact, %d more without the lines that are refused (%d with a condition on the row, %d that tell rows apart), %d refused, %d differ; %d were no valid policies",
		*seed, time.Since(start).Round(time.Second), whole, repaired, some, telling, *policies-exact-differ, differ, r.invalid)
	if *policies < 300 {
		return
	}
	require.Greater(t, whole, *policies/2, "too many are refused for the test to say much")
	require.Greater(t, some, exact*3/5, "too few depend on the row")
}

// mayConflict reports whether a policy is refused because OPA may find two values of a
// rule, a function or an object for a row, and stop with an error there.
func mayConflict(e *compiler.Error) bool {
	return e.Code == compiler.CodeConflict || e.Code == compiler.CodeEval && strings.Contains(e.Reason, "conflict") ||
		e.Code == compiler.CodeIteration && strings.Contains(e.Reason, "a rule whose value")
}

var (
	ofOnePolicy = regexp.MustCompile(`data\.(authz|lib)\.\w+|__local\d+__`)
	literals    = regexp.MustCompile(`"[^"]*"|\[.+\]|\{.+\}|\[\]$|\{\}$|\d+(\.\d+)?(e\d+)?`)
)

// reason is that of a refusal, without what differs between policies.
func reason(e *compiler.Error) string {
	return string(e.Code) + " " + literals.ReplaceAllString(ofOnePolicy.ReplaceAllString(e.Reason, "…"), "…")
}

// runner makes random policies and checks them.
type runner struct {
	*fixture
	generator
	columns map[string]Column
	input   map[string]any
	number  int
	invalid int // policies that don't compile
	compile func(context.Context, *rego.Query, *compiler.Resource, any) (*compiler.Compilation, error)
}

func newRunner(t testing.TB, seed uint64) *runner {
	f := newFixture(t)
	columns, err := ColumnsOf(context.Background(), f.db, "things")
	require.NoError(t, err)
	input := map[string]any{"subject": map[string]any{"id": uuidA, "groups": []any{"a", "open", uuidB}, "n": 1, "key": "t"}}
	r := &runner{fixture: f, generator: generator{rng: rand.New(rand.NewPCG(seed, 2))}, columns: columns, input: input}
	require.NoError(t, r.probe(context.Background()))
	return r
}

// checked is a random policy, and what came of it.
type checked struct {
	modules    map[string]string
	convention string
	at         Case
	report     *Report         // where it could be compared
	refusal    *compiler.Error // else
	err        error           // of a difference, or of something that does not run
	row        Row             // that shows the difference, if one does
}

// rowsMade is how many rows are made for each policy, beside those of the table.
const rowsMade = 60

func (r *runner) next(ctx context.Context) (c checked) {
	c.convention = conventions[r.number%len(conventions)]
	r.number++
	var query *rego.Query
	for query == nil { // a policy that does not type-check: another one, then
		c.modules = r.policy()
		var err error
		if query, err = prepare(ctx, c.modules); err != nil {
			r.invalid++
		}
	}
	c.at = Case{Query: query, Resource: r.resources[c.convention], Input: r.input, Key: "row_id", Compile: r.compile, Direct: true}
	r.check(ctx, &c)
	return c
}

// without takes out the line at which a policy is refused, and checks the rest. It
// reports whether there is still a refusal, of another line.
func (r *runner) without(ctx context.Context, c *checked) bool {
	at := c.refusal.Position
	if at == nil {
		return false
	}
	lines := strings.Split(c.modules[at.File], "\n")
	if at.Row < 1 || at.Row > len(lines) {
		return false
	}
	line := lines[at.Row-1]
	statement := strings.TrimLeft(line, "\t")
	if statement == line || statement == "true" || strings.HasSuffix(line, "{") || strings.HasSuffix(line, "}") && !strings.Contains(line, "{") {
		return false
	}
	lines[at.Row-1] = line[:len(line)-len(statement)] + "true"
	modules := maps.Clone(c.modules)
	modules[at.File] = strings.Join(lines, "\n")
	query, err := prepare(ctx, modules)
	if err != nil {
		return false
	}
	c.modules, c.at.Query, c.refusal = modules, query, nil
	r.check(ctx, c)
	return c.refusal != nil
}

// check compares a policy's rows: some of the table, and some that are made for it.
func (r *runner) check(ctx context.Context, c *checked) {
	made := Hostile(r.rng, c.at.Resource, r.columns, constantsOf(c.at.Query.Policy()), rowsMade)
	defer func() {
		if p := recover(); p != nil {
			c.err = fmt.Errorf("panic: %v", p)
		}
	}()
	rows := r.rows[c.convention][:rowsMade]
	c.report, c.err = Check(ctx, r.db, c.at, rows)
	if errors.As(c.err, &c.refusal) {
		c.err = nil
		return
	}
	var more *Report
	if c.err == nil {
		more, c.err = CheckMade(ctx, r.db, c.at, made)
	}
	if c.err != nil {
		c.row = r.failing(ctx, c.at, rows, made)
		return
	}
	c.report.Rows += more.Rows
	c.report.Allowed = append(c.report.Allowed, more.Allowed...)
	c.report.Leaked = append(c.report.Leaked, more.Leaked...)
	c.report.Lost = append(c.report.Lost, more.Lost...)
	if different := append(slices.Clone(c.report.Leaked), c.report.Lost...); len(different) > 0 {
		c.err, c.row = c.report.Err(), different[0]
	}
}

// failing is a row for which the SQL fails.
func (r *runner) failing(ctx context.Context, at Case, rows []Row, made []string) Row {
	for _, row := range rows {
		if _, err := Check(ctx, r.db, at, []Row{row}); err != nil {
			return row
		}
	}
	for _, columns := range made {
		if _, err := CheckMade(ctx, r.db, at, []string{columns}); err != nil {
			return Row{Columns: columns}
		}
	}
	return Row{Columns: made[0]}
}

func prepare(ctx context.Context, modules map[string]string) (*rego.Query, error) {
	sources := []rego.Source{rego.Data(sharedData)}
	for name, text := range modules {
		sources = append(sources, rego.Module(name, text))
	}
	policy, err := rego.Load(ctx, sources...)
	if err != nil {
		return nil, err
	}
	return policy.Prepare(ctx, "data.authz.allow")
}

// probe switches off the builtins that the compiler refuses of plain fields.
func (r *runner) probe(ctx context.Context) error {
	r.builtins = slices.Clone(builtins)
	for i := range r.builtins {
		b := &r.builtins[i]
		call := b.filled(func(p string) string {
			if plain[p] != "" {
				return plain[p]
			}
			return placeholders[p](&r.generator, 0)
		})
		policy := fmt.Sprintf("package authz\nimport rego.v1\nallow if {\n\tx := %s\n\tx != null\n}", call)
		query, err := prepare(ctx, map[string]string{"policy.rego": policy})
		if err != nil {
			return fmt.Errorf("%s: %w", policy, err)
		}
		_, err = compiler.Compile(ctx, query, r.resources["null"], r.input)
		b.off = err != nil
	}
	return nil
}

// constantsOf are the constants of a policy.
func constantsOf(p *rego.Policy) []ast.Value {
	var out []ast.Value
	modules := p.Modules()
	for _, name := range slices.Sorted(maps.Keys(modules)) { // one seed makes the same rows each time
		for _, rule := range modules[name].Rules {
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
	text := fmt.Sprintf("NULL is %s:\n", c.convention)
	for _, name := range slices.Sorted(maps.Keys(c.modules)) {
		text += fmt.Sprintf("# %s\n%s", name, c.modules[name])
	}
	text += c.err.Error() + "\n"
	s, err := Shrink(ctx, r.db, c.at, c.row, 3000)
	if err != nil {
		return fmt.Sprintf("%s\nit can't be shrunk: %v", text, err)
	}
	failure := ""
	if s.Err != nil {
		failure = s.Err.Error()
	}
	return fmt.Sprintf("%s, after %d tries smaller:\n\n%s\nSQL: %v\n%s\ncolumns: %s\n(give the table of rows_test.go a row like it)\n\nwhole, %s", s.Symptom, s.Tries, r.conformance(c, s), s.Filter, failure, interesting(r.resources[c.convention], s.Row.Columns), text)
}

// interesting are the columns that are not as simple as they can be.
func interesting(r *compiler.Resource, columns string) string {
	all, err := compiler.DecodeInput([]byte(columns))
	if err != nil {
		return columns
	}
	for _, f := range r.Fields {
		v := all[f.Column.Name]
		if v == nil || marshal(v) == marshal(simplest(f.Column.Type, Column{Labels: []string{"open"}})) {
			delete(all, f.Column.Name)
		}
	}
	return marshal(all)
}

// conformance is the text of a conformance file that shows the difference.
func (r *runner) conformance(c checked, s *Smallest) string {
	return fmt.Sprintf("Say here what it is (found with NULL as %s).\n-- policy.rego --\n%s-- data.json --\n%v\n-- input.json --\n%s\n-- want --\nexact\n",
		c.convention, s.Policy(), s.Data, marshal(s.Input))
}
