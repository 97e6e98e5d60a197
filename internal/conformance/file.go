// Package conformance reads the conformance files of testdata/conformance. Each is one
// construct of Rego, with what is expected of it and with what came of it: the SQL, and
// what OPA's own SQL target makes of the same. The document of what is supported is
// made of them.
package conformance

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rowfence/rowfence/compiler"
)

// SchemaFile is the schema of the table that the constructs are about, beside the
// families.
const SchemaFile = "schema.yaml"

// SharedInput and SharedData are what the policies know, unless their files say it
// themselves.
func SharedInput() map[string]any {
	return map[string]any{"subject": map[string]any{
		"id": "11111111-1111-1111-1111-111111111111", "groups": []any{"a", "open"}, "n": 1, "key": "t",
	}}
}

// SharedData is said at [SharedInput].
func SharedData() map[string]any {
	return map[string]any{
		"roles": map[string]any{"a": 1, "b": 2, "": 1}, "list": []any{"a", "b"},
		"lists": map[string]any{"a": []any{"x"}, "b": []any{}},
	}
}

// Conventions are the ways in which a policy sees NULL: as null, as another value that
// the schema names, or as a missing key.
var Conventions = []string{"null", "value", "absent"}

// File is a conformance file.
type File struct {
	Path         string
	Family, Name string
	Title        string            // what the construct is
	Allow        string            // the body of the rule allow; empty where policy.rego is there
	Rules        string            // more rules beside allow
	Modules      map[string]string // as they are written; a policy.rego is whole
	Data, Input  map[string]any
	Own          []string // of data and input, those that the file says itself, as it says them
	Want         []Outcome
	SQL          string // or the refusal
	OPA          Peer
}

// Outcome is what a construct is to be, in a variant of it that has all of the tags.
type Outcome struct {
	Tags []string
	Code string // of the refusal; empty where it is exact
	All  string // "always" or "never", where the data makes no difference
}

// ReadAll reads all files of a directory of families, sorted by family and name.
func ReadAll(dir string) ([]File, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.txtar"))
	if err != nil {
		return nil, fmt.Errorf("listing conformance files: %w", err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no conformance files in %s", dir)
	}
	var all []File
	for _, path := range paths {
		f, err := Read(path)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// Read reads a file.
func Read(path string) (File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("reading a conformance file: %w", err)
	}
	f := File{
		Path: path, Family: filepath.Base(filepath.Dir(path)), Name: strings.TrimSuffix(filepath.Base(path), ".txtar"),
		Modules: map[string]string{},
	}
	if err := f.parse(text); err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (f *File) parse(text []byte) (err error) {
	archive := txtar.Parse(text)
	f.Title = strings.TrimSpace(string(archive.Comment))
	f.Input, f.Data = SharedInput(), SharedData()
	for _, section := range archive.Files {
		text := string(section.Data)
		switch section.Name {
		case "allow":
			f.Allow = strings.TrimSpace(text)
		case "rules":
			f.Rules = text
		case "data.json":
			f.Data, err = compiler.DecodeInput(section.Data)
			f.Own = append(f.Own, "data: "+strings.TrimSpace(text))
		case "input.json":
			f.Input, err = compiler.DecodeInput(section.Data)
			f.Own = append(f.Own, "input: "+strings.TrimSpace(text))
		case "want":
			f.Want, err = parseWant(text)
		case "sql":
			f.SQL = text
		case "opa":
			f.OPA, err = parsePeer(text)
		default:
			if filepath.Ext(section.Name) != ".rego" {
				err = errors.New("no such section")
			}
			f.Modules[section.Name] = text
		}
		if err != nil {
			return fmt.Errorf("%s: %w", section.Name, err)
		}
	}
	switch {
	case f.Title == "":
		return errors.New("the file does not say what it is")
	case len(f.Want) == 0 || len(f.Want[0].Tags) > 0:
		return errors.New("want does not begin with an outcome")
	case (f.Allow == "") == (f.Modules["policy.rego"] == ""):
		return errors.New("want one of allow and policy.rego")
	}
	return nil
}

var outcomeForm = regexp.MustCompile(`^(?:([a-z_ ]+): )?(?:exact(?: (always|never))?|refused (RF\d{4}))$`)

func parseWant(text string) ([]Outcome, error) {
	var out []Outcome
	for line := range strings.Lines(text) {
		m := outcomeForm.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			return nil, fmt.Errorf("what is %q?", line)
		}
		out = append(out, Outcome{strings.Fields(m[1]), m[3], m[2]})
	}
	return out, nil
}

// Expected is the outcome of the last line of want whose tags a variant has.
func (f File) Expected(has func(tag string) bool) Outcome {
	want := f.Want[0]
	for _, o := range f.Want[1:] {
		if !slices.ContainsFunc(o.Tags, func(tag string) bool { return !has(tag) }) {
			want = o
		}
	}
	return want
}

// Policy is the construct as it is written: modules by their names.
func (f File) Policy() map[string]string { return f.PolicyOf(f.Allow, "") }

// PolicyOf is the policy with another body of allow, and with more rules.
func (f File) PolicyOf(allow, rules string) map[string]string {
	modules := maps.Clone(f.Modules)
	if f.Allow != "" {
		modules["policy.rego"] = fmt.Sprintf("package authz\n\nimport rego.v1\n\nallow if {\n\t%s\n}\n\n%s\n%s", allow, rules, f.Rules)
	}
	return modules
}

// Rewrite puts another text into a section of the file.
func (f File) Rewrite(section, text string) error {
	if os.Getenv("CI") != "" {
		return errors.New("conformance files are not rewritten in CI")
	}
	file, err := os.ReadFile(f.Path)
	if err != nil {
		return fmt.Errorf("rewriting a conformance file: %w", err)
	}
	archive := txtar.Parse(file)
	at := slices.IndexFunc(archive.Files, func(s txtar.File) bool { return s.Name == section })
	if at < 0 {
		at = len(archive.Files)
		archive.Files = append(archive.Files, txtar.File{Name: section})
	}
	archive.Files[at].Data = []byte(text)
	if err := os.WriteFile(f.Path, txtar.Format(archive), 0o644); err != nil {
		return fmt.Errorf("rewriting a conformance file: %w", err)
	}
	return nil
}
