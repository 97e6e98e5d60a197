package rowfence_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/policies"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden holds each file below testdata/golden against what the policy in it
// becomes: the residual, the predicate, the SQL and its arguments, or the refusal.
// A file has a policy, or takes the bundled one; a schema and an input that it lacks
// are the shared ones beside the folders.
func TestGolden(t *testing.T) {
	if *update && os.Getenv("CI") != "" {
		t.Fatal("golden files are not rewritten in CI")
	}
	root := filepath.Join("testdata", "golden")
	cases := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".txtar" {
			return err
		}
		cases++
		name, _ := filepath.Rel(root, strings.TrimSuffix(path, ".txtar"))
		t.Run(filepath.ToSlash(name), func(t *testing.T) { golden(t, root, path) })
		return nil
	})
	require.NoError(t, err)
	require.NotZero(t, cases)
}

func golden(t *testing.T, root, path string) {
	archive, err := txtar.ParseFile(path)
	require.NoError(t, err)
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	got := outcome(t, root, files)
	if *update {
		var kept []txtar.File
		for _, f := range archive.Files {
			if f.Name != "want" {
				kept = append(kept, f)
			}
		}
		kept = append(kept, txtar.File{Name: "want", Data: []byte(got)})
		archive.Files = kept
		require.NoError(t, os.WriteFile(path, txtar.Format(archive), 0o644))
		return
	}
	require.Equal(t, files["want"], got, "go test -run TestGolden -update rewrites the file")
}

// outcome is what a case becomes, as its golden file says it.
func outcome(t *testing.T, root string, files map[string]string) string {
	ctx := context.Background()
	shared := func(name string) string {
		if text, ok := files[name]; ok {
			return text
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		return string(text)
	}
	config := rowfence.Config{}
	if policy, ok := files["policy.rego"]; ok {
		config.Sources = []rego.Source{rego.Module("policy.rego", policy)}
		config.Schema = []byte(shared("schema.yaml"))
	} else {
		config.Policies, config.Schema = policies.FS, policies.Schema()
	}
	if data, ok := files["data.json"]; ok {
		doc, err := compiler.DecodeInput([]byte(data))
		require.NoError(t, err)
		config.Data = doc
	}
	resource := strings.TrimSpace(files["resource"])
	if resource == "" {
		resource = "thing"
	}
	input, err := compiler.DecodeInput([]byte(shared("input.json")))
	require.NoError(t, err)
	engine, err := rowfence.New(ctx, config)
	require.NoError(t, err)
	c, err := engine.Explain(ctx, resource, input, nil)
	var refusal *compiler.Error
	if errors.As(err, &refusal) {
		return "refused: " + refusal.Error() + "\n"
	}
	require.NoError(t, err)
	text, args := c.Filter.SQL(1)
	argsJSON, err := sqlgen.ArgJSON(args)
	require.NoError(t, err)
	return fmt.Sprintf("residual:\n%s\npredicate:\n%s\n\nresult: %v\nsql: %s\nargs: %s\ninline: %s\n",
		c.Residual, sqlgen.Indent(c.Predicate), c.Filter.Result(), text, argsJSON, c.Filter.Inline())
}
