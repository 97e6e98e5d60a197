package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	readmeFile = regexp.MustCompile("(?s)```(?:rego|yaml)\n(# (\\S+)\n.*?)```")
	readmeRuns = regexp.MustCompile("(?s)```console\n(.*?)```")
)

// The runs that the README shows print what it says, on the files that it shows.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	dir := t.TempDir()
	files := readmeFile.FindAllSubmatch(readme, -1)
	require.Len(t, files, 4)
	for _, f := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, string(f[2])), f[1], 0o600))
	}
	runs := 0
	for _, block := range readmeRuns.FindAllSubmatch(readme, -1) {
		for run := range strings.SplitSeq(strings.TrimPrefix(string(block[1]), "$ "), "\n$ ") {
			command, want, _ := strings.Cut(run, "\n")
			cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
			cmd.Dir = dir
			have, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				require.NoError(t, err)
			}
			require.Equal(t, strings.TrimRight(want, "\n"), strings.TrimRight(string(have), "\n"), command)
			runs++
		}
	}
	require.Equal(t, 5, runs)
}
