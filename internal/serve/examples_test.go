package serve_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/serve"
)

var (
	shell    = regexp.MustCompile("(?s)```sh\n(.*?)```\n(?:\n```(?:json|text)\n(.*?)```)?")
	statuses = regexp.MustCompile(`(?m)^status (\d+)$`)
)

// What the documents show of curl is run against the demo, as it stands but for the
// address: each request is answered with a success, or with the refusal that is shown.
func TestExamplesOfTheAPI(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, ".rowfence")
	m := launch(t, serve.Config{DatabaseURL: pgtest.URL(t), DataDir: data, Demo: true, Rows: demoRows}).ready(t)
	text, err := os.ReadFile(filepath.Join(data, "demo-tokens.json"))
	require.NoError(t, err)
	var people []struct{ Name, Token string }
	require.NoError(t, json.Unmarshal(text, &people))
	env := append(os.Environ(), "no_proxy=*")
	for _, p := range people {
		switch p.Name {
		case "org-auditor":
			env = append(env, "TOKEN="+p.Token)
		case "ingester":
			env = append(env, "INGESTER="+p.Token)
		}
	}
	ran := map[string]int{}
	for _, document := range []string{"../../README.md", "../../docs/audit-api.md"} {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, block := range shell.FindAllStringSubmatch(string(text), -1) {
			script, shown := block[1], strings.TrimSpace(block[2])
			if !strings.Contains(script, "curl ") {
				continue
			}
			ran[filepath.Base(document)]++
			require.Contains(t, script, "http://127.0.0.1:8080/")
			script = strings.ReplaceAll(script, "127.0.0.1:8080", m.Addr())
			endless := strings.Contains(script, "/tail")
			options := ""
			if endless {
				options = "--max-time 3"
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
				"curl() { command curl -w '%{stderr}status %{http_code}\\n' "+options+" \"$@\"; }\n"+script)
			cmd.Dir, cmd.Env = dir, env
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.Output()
			var exit *exec.ExitError
			if endless && errors.As(err, &exit) && exit.ExitCode() == 28 { // the time is over
				err = nil
			}
			require.NoError(t, err, "%s\n%s", script, stderr.String())
			requests := statuses.FindAllStringSubmatch(stderr.String(), -1)
			require.Len(t, requests, strings.Count(script, "curl "), "%s\n%s", script, stderr.String())
			want := "2"
			switch {
			case strings.HasPrefix(shown, `{"message"`):
				want = "400"
				require.JSONEq(t, shown, string(stdout))
			case strings.HasPrefix(shown, `{"count"`):
				var have struct {
					Count int
					IDs   []string
				}
				require.NoError(t, json.Unmarshal(stdout, &have))
				require.Equal(t, 1, have.Count)
				require.Len(t, have.IDs, 1)
			case endless:
				require.True(t, strings.HasPrefix(string(stdout), "retry: 2000\n: heartbeat\nid: "), string(stdout))
			}
			for _, status := range requests {
				require.True(t, strings.HasPrefix(status[1], want), "%s\n%s", script, stderr.String())
			}
			require.NotEmpty(t, stdout, script)
		}
	}
	require.Equal(t, map[string]int{"README.md": 1, "audit-api.md": 9}, ran)
}
