package conformance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const construct = `A text.
-- allow --
input.object.t == "a"
-- rules --
h if input.object.b
-- want --
exact
not: refused RF3005
not not_null: exact always
-- sql --
t = 'a'
-- opa --
sql: WHERE things.t = E'a  b'
null: leaks 2 and loses 1 row
value: exact
absent: exact
`

func write(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "strings", "a-text.txtar")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func tagged(tags ...string) func(string) bool {
	return func(tag string) bool {
		for _, t := range tags {
			if t == tag {
				return true
			}
		}
		return false
	}
}

func TestRead(t *testing.T) {
	f, err := Read(write(t, construct))
	require.NoError(t, err)
	require.Equal(t, "strings", f.Family)
	require.Equal(t, "a-text", f.Name)
	require.Equal(t, "A text.", f.Title)
	require.Equal(t, map[string]string{
		"policy.rego": "package authz\n\nimport rego.v1\n\nallow if {\n\tinput.object.t == \"a\"\n}\n\n\nh if input.object.b\n",
	}, f.Policy())
	require.Empty(t, f.Own)
	require.Contains(t, f.Data, "roles")
	require.Contains(t, f.Input, "subject")
	require.Equal(t, Outcome{}, Outcome{Code: f.Expected(tagged()).Code})
	require.Equal(t, "RF3005", f.Expected(tagged("not", "null")).Code)
	require.Equal(t, "always", f.Expected(tagged("not", "not_null")).All)
	require.Equal(t, PeerExact, f.OPA.Verdicts["absent"])
}

func TestReadRefuses(t *testing.T) {
	for want, text := range map[string]string{
		"does not say what it is":           "-- allow --\ntrue\n-- want --\nexact\n",
		"want does not begin":               "A.\n-- allow --\ntrue\n-- want --\nnot: exact\n",
		"want one of allow and policy.rego": "A.\n-- want --\nexact\n",
		`want: what is "perhaps\n"?`:        "A.\n-- allow --\ntrue\n-- want --\nperhaps\n",
		"extra: no such section":            "A.\n-- allow --\ntrue\n-- extra --\nexact\n",
		"data.json: ":                       "A.\n-- allow --\ntrue\n-- want --\nexact\n-- data.json --\n{\n",
		`opa: what is "well: no"?`:          "A.\n-- allow --\ntrue\n-- want --\nexact\n-- opa --\nwell: no\n",
	} {
		_, err := Read(write(t, text))
		require.ErrorContains(t, err, want)
	}
}

func TestRewrite(t *testing.T) {
	t.Setenv("CI", "")
	f, err := Read(write(t, construct))
	require.NoError(t, err)
	require.NoError(t, f.Rewrite("sql", "FALSE\n"))
	f, err = Read(f.Path)
	require.NoError(t, err)
	require.Equal(t, "FALSE\n", f.SQL)
	t.Setenv("CI", "true")
	require.ErrorContains(t, f.Rewrite("sql", "TRUE\n"), "not rewritten in CI")
}

// A verdict is read as it is written.
func TestPeerText(t *testing.T) {
	of := func(null, others string) map[string]string {
		return map[string]string{"null": null, "value": others, "absent": others}
	}
	for text, p := range map[string]Peer{
		"refuses: not permitted\n":                      {Refuses: "not permitted"},
		"crashes: nil\n":                                {Crashes: "nil"},
		"moment\n":                                      {Moment: true},
		"sql: WHERE t = E'a  b'\n":                      {SQL: "WHERE t = E'a  b'"},
		"sql: WHERE t = E'a'\nall: exact\n":             {SQL: "WHERE t = E'a'", Verdicts: of(PeerExact, PeerExact)},
		"sql: no rows\nall: fails: no such column: t\n": {SQL: PeerNone, Verdicts: of(PeerFails("no such column: t"), PeerFails("no such column: t"))},
		"sql: WHERE t\nnull: leaks 2 and loses 1 row\nvalue: exact\nabsent: exact\n": {
			SQL: "WHERE t", Verdicts: of(PeerWrong(2, 1), PeerExact),
		},
	} {
		require.Equal(t, text, p.Text())
		if p.Verdicts == nil {
			p.Verdicts = map[string]string{}
		}
		have, err := parsePeer(text)
		require.NoError(t, err)
		require.Equal(t, p, have)
	}
}
