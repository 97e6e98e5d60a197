package oracle

import (
	"context"
	"errors"
	"flag"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/conformance"
	"github.com/rowfence/rowfence/rego"
)

// now is the instant at which the conformance files are evaluated.
var now = time.Date(2026, 1, 2, 3, 4, 5, 250_000_000, time.UTC)

var update = flag.Bool("update", false, "rewrite the SQL in the conformance files")

// TestConformance holds each file below testdata/conformance against OPA, row by row.
// A file is one construct: its first paragraph says what it is, and its section want
// whether it is exact or refused. It is run as it is written and below a negation, on
// nullable fields under each convention and on fields that are NOT NULL.
func TestConformance(t *testing.T) {
	f := newFixture(t)
	eachConstruct(t, func(t *testing.T, c conformance.File) { f.conforms(t, c) })
}

const conformanceDir = "../testdata/conformance"

// eachConstruct runs a test of each conformance file.
func eachConstruct(t *testing.T, test func(*testing.T, conformance.File)) {
	files, err := conformance.ReadAll(conformanceDir)
	require.NoError(t, err)
	for _, c := range files {
		t.Run(c.Family+"/"+c.Name, func(t *testing.T) { test(t, c) })
	}
}

// variant is a way to run a construct.
type variant struct {
	convention string // of NULL
	notNull    bool   // every field is replaced by the one that is NOT NULL
	negation   string // "", "not" (of a helper) or "in place"
	modules    map[string]string
}

func (v variant) has(tag string) bool {
	return tag == "not_null" && v.notNull || tag == v.convention && !v.notNull || tag == "not" && v.negation != "" || tag == "inplace" && v.negation == "in place"
}

func (v variant) String() string {
	nulls := "NULL is " + v.convention
	if v.notNull {
		nulls = "NOT NULL"
	}
	return strings.TrimSuffix(nulls+", "+v.negation, ", ")
}

// nullableField is a field of the test table that has a twin which is NOT NULL.
var nullableField = func() *regexp.Regexp {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return regexp.MustCompile(`\binput\.object\.(` + strings.Join(names, "|") + `)\b`)
}()

func variants(c conformance.File) []variant {
	var out []variant
	bodies := []struct{ negation, allow, rules string }{{"", c.Allow, ""}}
	if c.Allow != "" {
		bodies = append(bodies, struct{ negation, allow, rules string }{"not", "not negated_body", "negated_body if {\n\t" + c.Allow + "\n}\n"})
		if negatable(c.Allow) {
			bodies = append(bodies, struct{ negation, allow, rules string }{"in place", "not " + c.Allow, ""})
		}
	}
	for _, body := range bodies {
		modules := c.PolicyOf(body.allow, body.rules)
		for _, conv := range conventions {
			out = append(out, variant{conv, false, body.negation, modules})
		}
		twins, changed := map[string]string{}, false
		for name, text := range modules {
			twins[name] = nullableField.ReplaceAllString(text, "${0}0")
			changed = changed || twins[name] != text
		}
		if changed {
			out = append(out, variant{conventions[0], true, body.negation, twins})
		}
	}
	return out
}

// negatable reports whether a body is one expression that can stand after not.
func negatable(body string) bool {
	parsed, err := ast.ParseBodyWithOpts(body, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil || len(parsed) != 1 || parsed[0].Negated || parsed[0].IsAssignment() || parsed[0].IsEquality() {
		return false
	}
	switch parsed[0].Terms.(type) {
	case *ast.SomeDecl, *ast.Every:
		return false
	}
	wildcard := false
	ast.WalkVars(parsed, func(v ast.Var) bool { wildcard = wildcard || v.IsWildcard(); return wildcard })
	if wildcard {
		return false
	}
	_, err = ast.ParseBodyWithOpts("not "+body, ast.ParserOptions{RegoVersion: ast.RegoV1})
	return err == nil
}

func (f *fixture) conforms(t *testing.T, c conformance.File) {
	for i, v := range variants(c) {
		want := c.Expected(v.has)
		report, err := f.check(v, c)
		var refusal *compiler.Error
		var sql string
		switch {
		case errors.As(err, &refusal):
			sql = string(refusal.Code) + ": " + refusal.Reason + "\n"
			if want.Code != string(refusal.Code) {
				t.Errorf("%v: want %+v, have %v", v, want, err)
			}
		case err != nil:
			t.Errorf("%v: %v", v, err)
		case want.Code != "":
			t.Errorf("%v: want it refused with %s, have %v", v, want.Code, report.Filter)
		case !report.Exact():
			t.Errorf("%v: %v", v, report.Err())
		default:
			sql = report.Filter.Inline() + "\n"
		}
		if i > 0 || t.Failed() {
			continue
		}
		if err == nil {
			guard(t, report, want)
		}
		if c.SQL == sql {
			continue
		}
		if *update {
			require.NoError(t, c.Rewrite("sql", sql))
			continue
		}
		t.Errorf("its SQL is now\n%swas\n%s(go test ./oracle -run Conformance -update rewrites it)", sql, c.SQL)
	}
}

// guard fails a construct that is exact by accident of the data.
func guard(t *testing.T, report *Report, want conformance.Outcome) {
	have := ""
	switch len(report.Allowed) {
	case 0:
		have = "never"
	case report.Rows:
		have = "always"
	}
	if have != want.All {
		t.Errorf("it selects %d of %d rows and want says %q: choose constants that tell rows apart (%v)", len(report.Allowed), report.Rows, want.All, report.Filter)
	}
}

// check compiles and compares a variant.
func (f *fixture) check(v variant, c conformance.File) (*Report, error) {
	ctx := context.Background()
	var sources []rego.Source
	for name, text := range v.modules {
		sources = append(sources, rego.Module(name, text))
	}
	policy, err := rego.Load(ctx, append(sources, rego.Data(c.Data))...)
	if err != nil {
		if errs := compiler.AsErrors(err); len(errs) > 0 {
			return nil, errs[0]
		}
		return nil, err
	}
	query, err := policy.Prepare(ctx, "data.authz.allow")
	if err != nil {
		return nil, err
	}
	return Check(ctx, f.db, Case{Query: query.At(now), Resource: f.resources[v.convention], Input: c.Input, Key: "row_id", Direct: true}, f.rows[v.convention])
}
