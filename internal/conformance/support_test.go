package conformance

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite docs/rego-support.md, and its counts in the README")

const (
	supportPath = "../../docs/rego-support.md"
	readmePath  = "../../README.md"
)

// The line of the README that has the counts.
var readmeCounts = regexp.MustCompile(`(?m)^(\[docs/rego-support\.md\]\(docs/rego-support\.md\) [^.]*\. )Of \d.*$`)

// The document, and the counts in the README, are what the conformance files say.
func TestSupport(t *testing.T) {
	files, err := ReadAll("../../testdata/conformance")
	require.NoError(t, err)
	_, err = os.Stat("../../docs/errors.md")
	document := Document(files, opaVersion(t), err == nil)
	readme, err := os.ReadFile(readmePath)
	require.NoError(t, err)
	require.Len(t, readmeCounts.FindAll(readme, -1), 1, "the README has the counts once")
	counted := readmeCounts.ReplaceAll(readme, []byte("${1}"+Count(files).String()))
	if *update {
		require.Empty(t, os.Getenv("CI"), "documents are not rewritten in CI")
		require.NoError(t, os.WriteFile(supportPath, []byte(document), 0o644))
		require.NoError(t, os.WriteFile(readmePath, counted, 0o644))
		return
	}
	have, err := os.ReadFile(supportPath)
	require.NoError(t, err)
	require.True(t, document == string(have), "docs/rego-support.md is not what the conformance files say: make support rewrites it")
	require.True(t, string(counted) == string(readme), "the README's counts are not those of the conformance files: make support rewrites them")
}

// TestDocument has a construct of each status.
func TestDocument(t *testing.T) {
	verdicts := func(null, value, absent string) map[string]string {
		return map[string]string{"null": null, "value": value, "absent": absent}
	}
	exact, refused := []Outcome{{}}, []Outcome{{Code: "RF3006"}}
	files := []File{
		{Family: "a", Name: "x", Title: "With *stars* and `a_b`.", Allow: "input.object.t", Want: exact, SQL: "TRUE\n", OPA: Peer{Refuses: "invalid `lower`"}},
		{Family: "a", Name: "y", Title: "Y.", Allow: "a\nb", Rules: "h if c\n", Own: []string{"data: {\"a\": 1}"}, Want: []Outcome{{}, {Tags: []string{"not", "null"}, Code: "RF3005"}, {Tags: []string{"not_null"}}}, SQL: "t = 'a'\n",
			OPA: Peer{SQL: "WHERE t", Verdicts: verdicts(PeerWrong(1, 0), PeerExact, PeerExact)}},
		{Family: "b", Name: "z", Title: "Z.", Modules: map[string]string{"policy.rego": "package authz\n", "b.rego": "package b\n"}, Want: refused, SQL: "RF3006: a reason\n",
			OPA: Peer{SQL: PeerAll, Verdicts: verdicts(PeerWrong(1, 2), PeerWrong(1, 2), PeerWrong(0, 3))}},
		{Family: "b", Name: "w", Title: "W.", Allow: "x; y", Want: exact, SQL: "FALSE\n", OPA: Peer{SQL: PeerNone, Verdicts: verdicts(PeerFails("no"), PeerFails("no"), PeerFails("no"))}},
		{Family: "b", Name: "v", Title: "V.", Allow: "x", Want: exact, SQL: "FALSE\n", OPA: Peer{SQL: PeerNone, Verdicts: verdicts(PeerExact, PeerExact, PeerExact)}},
		{Family: "b", Name: "u", Title: "U.", Allow: "x", Want: exact, SQL: "FALSE\n", OPA: Peer{Moment: true}},
		{Family: "b", Name: "t", Title: "T.", Allow: "x", Want: exact, SQL: "FALSE\n", OPA: Peer{SQL: PeerAll, Verdicts: verdicts(PeerUnjudged("no"), PeerUnjudged("no"), PeerUnjudged("no"))}},
		{Family: "b", Name: "s", Title: "S.", Allow: "x", Want: exact, SQL: "FALSE\n", OPA: Peer{Crashes: "nil"}},
	}
	_, have, found := strings.Cut(Document(files, "1.0", true), "make support` measures all of this again.\n\n")
	require.True(t, found)
	golden, err := os.ReadFile("testdata/document.md")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile("testdata/document.md", []byte(have), 0o644))
		return
	}
	require.NoError(t, err)
	require.Equal(t, string(golden), have)
}

// opaVersion is the version of OPA that go.mod pins.
func opaVersion(t *testing.T) string {
	text, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	m := regexp.MustCompile(`open-policy-agent/opa v(\S+)`).FindSubmatch(text)
	require.NotNil(t, m)
	return string(m[1])
}
