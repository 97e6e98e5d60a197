package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/conformance"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// throughTemplate compiles in the way of an engine: a template, made of an input that
// lacks the parameters' values, and bound with those of another.
func throughTemplate(ctx context.Context, query *rego.Query, r *compiler.Resource, input any) (*compiler.Compilation, error) {
	plan, err := compiler.NewPlan(query, r)
	if err != nil {
		return nil, err
	}
	without, err := withoutParams(r, input)
	if err != nil {
		return nil, err
	}
	t, err := plan.Template(ctx, without)
	if err != nil {
		return nil, err
	}
	filter, err := t.Bind(ctx, input)
	if err != nil {
		return nil, err
	}
	return &compiler.Compilation{Residual: t.Residual, Predicate: t.Predicate, Filter: filter}, nil
}

// withoutParams is an input without what its parameters are.
func withoutParams(r *compiler.Resource, input any) (map[string]any, error) {
	text, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	out, err := compiler.DecodeInput(text)
	if err != nil {
		return nil, err
	}
	for _, p := range r.Params {
		if p.Derived() {
			continue
		}
		at := out
		for _, key := range p.Path[1 : len(p.Path)-1] {
			at, _ = at[string(key.Value.(ast.String))].(map[string]any)
		}
		delete(at, string(p.Path[len(p.Path)-1].Value.(ast.String)))
	}
	return out, nil
}

// lifted is a policy of which constants, and what the input says, are parameters.
type lifted struct {
	modules map[string]string
	input   map[string]any
	params  []compiler.Param
}

// lift puts the constants in the bodies of a policy's rules into the input, and makes
// parameters of them: some as they are there, others as what a rule derives. only is
// the one constant that is lifted; all of them are where it is below zero.
func lift(modules map[string]string, input map[string]any, only int) (*lifted, int, error) {
	l := &lifted{modules: map[string]string{}, input: maps.Clone(input)}
	if subject, ok := input["subject"].(map[string]any); ok && only < 0 {
		for _, key := range slices.Sorted(maps.Keys(subject)) {
			l.param(ast.InputRootRef.Append(ast.StringTerm("subject")).Append(ast.StringTerm(key)), subject[key], false)
		}
	}
	constants, derived := map[string]any{}, ""
	count := 0
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m, err := ast.ParseModuleWithOpts(name, modules[name], ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			return nil, 0, err
		}
		replace := func(t *ast.Term) *ast.Term {
			v, set, ok := liftable(t.Value)
			if !ok {
				return t
			}
			count++
			if only >= 0 && only != count-1 {
				return t
			}
			key := fmt.Sprintf("c%d", count)
			ref := ast.InputRootRef.Append(ast.StringTerm("constants")).Append(ast.StringTerm(key))
			constants[key] = v
			if rule := derivedRule(key, ref, v, set, count); rule != "" {
				ref = ast.DefaultRootRef.Append(ast.StringTerm("derived")).Append(ast.StringTerm(key))
				derived += rule + "\n"
			}
			l.param(ref, v, set)
			return ast.NewTerm(ref)
		}
		for _, r := range m.Rules {
			for ; r != nil; r = r.Else {
				liftIn(r.Body, replace)
			}
		}
		text, err := format.Ast(m)
		if err != nil {
			return nil, 0, err
		}
		l.modules[name] = string(text)
	}
	l.input["constants"] = constants
	if derived != "" {
		l.modules["derived.rego"] = "package derived\n" + derived
	}
	return l, count, nil
}

// derivedRule is a rule that says what stands at a place of the input, in one form or
// another; some are undefined, which tells another thing of the row, and of OPA. It is
// empty where the place itself is to be the parameter.
func derivedRule(key string, from ast.Ref, v any, set bool, turn int) string {
	if set {
		return []string{
			fmt.Sprintf("%s := {x | some x in %v}", key, from),
			fmt.Sprintf("%s contains x if some x in %v", key, from),
			fmt.Sprintf("%s := {x | some x in %v} if count(%[2]v) == 7", key, from), // undefined
			fmt.Sprintf("%s contains x if { some x in %v; not x == \"\" }\n%[1]s contains \"b\" if count(%[2]v) == 0", key, from),
		}[turn%4]
	}
	if _, truth := v.(bool); truth && turn%2 == 0 {
		return []string{
			fmt.Sprintf("%s if %v", key, from), // undefined rather than false
			fmt.Sprintf("default %s := false\n%[1]s if %v", key, from),
			fmt.Sprintf("%s := %v == true", key, from),
		}[turn/2%3]
	}
	switch turn % 7 {
	case 2:
		return fmt.Sprintf("%s := %v", key, from)
	case 3:
		return fmt.Sprintf("%s := 1 if input.nothing\nelse := %v", key, from)
	case 4:
		return fmt.Sprintf("%s := %v if input.nothing", key, from) // undefined
	case 5:
		return fmt.Sprintf("%s := x if { some x in [%v] }", key, from)
	default:
		return ""
	}
}

// liftIn replaces the constants that stand in the expressions of a body.
func liftIn(body ast.Body, replace func(*ast.Term) *ast.Term) {
	for _, e := range body {
		switch terms := e.Terms.(type) {
		case []*ast.Term:
			liftArgs(terms, replace)
		case *ast.Every:
			terms.Domain = replace(terms.Domain)
			liftIn(terms.Body, replace)
		}
	}
}

// liftArgs replaces the constants among the arguments of a call, and of the calls in it.
func liftArgs(call []*ast.Term, replace func(*ast.Term) *ast.Term) {
	for i, t := range call[1:] {
		if inner, ok := t.Value.(ast.Call); ok {
			liftArgs(inner, replace)
			continue
		}
		call[i+1] = replace(t)
	}
}

// liftable are the values that may be parameters: scalars, sets of texts or integers, and
// arrays and objects.
func liftable(v ast.Value) (plain any, set, ok bool) {
	switch v := v.(type) {
	case ast.String:
		return string(v), false, true
	case ast.Boolean:
		return bool(v), false, true
	case ast.Number:
		return json.Number(v), false, true
	case ast.Set:
		all, err := ast.JSON(v)
		elems, _ := all.([]any)
		return all, true, err == nil && v.IsGround() && elementType(elems) != ""
	case *ast.Array, ast.Object:
		if !v.IsGround() || !ast.IsConstant(v) {
			return nil, false, false
		}
		plain, err := ast.JSON(v)
		return plain, false, err == nil
	default:
		return nil, false, false
	}
}

func (l *lifted) param(path ast.Ref, v any, set bool) {
	name := ""
	switch v := v.(type) {
	case string:
		name = "text"
	case bool:
		name = "bool"
	case int:
		name = "int"
	case json.Number:
		name = "numeric"
		if _, err := v.Int64(); err == nil {
			name = "int"
		}
	case []any:
		name = "jsonb"
		if elem := elementType(v); elem != "" {
			name = elem + "[]"
		}
	case map[string]any:
		name = "jsonb"
	default:
		return
	}
	t, err := sqlgen.ParseType(name)
	if err != nil {
		panic(err)
	}
	l.params = append(l.params, compiler.Param{Path: path, Type: t, Set: set})
}

// elementType is the type of all elements of a list; "" where they have none in common.
func elementType(elems []any) string {
	all := func(is func(any) bool) bool {
		return !slices.ContainsFunc(elems, func(e any) bool { return !is(e) })
	}
	switch {
	case all(func(e any) bool { _, ok := e.(string); return ok }):
		return "text"
	case all(func(e any) bool {
		n, ok := e.(json.Number)
		_, err := n.Int64()
		return ok && err == nil
	}):
		return "int"
	case all(func(e any) bool { _, ok := e.(bool); return ok }):
		return "bool"
	default:
		return ""
	}
}

// on is the resource with the policy's parameters.
func (l *lifted) on(r *compiler.Resource) *compiler.Resource {
	with := *r
	with.Params = l.params
	return &with
}

// liftings are the ways to lift a policy's constants: all, or one of some.
func liftings(t testing.TB, modules map[string]string, input map[string]any) []*lifted {
	all, count, err := lift(modules, input, -1)
	require.NoError(t, err)
	out := []*lifted{all}
	for i := range min(count, 2) {
		one, _, err := lift(modules, input, i)
		require.NoError(t, err)
		out = append(out, one)
	}
	return out
}

// templates counts what came of the policies of a test.
type templates struct{ exact, refused, invalid int }

// check holds the templates of a policy against OPA. A value that has to be known, such
// as a pattern, may be refused as a parameter.
func (c *templates) check(t *testing.T, f *fixture, convention string, modules map[string]string, input, data map[string]any, rows []Row) {
	ctx := context.Background()
	for _, l := range liftings(t, modules, input) {
		sources := []rego.Source{rego.Data(data)}
		for name, text := range l.modules {
			sources = append(sources, rego.Module(name, text))
		}
		policy, err := rego.Load(ctx, sources...)
		if err != nil { // a variable where Rego wants a constant
			c.invalid++
			continue
		}
		query, err := policy.Prepare(ctx, "data.authz.allow")
		require.NoError(t, err)
		at := Case{Query: query.At(now), Resource: l.on(f.resources[convention]), Input: l.input, Key: "row_id", Compile: throughTemplate, Direct: true}
		report, err := Check(ctx, f.db, at, rows)
		var refusal *compiler.Error
		switch {
		case errors.As(err, &refusal):
			c.refused++
		case err != nil:
			t.Errorf("NULL is %s, %v: %v", convention, l.modules, err)
		case !report.Exact():
			t.Errorf("NULL is %s, %v %s: %v", convention, l.modules, marshal(l.input), report.Err())
		default:
			c.exact++
			c.decides(t, at, report, rows)
		}
	}
}

// decides holds the decision on several objects at once against that on each.
func (c *templates) decides(t *testing.T, at Case, report *Report, rows []Row) {
	plan, err := compiler.NewPlan(at.Query, at.Resource)
	require.NoError(t, err)
	documents := make([]any, len(rows))
	for i, r := range rows {
		documents[i] = r.Document
	}
	allowed, err := plan.Decide(t.Context(), at.Input, documents)
	if err != nil { // of one of the rows, which allows nothing there
		return
	}
	byKey := map[string]bool{}
	for _, r := range report.Allowed {
		byKey[r.Key] = true
	}
	for i, r := range rows {
		if allowed[i] != byKey[r.Key] {
			t.Errorf("%v: at once %v, and by itself %v", r.Document, allowed[i], byKey[r.Key])
			return
		}
	}
}

// TestTemplates holds each conformance file against OPA with its constants, and what
// its input says of the subject, as parameters of a template.
func TestTemplates(t *testing.T) {
	f := newFixture(t)
	var c templates
	turn := 0
	eachConstruct(t, func(t *testing.T, file conformance.File) {
		turn++
		for _, v := range variants(file) { // each convention in its turn, of NULL
			if v.notNull || v.convention != conventions[turn%len(conventions)] {
				continue
			}
			if _, err := f.check(v, file); err != nil {
				return // what is refused with known values
			}
			c.check(t, f, v.convention, v.modules, file.Input, file.Data, f.rows[v.convention])
		}
	})
	t.Logf("%d templates exact, %d refused, %d no valid policies", c.exact, c.refused, c.invalid)
	require.Greater(t, c.exact, 3*c.refused, "too many are refused for the test to say much")
}

// TestRandomTemplates does the same with random policies.
func TestRandomTemplates(t *testing.T) {
	r := newRunner(t, *seed)
	var c templates
	for range *policies / 4 {
		o := r.next(context.Background())
		if o.refusal != nil || o.err != nil {
			continue
		}
		c.check(t, r.fixture, o.convention, o.modules, r.input, sharedData, r.rows[o.convention][:rowsMade])
	}
	t.Logf("%d templates exact, %d refused, %d no valid policies", c.exact, c.refused, c.invalid)
	require.Greater(t, c.exact, c.refused, "too many are refused for the test to say much")
}
