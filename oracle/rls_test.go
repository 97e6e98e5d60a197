package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/conformance"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/rls"
	"github.com/rowfence/rowfence/sqlgen"
)

// securedReader is the role that obeys the policies of these tests.
const securedReader = "oracle securedReader"

// secured is the test table, and a role.
type secured struct {
	*fixture
	exact, written, params int // conditions compared; those that read parameters, and how many
	refused                map[string]int
}

func newSecured(t *testing.T, f *fixture) *secured {
	ctx := context.Background()
	_, err := f.db.Exec(ctx, fmt.Sprintf(`CREATE ROLE %q NOLOGIN`, securedReader))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := f.db.Exec(ctx, fmt.Sprintf(`DROP ROLE %q`, securedReader))
		require.NoError(t, err)
	})
	return &secured{fixture: f, refused: map[string]int{}}
}

// TestRowSecurityConformance holds the constructs of testdata/conformance, as policies of
// PostgreSQL, against OPA: what a role sees of the table, with the settings of the input
// and without. Each part of the input is a parameter where the construct is exact so.
// NULL is as one of the conventions says, in turn,
// or there is none.
func TestRowSecurityConformance(t *testing.T) {
	s := newSecured(t, newFixture(t))
	n := 0
	eachConstruct(t, func(t *testing.T, c conformance.File) {
		n++
		for _, v := range variants(c) {
			if v.convention == conventions[n%len(conventions)] && !v.notNull || v.notNull && v.negation == "" {
				if err := s.conforms(v, c); err != nil {
					t.Errorf("%v: %v", v, err)
				}
			}
		}
	})
	t.Logf("%d exact, of which %d read parameters, %d in all; refused: %v", s.exact, s.written, s.params, s.refused)
	require.Greater(t, s.exact, 2000, "too few for the test to say much")
	require.Greater(t, s.written, 1000, "too few read parameters")
}

// TestRowSecurityRandom is the same of random policies, whose constants are parameters,
// some of which rules derive.
func TestRowSecurityRandom(t *testing.T) {
	ctx := context.Background()
	r := newRunner(t, *seed+1)
	s := newSecured(t, r.fixture)
	for i := range *policies / 2 {
		conv := conventions[i%len(conventions)]
		for _, l := range liftings(t, r.policy(), r.input)[:1] {
			query, err := prepare(ctx, l.modules)
			if err != nil {
				continue
			}
			c := Case{Query: query.At(now), Resource: l.on(r.resources[conv]), Input: l.input, Key: "row_id", Direct: true}
			if err := s.compare(ctx, c, r.rows[conv][:rowsMade]); err != nil {
				t.Errorf("policy %d, NULL is %s: %v\n%v %v", i, conv, err, l.modules, l.input)
			}
		}
	}
	t.Logf("%d exact, of which %d read parameters, %d in all; refused: %v", s.exact, s.written, s.params, s.refused)
	if *policies < 300 {
		return
	}
	require.Greater(t, s.written, *policies/20, "too few read parameters")
}

// conforms compares a variant with its constants as parameters or, where that can't be,
// as it is written.
func (s *secured) conforms(v variant, c conformance.File) error {
	before := s.written
	if err := s.lifted(v, c); err != nil || s.written > before {
		return err
	}
	return s.modules(v, c.Data, v.modules, c.Input)
}

func (s *secured) modules(v variant, data map[string]any, modules map[string]string, input map[string]any) error {
	ctx := context.Background()
	sources := []rego.Source{rego.Data(data)}
	for name, text := range modules {
		sources = append(sources, rego.Module(name, text))
	}
	policy, err := rego.Load(ctx, sources...)
	if err != nil {
		return s.refusedOr(err)
	}
	query, err := policy.Prepare(ctx, "data.authz.allow")
	if err != nil {
		return s.refusedOr(err)
	}
	return s.compare(ctx, Case{Query: query.At(now), Resource: s.resources[v.convention], Input: input, Key: "row_id", Direct: true}, s.rows[v.convention])
}

// lifted compares the variant with constants replaced by parts of the input: all of
// them or, where that is refused, the first that can be.
func (s *secured) lifted(v variant, c conformance.File) error {
	constants := securedConstants(v.modules)
	tries := [][]securedConstant{constants}
	if len(constants) > 1 {
		for i := range min(3, len(constants)) {
			tries = append(tries, constants[i:i+1])
		}
	}
	for _, some := range tries {
		modules, values := maps.Clone(v.modules), map[string]any{}
		for i, k := range slices.Backward(some) { // from the end, where the offsets stay right
			name := fmt.Sprintf("c%d", i)
			values[name] = k.value
			text := modules[k.file]
			modules[k.file] = text[:k.offset] + "input.lifted." + name + text[k.offset+k.length:]
		}
		if len(values) == 0 {
			return nil
		}
		input := maps.Clone(c.Input)
		input["lifted"] = values
		before := s.written
		if err := s.modules(v, c.Data, modules, input); err != nil {
			return fmt.Errorf("with constants as parameters: %w\n%v %v", err, modules, values)
		}
		if s.written > before {
			return nil
		}
	}
	return nil
}

// securedConstant is a text or number in the body of a rule.
type securedConstant struct {
	file           string
	offset, length int
	value          any
}

// securedConstants are those of the modules, in the order in which they stand.
func securedConstants(modules map[string]string) []securedConstant {
	var out []securedConstant
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		parsed, err := ast.ParseModuleWithOpts(file, modules[file], ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			continue
		}
		var found []securedConstant
		add := func(t *ast.Term) {
			if t.Location == nil {
				return
			}
			k := securedConstant{file: file, offset: t.Location.Offset, length: len(t.Location.Text)}
			switch v := t.Value.(type) {
			case ast.String:
				k.value = string(v)
			case ast.Number:
				k.value = json.Number(v)
			default:
				return
			}
			if k.length > 0 && strings.HasPrefix(modules[file][k.offset:], string(t.Location.Text)) {
				found = append(found, k)
			}
		}
		for _, rule := range parsed.Rules {
			ast.NewGenericVisitor(func(x any) bool {
				switch x := x.(type) {
				case ast.Ref: // its parts are no values
					return true
				case *ast.Term:
					add(x)
				}
				return false
			}).Walk(rule.Body)
		}
		slices.SortFunc(found, func(a, b securedConstant) int { return a.offset - b.offset })
		found = slices.CompactFunc(found, func(a, b securedConstant) bool { return a.offset == b.offset })
		out = append(out, found...)
	}
	return out
}

// refusedOr counts a refusal: which of them are right, TestConformance says.
func (s *secured) refusedOr(err error) error {
	if errs := compiler.AsErrors(err); len(errs) > 0 {
		s.refused[string(errs[0].Code)]++
		return nil
	}
	return err
}

// compare makes the case's policy, with as many parameters as can be.
func (s *secured) compare(ctx context.Context, c Case, rows []Row) error {
	plain := c.Resource
	c.Resource = securedParams(plain, c.Input)
	condition, err := securedCondition(ctx, c)
	if err != nil {
		c.Resource = plain
		condition, err = securedCondition(ctx, c)
	}
	if err != nil {
		return s.refusedOr(err)
	}
	settings, err := condition.Settings(ctx, c.Input)
	if err != nil {
		return s.refusedOr(err)
	}
	s.exact++
	if n := strings.Count(condition.SQL(), "NULLIF(current_setting("); n > 0 {
		s.written++
		s.params += n
	}
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return err
	}
	err = s.holds(ctx, tx, c, condition, settings, rows)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, condition.SQL())
	}
	return errors.Join(err, tx.Rollback(ctx))
}

// holds puts the condition on the table, for the transaction, and compares what is seen.
func (s *secured) holds(ctx context.Context, tx pgx.Tx, c Case, condition *rls.Condition, settings *rls.Settings, rows []Row) error {
	policies, err := rls.NewPolicies(c.Resource, map[rls.Command]*rls.Condition{rls.Select: condition}, rls.Options{Role: securedReader})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, policies.Create()+fmt.Sprintf("SET LOCAL ROLE %q", securedReader)); err != nil {
		return err
	}
	unset, err := s.visible(ctx, tx, c)
	if err != nil {
		return err
	}
	if len(unset) > 0 {
		return fmt.Errorf("%d rows are visible without settings", len(unset))
	}
	if err := settings.Set(ctx, tx); err != nil {
		return err
	}
	seen, err := s.visible(ctx, tx, c)
	if err != nil {
		return err
	}
	report, err := c.compare(ctx, sqlgen.Never(), rows, func(i int) bool { return seen[rows[i].Key] })
	if err != nil {
		return err
	}
	return report.Err()
}

func (s *secured) visible(ctx context.Context, tx pgx.Tx, c Case) (map[string]bool, error) {
	rows, err := tx.Query(ctx, "SELECT "+c.key()+" FROM "+sqlgen.QuoteName(c.Resource.Table))
	if err != nil {
		return nil, err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	seen := map[string]bool{}
	for _, key := range keys {
		seen[key] = true
	}
	return seen, err
}

func securedCondition(ctx context.Context, c Case) (*rls.Condition, error) {
	plan, err := compiler.NewPlan(c.Query, c.Resource)
	if err != nil {
		return nil, err
	}
	t, err := plan.Template(ctx, c.Input)
	if err != nil {
		return nil, err
	}
	return rls.NewCondition(t, rls.Target{Resource: c.Resource.Name, Action: "read"})
}

// securedParams is the resource with each part of the input a parameter that can be one.
func securedParams(r *compiler.Resource, input map[string]any) *compiler.Resource {
	out := *r
	out.Params = slices.Clone(r.Params)
	var add func(path ast.Ref, v any)
	add = func(path ast.Ref, v any) {
		if path.Equal(r.Root) || slices.ContainsFunc(r.Params, func(p compiler.Param) bool { return p.Path.Equal(path) }) {
			return
		}
		if obj, ok := v.(map[string]any); ok {
			for _, key := range slices.Sorted(maps.Keys(obj)) {
				add(path.Append(ast.StringTerm(key)), obj[key])
			}
			return
		}
		if t, ok := securedParamType(v); ok {
			out.Params = append(out.Params, compiler.Param{Path: path, Type: t})
		}
	}
	add(ast.InputRootRef, input)
	slices.SortFunc(out.Params, func(a, b compiler.Param) int { return a.Path.Compare(b.Path) })
	return &out
}

// securedParamType is a type that the value is of.
func securedParamType(v any) (sqlgen.Type, bool) {
	switch v := v.(type) {
	case string:
		return sqlgen.Type{Kind: sqlgen.KindText}, true
	case bool:
		return sqlgen.Type{Kind: sqlgen.KindBool}, true
	case int:
		return sqlgen.Type{Kind: sqlgen.KindInt}, true
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return sqlgen.Type{Kind: sqlgen.KindInt}, true
		}
		return sqlgen.Type{Kind: sqlgen.KindNumeric}, true
	case []any:
		var all sqlgen.Type
		for _, e := range v {
			t, ok := securedParamType(e)
			if !ok || t.Array || all.Kind != 0 && t != all {
				return all, false
			}
			all = t
		}
		return all.ArrayOf(), all.Kind != 0
	default:
		return sqlgen.Type{}, false
	}
}
