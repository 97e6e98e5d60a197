package compiler_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
)

// Each code of the source has an entry that says everything, and each entry a code.
func TestCatalogueIsComplete(t *testing.T) {
	have := map[string]compiler.Entry{}
	for _, e := range compiler.Catalogue() {
		have[string(e.Code)] = e
	}
	codes := sourceCodes(t)
	require.Contains(t, codes, "RF3005", "the codes are looked for in the wrong way")
	for _, code := range codes {
		e, ok := have[code]
		if !ok {
			t.Errorf("%s has no entry: write compiler/catalogue/%s.txtar", code, code)
			continue
		}
		delete(have, code)
		for part, text := range map[string]string{"title": e.Title, "meaning": e.Meaning, "when": e.When, "fix": e.Fix} {
			require.NotEmpty(t, text, "%s has no %s", code, part)
			require.NotContains(t, text, "\n", "%s: %s is one paragraph, of one line", code, part)
		}
		require.NotContains(t, e.Title, ".", code)
		require.NotEmpty(t, e.Example.Files(), "%s has no example", code)
		require.NotEmpty(t, e.Fixed.Files(), "%s: nothing is fixed", code)
		require.NotEqual(t, e.Example, e.Example.With(e.Fixed), "%s: nothing is fixed", code)
	}
	require.Empty(t, slices.Collect(maps.Keys(have)), "entries of no code")
}

// sourceCodes are the values of the constants of type Code, whichever file they
// stand in.
func sourceCodes(t *testing.T) []string {
	var out []string
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" {
				return true
			}
			for _, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				require.True(t, ok, "a code is a literal")
				code, err := strconv.Unquote(lit.Value)
				require.NoError(t, err)
				out = append(out, code)
			}
			return true
		})
	}
	return out
}

func TestLookup(t *testing.T) {
	for _, code := range []string{"RF3005", "rf3005", " RF3005 "} {
		e, near, ok := compiler.Lookup(code)
		require.True(t, ok, code)
		require.Empty(t, near)
		require.Equal(t, compiler.CodeConflict, e.Code)
	}
	for code, want := range map[string][]compiler.Code{
		"3005":   {"RF3005"},
		"RF305":  {"RF3005"},
		"RF5001": {"RF1001", "RF2001", "RF3001", "RF4001"},
		"":       nil,
		"E0001":  nil,
	} {
		_, near, ok := compiler.Lookup(code)
		require.False(t, ok, code)
		require.Equal(t, want, near, code)
	}
}
