package rowfence_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

// plain is what an example is asked with where it does not say.
var plain = compiler.Example{
	Policy:   "package authz\n\nallow if input.object.owner == input.user",
	Schema:   "resources: {document: {table: documents, fields: {owner: {column: owner_id, type: text}}}}",
	Input:    `{"user": "me"}`,
	Resource: "document",
}

// ask makes the filter that an example asks for.
func ask(x compiler.Example) error {
	ctx := context.Background()
	input, err := compiler.DecodeInput([]byte(x.Input))
	if err != nil {
		return err
	}
	engine, err := rowfence.New(ctx, rowfence.Config{
		Sources: []rego.Source{rego.Module("policy.rego", x.Policy)},
		Schema:  []byte(x.Schema),
	})
	if err != nil {
		return err
	}
	_, err = engine.Compile(ctx, x.Resource, input)
	return err
}

// Each example of the catalogue is refused with its code, where it is about the
// policy at a place of it, and compiles as it is fixed.
func TestCatalogueExamples(t *testing.T) {
	for _, e := range compiler.Catalogue() {
		t.Run(string(e.Code), func(t *testing.T) {
			x := plain.With(e.Example)
			errs := rowfence.Errors(ask(x))
			require.NotEmpty(t, errs, "the example is not refused")
			for _, have := range errs {
				require.Equal(t, e.Code, have.Code, "%v", have)
				if e.Code[2] == '2' || e.Code[2] == '3' {
					require.NotNil(t, have.Position, "%v", have)
					require.Equal(t, "policy.rego", have.Position.File)
				}
			}
			require.NoError(t, ask(x.With(e.Fixed)), "the way out")
		})
	}
}

// docs/errors.md is the catalogue.
func TestErrorsDocument(t *testing.T) {
	path := filepath.Join("docs", "errors.md")
	want := errorsDocument(compiler.Catalogue())
	if *update {
		require.Empty(t, os.Getenv("CI"), "documents are not rewritten in CI")
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "go test -run TestErrorsDocument -update . rewrites the document")
}

func errorsDocument(entries []compiler.Entry) string {
	var b strings.Builder
	b.WriteString(`# Errors

What can't be compiled exactly is refused with one of these codes. A code is never renumbered or used again. ` +
		"`rowfence explain-error CODE`" + ` prints the same. Each example here is refused with its code, and compiles as it is fixed: a test sees to it. Where an example has no policy, schema or input, they have no bearing on the error.

RF1 is about the schema, RF2 about the policy and its evaluation, RF3 about what has no exact translation, RF4 about the input.

<!-- Made of compiler/catalogue by go test -run TestErrorsDocument -update . -->

| code | what is wrong |
|---|---|
`)
	for _, e := range entries {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", e.Code, strings.ToLower(string(e.Code)), e.Title)
	}
	for _, e := range entries {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s\n\nIt occurs when: %s\n", e.Code, sentence(e.Title), e.Meaning, e.When)
		writeExample(&b, e.Example)
		fmt.Fprintf(&b, "\nThe way out: %s\n", e.Fix)
		writeExample(&b, e.Fixed)
	}
	return b.String()
}

// sentence is a title as one.
func sentence(title string) string { return strings.ToUpper(title[:1]) + title[1:] + "." }

func writeExample(b *strings.Builder, x compiler.Example) {
	files := x.Files()
	if i := slices.IndexFunc(files, func(f compiler.File) bool { return f.Name == "resource" }); i >= 0 {
		defer fmt.Fprintf(b, "\nThe resource that is asked for: `%s`\n", files[i].Text)
		files = slices.Delete(files, i, i+1)
	}
	for _, f := range files {
		language := strings.TrimPrefix(filepath.Ext(f.Name), ".")
		fmt.Fprintf(b, "\n```%s\n%s\n```\n", language, f.Text)
	}
}

// Each code of a refused policy has a conformance file: that is where it is seen under
// all conventions, and below negation. The other codes are of no policy, or stop it
// before it is evaluated.
func TestCodesHaveConformanceFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "conformance", "*", "*.txtar"))
	require.NoError(t, err)
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(text)
	}
	for _, e := range compiler.Catalogue() {
		if strings.HasPrefix(string(e.Code), "RF3") || e.Code == compiler.CodeEval {
			require.Contains(t, all.String(), "refused "+string(e.Code), "no conformance file is refused with it")
		}
	}
}
