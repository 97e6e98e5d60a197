package oracle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

var update = flag.Bool("update", false, "rewrite the SQL in the conformance files")

// TestConformance holds each file below testdata/conformance against OPA, row by row.
// A file is one construct: its first paragraph says what it is, and its section want
// whether it is exact or refused. It is run as it is written and below a negation, on
// nullable fields under each convention and on fields that are NOT NULL.
func TestConformance(t *testing.T) {
	if *update && os.Getenv("CI") != "" {
		t.Fatal("conformance files are not rewritten in CI")
	}
	f := newFixture(t)
	files, err := filepath.Glob("../testdata/conformance/*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		name := filepath.ToSlash(strings.TrimSuffix(path, ".txtar"))
		t.Run(strings.TrimPrefix(name, "../testdata/conformance/"), func(t *testing.T) { f.conforms(t, path) })
	}
}

// construct is a conformance file.
type construct struct {
	title   string
	modules map[string]string // what it is written as; a policy.rego is whole
	allow   string
	rules   string
	data    map[string]any
	input   map[string]any
	want    []outcome
	sql     string
}

// outcome is what a construct is to be, in a variant of it that has all of the tags.
type outcome struct {
	tags []string
	code string // of the refusal; empty where it is exact
	all  string // "always" or "never", where the data makes no difference
}

func parseConstruct(text []byte) (c construct, err error) {
	archive := txtar.Parse(text)
	c = construct{title: strings.TrimSpace(string(archive.Comment)), modules: map[string]string{}, data: sharedData, input: sharedInput}
	for _, f := range archive.Files {
		text := string(f.Data)
		switch f.Name {
		case "allow":
			c.allow = strings.TrimSpace(text)
		case "rules":
			c.rules = text
		case "data.json":
			c.data, err = compiler.DecodeInput(f.Data)
		case "input.json":
			c.input, err = compiler.DecodeInput(f.Data)
		case "want":
			c.want, err = parseWant(text)
		case "sql":
			c.sql = text
		case "opa":
		default:
			if filepath.Ext(f.Name) != ".rego" {
				err = fmt.Errorf("what is the section %s?", f.Name)
			}
			c.modules[f.Name] = text
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	switch {
	case c.title == "":
		err = errors.New("the file does not say what it is")
	case len(c.want) == 0 || len(c.want[0].tags) > 0:
		err = errors.New("want does not begin with an outcome")
	case (c.allow == "") == (c.modules["policy.rego"] == ""):
		err = errors.New("want one of allow and policy.rego")
	}
	return c, err
}

var outcomeForm = regexp.MustCompile(`^(?:([a-z_ ]+): )?(?:exact(?: (always|never))?|refused (RF\d{4}))$`)

func parseWant(text string) ([]outcome, error) {
	var out []outcome
	for line := range strings.Lines(text) {
		m := outcomeForm.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			return nil, fmt.Errorf("what is %q?", line)
		}
		out = append(out, outcome{strings.Fields(m[1]), m[3], m[2]})
	}
	return out, nil
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

// expected is the outcome of the last line that is about the variant.
func (c construct) expected(v variant) outcome {
	want := c.want[0]
	for _, o := range c.want[1:] {
		all := true
		for _, tag := range o.tags {
			all = all && v.has(tag)
		}
		if all {
			want = o
		}
	}
	return want
}

// nullableField is a field of the test table that has a twin which is NOT NULL.
var nullableField = func() *regexp.Regexp {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return regexp.MustCompile(`\binput\.object\.(` + strings.Join(names, "|") + `)\b`)
}()

func (c construct) variants() []variant {
	var out []variant
	bodies := []struct{ negation, allow, rules string }{{"", c.allow, ""}}
	if c.allow != "" {
		bodies = append(bodies, struct{ negation, allow, rules string }{"not", "not negated_body", "negated_body if {\n\t" + c.allow + "\n}\n"})
		if negatable(c.allow) {
			bodies = append(bodies, struct{ negation, allow, rules string }{"in place", "not " + c.allow, ""})
		}
	}
	for _, body := range bodies {
		modules := map[string]string{}
		for name, text := range c.modules {
			modules[name] = text
		}
		if c.allow != "" {
			modules["policy.rego"] = fmt.Sprintf("package authz\n\nimport rego.v1\n\nallow if {\n\t%s\n}\n\n%s\n%s", body.allow, body.rules, c.rules)
		}
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

func (f *fixture) conforms(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	c, err := parseConstruct(text)
	require.NoError(t, err)
	for i, v := range c.variants() {
		want := c.expected(v)
		report, err := f.check(v, c)
		var refusal *compiler.Error
		var sql string
		switch {
		case errors.As(err, &refusal):
			sql = string(refusal.Code) + ": " + refusal.Reason + "\n"
			if want.code != string(refusal.Code) {
				t.Errorf("%v: want %+v, have %v", v, want, err)
			}
		case err != nil:
			t.Errorf("%v: %v", v, err)
		case want.code != "":
			t.Errorf("%v: want it refused with %s, have %v", v, want.code, report.Filter)
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
		if *update && c.sql != sql {
			require.NoError(t, os.WriteFile(path, withSection(text, "sql", sql), 0o644))
			continue
		}
		if c.sql != sql {
			t.Errorf("its SQL is now\n%swas\n%s(go test ./oracle -run Conformance -update rewrites it)", sql, c.sql)
		}
	}
}

// guard fails a construct that is exact by accident of the data.
func guard(t *testing.T, report *Report, want outcome) {
	have := ""
	switch len(report.Allowed) {
	case 0:
		have = "never"
	case report.Rows:
		have = "always"
	}
	if have != want.all {
		t.Errorf("it selects %d of %d rows and want says %q: choose constants that tell rows apart (%v)", len(report.Allowed), report.Rows, want.all, report.Filter)
	}
}

// check compiles and compares a variant.
func (f *fixture) check(v variant, c construct) (*Report, error) {
	ctx := context.Background()
	var sources []rego.Source
	for name, text := range v.modules {
		sources = append(sources, rego.Module(name, text))
	}
	policy, err := rego.Load(ctx, append(sources, rego.Data(c.data))...)
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
	return Check(ctx, f.db, Case{Query: query, Resource: f.resources[v.convention], Input: c.input, Key: "row_id"}, f.rows[v.convention])
}

// withSection is a txtar file with another text in a section.
func withSection(file []byte, name, text string) []byte {
	archive := txtar.Parse(file)
	for i, f := range archive.Files {
		if f.Name == name {
			archive.Files[i].Data = []byte(text)
			return txtar.Format(archive)
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(text)})
	return txtar.Format(archive)
}
