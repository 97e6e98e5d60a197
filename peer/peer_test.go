package peer

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/conformance"
)

var update = flag.Bool("update", false, "rewrite what OPA makes of the constructs in the conformance files")

const dir = "../testdata/conformance"

// TestPeer asks OPA for the SQL of each construct, which is to be what its file says.
func TestPeer(t *testing.T) {
	table := testTable(t)
	files, err := conformance.ReadAll(dir)
	require.NoError(t, err)
	for _, f := range files {
		t.Run(f.Family+"/"+f.Name, func(t *testing.T) {
			have, err := table.ask(t.Context(), f)
			require.NoError(t, err)
			if have.SQL == f.OPA.SQL { // the verdict on it is the oracle's
				have.Verdicts = f.OPA.Verdicts
			}
			switch {
			case have.Text() == f.OPA.Text():
			case *update:
				require.NoError(t, f.Rewrite("opa", have.Text()))
			default:
				t.Errorf("OPA now makes\n%swas\n%s(make support rewrites it)", have.Text(), f.OPA.Text())
			}
		})
	}
}

func testTable(t *testing.T) table {
	text, err := os.ReadFile(filepath.Join(dir, conformance.SchemaFile))
	require.NoError(t, err)
	schema, err := compiler.ParseSchema(text)
	require.NoError(t, err)
	resource, err := schema.Resource("thing")
	require.NoError(t, err)
	table, err := newTable(resource)
	require.NoError(t, err)
	return table
}

// TestAsk has a construct of each kind of answer.
func TestAsk(t *testing.T) {
	table := testTable(t)
	for body, want := range map[string]conformance.Peer{
		`input.object.t == "a"`:                        {SQL: "WHERE things.t = E'a'"},
		`input.object.type == "thing"`:                 {SQL: conformance.PeerAll},
		`input.object.type == "other"; input.object.b`: {SQL: conformance.PeerNone},
		`lower(input.object.t) == "a"`:                 {Refuses: "invalid builtin `lower`"},
		`input.object.i > rand.intn("a", 1000000000)`:  {Moment: true},
	} {
		have, err := table.ask(t.Context(), conformance.File{Allow: body, Modules: map[string]string{}, Input: map[string]any{}, Data: map[string]any{}})
		require.NoError(t, err)
		require.Equal(t, want, have, body)
	}
}
