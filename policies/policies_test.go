package policies_test

import (
	"io/fs"
	"os"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/policies"
)

func source(tb testing.TB) string {
	tb.Helper()
	text, err := fs.ReadFile(policies.FS, "authz.rego")
	require.NoError(tb, err)
	return string(text)
}

func TestRego(t *testing.T) {
	results, err := tester.Run(t.Context(), "authz.rego", "authz_test.rego")
	require.NoError(t, err)
	require.NotEmpty(t, results)

	for _, result := range results {
		t.Run(result.Name, func(t *testing.T) {
			require.NoError(t, result.Error)
			for cases, sub := range result.SubResults.Iter {
				require.Falsef(t, sub.Fail, "%s: case %q fails", result.Location, cases)
			}
			require.Truef(t, result.Pass(), "%s: %s", result.Location, result)
		})
	}
}

func TestFormatted(t *testing.T) {
	for _, name := range []string{"authz.rego", "authz_test.rego"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			formatted, err := format.SourceWithOpts(name, text, format.Opts{RegoVersion: ast.RegoV1})
			require.NoError(t, err)
			require.Equal(t, string(formatted), string(text), "run opa fmt --write %s", name)
		})
	}
}

func TestEntrypoint(t *testing.T) {
	module, err := ast.ParseModuleWithOpts("authz.rego", source(t), ast.ParserOptions{ProcessAnnotation: true})
	require.NoError(t, err)

	compiler := ast.NewCompiler().WithStrict(true)
	compiler.Compile(map[string]*ast.Module{"authz.rego": module})
	require.False(t, compiler.Failed(), "%v", compiler.Errors)

	var entrypoints []string
	for _, ref := range compiler.GetAnnotationSet().Flatten() {
		if ref.Annotations.Entrypoint {
			entrypoints = append(entrypoints, ref.Path.String())
		}
	}
	require.Equal(t, []string{policies.Entrypoint}, entrypoints)
}

// FS is what a caller loads whole: the tests must not be in it.
func TestFSHoldsThePolicyOnly(t *testing.T) {
	names, err := fs.Glob(policies.FS, "*")
	require.NoError(t, err)
	require.Equal(t, []string{"authz.rego"}, names)
}
