package compiler

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/agnivade/levenshtein"
	"github.com/rogpeppe/go-internal/txtar"
)

// catalogueFiles hold an entry each: its title and what it means, then the sections
// "when" and "fix", and the files of an example. A file of which only the name below
// fixed/ differs takes the place of the example's in the one that compiles.
//
//go:embed catalogue/*.txtar
var catalogueFiles embed.FS

// Entry is what there is to say of a code.
type Entry struct {
	Code    Code    `json:"code"`
	Title   string  `json:"title"`
	Meaning string  `json:"meaning"`
	When    string  `json:"when"`    // when it occurs
	Example Example `json:"example"` // which is refused with the code
	Fix     string  `json:"fix"`     // the way out
	Fixed   Example `json:"fixed"`   // what changes in the example, so that it compiles
}

// Example is what a filter is asked of. A part that is empty has no bearing on the
// error.
type Example struct {
	Policy   string `json:"policy,omitempty"`
	Schema   string `json:"schema,omitempty"`
	Input    string `json:"input,omitempty"`
	Resource string `json:"resource,omitempty"`
}

// File is a part of an example.
type File struct{ Name, Text string }

// Files are the parts that are there.
func (x Example) Files() []File {
	var out []File
	for _, p := range x.parts() {
		if *p.text != "" {
			out = append(out, File{p.name, *p.text})
		}
	}
	return out
}

type part struct {
	name string
	text *string
}

// parts are all parts, in the order of printing.
func (x *Example) parts() []part {
	return []part{{"policy.rego", &x.Policy}, {"schema.yaml", &x.Schema}, {"input.json", &x.Input}, {"resource", &x.Resource}}
}

// With is the example with the parts of another that are there in place of its own.
func (x Example) With(other Example) Example {
	parts := x.parts()
	for i, p := range other.parts() {
		if *p.text != "" {
			*parts[i].text = *p.text
		}
	}
	return x
}

// Catalogue are the entries of all codes, by code.
func Catalogue() []Entry { return slices.Clone(catalogue()) }

var catalogue = sync.OnceValue(func() []Entry {
	names, err := fs.Glob(catalogueFiles, "catalogue/*.txtar") // sorted
	if err != nil {
		panic(err) // of the pattern, which is a constant
	}
	out := make([]Entry, len(names))
	for i, name := range names {
		text, err := catalogueFiles.ReadFile(name)
		if err == nil {
			out[i], err = parseEntry(name, text)
		}
		if err != nil {
			panic(err) // the files are part of the program, and tested
		}
	}
	return out
})

func parseEntry(name string, text []byte) (Entry, error) {
	a := txtar.Parse(text)
	e := Entry{Code: Code(strings.TrimSuffix(path.Base(name), ".txtar"))}
	title, meaning, _ := strings.Cut(string(a.Comment), "\n")
	e.Title, e.Meaning = strings.TrimSpace(title), strings.TrimSpace(meaning)
	sections := map[string]*string{"when": &e.When, "fix": &e.Fix}
	for _, p := range e.Example.parts() {
		sections[p.name] = p.text
	}
	for _, p := range e.Fixed.parts() {
		sections["fixed/"+p.name] = p.text
	}
	for _, f := range a.Files {
		into := sections[f.Name]
		if into == nil {
			return e, fmt.Errorf("%s: unknown section %q", name, f.Name)
		}
		*into = strings.TrimSpace(string(f.Data))
	}
	return e, nil
}

// Lookup is the entry of a code, which may be written in lower case. Where there is
// none, near are the codes that may be meant.
func Lookup(code string) (e Entry, near []Code, ok bool) {
	code = strings.ToUpper(strings.TrimSpace(code))
	all := catalogue()
	if i, ok := slices.BinarySearchFunc(all, Code(code), func(e Entry, c Code) int { return cmp.Compare(e.Code, c) }); ok {
		return all[i], nil, true
	}
	for _, e := range all {
		if levenshtein.ComputeDistance(code, string(e.Code)) <= maxTypos || "RF"+code == string(e.Code) {
			near = append(near, e.Code)
		}
	}
	return Entry{}, near, false
}
