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

// TestSQLDoesNotGrow: an auditor of a thousand organizations gets the text of two,
// and a thousand uuids.
func TestSQLDoesNotGrow(t *testing.T) {
	engine, err := rowfence.New(context.Background(), rowfence.Config{Policies: policies.FS, Schema: policies.Schema()})
	require.NoError(t, err)
	grant := func(resource string) map[string]any {
		return map[string]any{"negate": false, "resource_type": resource, "action": "read"}
	}
	anything := []any{map[string]any{"negate": false, "resource_type": "*", "action": "*"}}
	for _, n := range []int{2, 1000} {
		orgs := map[string]any{}
		for i := range n {
			orgs[fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)] = map[string]any{"org": []any{grant("audit_log")}, "member": []any{}}
		}
		f, err := engine.Compile(context.Background(), "audit_log", map[string]any{
			"action": "read",
			"subject": map[string]any{
				"id": "c0000000-0000-4000-8000-00000000000c", "groups": []any{},
				"roles": []any{map[string]any{"site": []any{}, "user": []any{}, "by_org_id": orgs}},
				"scope": map[string]any{"site": anything, "user": []any{}, "by_org_id": map[string]any{}, "allow_list": []any{map[string]any{"type": "*", "id": "*"}}},
			},
		})
		require.NoError(t, err)
		text, args := f.SQL(1)
		require.Equal(t, "organization_id = ANY($1)", text)
		require.Len(t, args, 1)
		require.Len(t, args[0], n)
	}
}

// TestNothingIsMultipliedOut: helpers of two bodies, joined by and or used by each
// other, give SQL linear in their number.
func TestNothingIsMultipliedOut(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join("testdata", "golden", "schema.yaml"))
	require.NoError(t, err)
	size := func(n int, policy func(i, n int) string) int {
		var text strings.Builder
		text.WriteString("package authz\nimport rego.v1\n")
		for i := range n {
			text.WriteString(policy(i, n))
		}
		engine, err := rowfence.New(context.Background(), rowfence.Config{
			Sources: []rego.Source{rego.Module("policy.rego", text.String())}, Schema: schema,
		})
		require.NoError(t, err)
		f, err := engine.Compile(context.Background(), "thing", map[string]any{
			"subject": map[string]any{"id": "c0000000-0000-4000-8000-00000000000c", "names": []string{}},
		})
		require.NoError(t, err)
		sql, _ := f.SQL(1)
		return len(sql)
	}
	joined := func(i, n int) string {
		rules := fmt.Sprintf("h%d if input.object.t0 == \"a%d\"\nh%d if input.object.i0 == %d\n", i, i, i, i)
		if i == 0 {
			rules += "allow if {\n"
			for j := range n {
				rules += fmt.Sprintf("\th%d\n", j)
			}
			rules += "}\n"
		}
		return rules
	}
	nested := func(i, n int) string {
		switch i {
		case 0:
			return "allow if h1\n"
		case n - 1:
			return fmt.Sprintf("h%d if input.object.t0 == \"a\"\n", i)
		default:
			return fmt.Sprintf("h%d if { not h%d; input.object.i0 == %d }\nh%d if input.object.t == \"b%d\"\n", i, i+1, i, i, i)
		}
	}
	for name, policy := range map[string]func(i, n int) string{"joined": joined, "nested": nested} {
		require.Less(t, size(20, policy), 3*size(10, policy), name)
	}
}
