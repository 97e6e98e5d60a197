package rego_test

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/rego"
)

const membership = "package authz\n\nallow if input.team in data.teams.open\n"

// allowed evaluates data.authz.allow in full.
func allowed(t *testing.T, input string, from ...rego.Source) bool {
	t.Helper()
	p, err := rego.Load(t.Context(), from...)
	require.NoError(t, err)
	q, err := p.Prepare(t.Context(), "data.authz.allow")
	require.NoError(t, err)
	ok, err := q.Eval(t.Context(), ast.MustParseTerm(input).Value)
	require.NoError(t, err)
	return ok
}

func TestPathsReadsADirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"authz.rego":       membership,
		"authz_test.rego":  "package authz\n\nnot Rego",
		"sub/more.rego":    "package authz\n\nallow if input.team == data.sub.extra\n",
		"data.json":        `{"teams": {"open": ["a"]}}`,
		"sub/data.yaml":    "extra: b\n",
		"fixture.yaml":     "teams: 3\n",
		"notes.json":       "not JSON",
		".hidden/all.rego": "package authz\n\nallow if true\n",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	require.True(t, allowed(t, `{"team": "a"}`, rego.Paths(dir)))
	require.True(t, allowed(t, `{"team": "b"}`, rego.Paths(dir)), "a data document stands where its directory does")
	require.False(t, allowed(t, `{"team": "c"}`, rego.Paths(dir)))

	// A file that is named is read, whatever its name.
	_, err := rego.Load(t.Context(), rego.Paths(filepath.Join(dir, "authz_test.rego")))
	var parse *ast.Error
	require.ErrorAs(t, err, &parse)
	require.Equal(t, 3, parse.Location.Row)
}

func TestFSReadsAsADirectory(t *testing.T) {
	fsys := fstest.MapFS{
		"authz.rego":      {Data: []byte(membership)},
		"authz_test.rego": {Data: []byte("not Rego")},
		"data.json":       {Data: []byte(`{"teams": {"open": ["a"]}}`)},
	}
	require.True(t, allowed(t, `{"team": "a"}`, rego.FS(fsys)))
	require.False(t, allowed(t, `{"team": "b"}`, rego.FS(fsys)))
}

func TestPathsReadsABundle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.tar.gz")
	file, err := os.Create(path) //nolint:gosec // a path of the test's own
	require.NoError(t, err)
	zip := gzip.NewWriter(file)
	w := tar.NewWriter(zip)
	for name, text := range map[string]string{"/authz.rego": membership, "/teams/data.json": `{"open": ["a"]}`} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, zip.Close())
	require.NoError(t, file.Close())
	require.True(t, allowed(t, `{"team": "a"}`, rego.Paths(path)))
	require.False(t, allowed(t, `{"team": "b"}`, rego.Paths(path)))
}

func TestDataIsMerged(t *testing.T) {
	first := map[string]any{"teams": map[string]any{"open": []any{"a"}}}
	second := map[string]any{"teams": map[string]any{"closed": []any{"b"}}, "n": 1}
	policy := rego.Module("authz.rego", membership+"allow if input.team in data.teams.closed\n")
	for _, team := range []string{"a", "b"} {
		require.True(t, allowed(t, `{"team": "`+team+`"}`, policy, rego.Data(first), rego.Data(second)))
	}
	require.Equal(t, map[string]any{"teams": map[string]any{"open": []any{"a"}}}, first, "a caller's document is left alone")
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.tar.gz")
	require.NoError(t, os.WriteFile(broken, []byte("no archive"), 0o600))
	policy := rego.Module("authz.rego", membership)
	for name, c := range map[string]struct {
		from []rego.Source
		want string
	}{
		"nothing":             {nil, "no policy: no Rego file is there"},
		"data only":           {[]rego.Source{rego.Data(map[string]any{"a": 1})}, "no policy"},
		"an empty directory":  {[]rego.Source{rego.Paths(dir + "/.")}, "no policy"},
		"no such file":        {[]rego.Source{rego.Paths(filepath.Join(dir, "none.rego"))}, "reading policy: stat "},
		"no bundle":           {[]rego.Source{rego.Paths(broken)}, "reading bundle: "},
		"an empty module":     {[]rego.Source{rego.Module("a.rego", "# nothing\n")}, "a.rego"},
		"a module twice":      {[]rego.Source{policy, policy}, "policy authz.rego is given twice"},
		"data that disagree":  {[]rego.Source{policy, rego.Data(map[string]any{"t": map[string]any{"a": 1}}), rego.Data(map[string]any{"t": map[string]any{"a": 1}})}, "data documents disagree on data.t.a"},
		"a parse error":       {[]rego.Source{rego.Module("a.rego", "package a\n\nallow := = 1")}, "a.rego:3: rego_parse_error"},
		"an unsafe variable":  {[]rego.Source{rego.Module("a.rego", "package a\n\nallow if x == input.y")}, "rego_unsafe_var_error"},
		"recursion":           {[]rego.Source{rego.Module("a.rego", "package a\n\nallow if deny\n\ndeny if allow")}, "rego_recursion_error"},
		"Rego of version 0":   {[]rego.Source{rego.Module("a.rego", "package a\n\nallow { true }")}, "rego_parse_error"},
		"a reserved name":     {[]rego.Source{rego.Module("a.rego", "package a\n\n__else_1 := 1")}, "names that begin with __else_ are reserved"},
		"a reserved variable": {[]rego.Source{rego.Module("a.rego", "package a\n\nallow if {\n\t__else_1 := input.x\n\t__else_1 == 1\n}")}, "names that begin with __else_ are reserved"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := rego.Load(t.Context(), c.from...)
			require.Nil(t, p)
			require.ErrorContains(t, err, c.want)
		})
	}
}
