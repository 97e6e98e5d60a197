//go:build unix

package pglocal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeInstallation writes programs that know nothing but their version.
func fakeInstallation(t *testing.T, bin, version string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(bin, 0o755))
	for _, program := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho '" + program + " (PostgreSQL) " + version + "'\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755))
	}
}

// onlyIn hides the machine's PostgreSQL: nothing in PATH, the "system's" in
// the returned directory.
func onlyIn(t *testing.T) (root string) {
	t.Helper()
	root = sharedDir(t)
	previous := systemGlob
	systemGlob = filepath.Join(root, "usr/lib/postgresql/*/bin")
	t.Cleanup(func() { systemGlob = previous })
	t.Setenv(binEnv, "")
	t.Setenv("LD_LIBRARY_PATH", "")
	t.Setenv("PATH", filepath.Join(root, "bin"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(root, "cache"))
	require.NoError(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	return root
}

func TestFindInstallation(t *testing.T) {
	acct, err := defaultAccount()
	require.NoError(t, err)
	root := onlyIn(t)

	_, err = findInstallation(t.Context(), acct, 0)
	require.ErrorContains(t, err, "no PostgreSQL found")
	require.ErrorContains(t, err, "make postgres")
	_, err = Start(t.Context(), Options{Ephemeral: true})
	require.ErrorContains(t, err, "starting the private PostgreSQL: no PostgreSQL found")

	// What others need not, this finds: versions are numbers, and a directory
	// of client programs is no server.
	lib := filepath.Join(root, "usr/lib/postgresql")
	fakeInstallation(t, filepath.Join(lib, "9.6/bin"), "9.6.24")
	fakeInstallation(t, filepath.Join(lib, "15/bin"), "15.13 (Debian 15.13-0+deb12u1)")
	require.NoError(t, os.MkdirAll(filepath.Join(lib, "17/bin"), 0o755))
	inst, err := findInstallation(t.Context(), acct, 0)
	require.NoError(t, err)
	require.Equal(t, installation{bin: filepath.Join(lib, "15/bin"), version: "15.13", major: 15}, inst)

	_, err = findInstallation(t.Context(), acct, 14)
	require.ErrorContains(t, err, "the data needs PostgreSQL 14, which was not found ("+filepath.Join(lib, "15/bin")+" is version 15.13")

	// A link in PATH comes first, and leads to where it points.
	elsewhere := filepath.Join(root, "elsewhere")
	fakeInstallation(t, elsewhere, "18beta1")
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "postgres"), filepath.Join(root, "bin/postgres")))
	inst, err = findInstallation(t.Context(), acct, 0)
	require.NoError(t, err)
	require.Equal(t, elsewhere, inst.bin)
	require.Equal(t, 18, inst.major)

	// One that does not run is passed over.
	require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "initdb"), []byte("#!/bin/sh\necho missing library; exit 127\n"), 0o755))
	inst, err = findInstallation(t.Context(), acct, 0)
	require.NoError(t, err)
	require.Equal(t, 15, inst.major)
	_, err = findInstallation(t.Context(), acct, 18)
	require.ErrorContains(t, err, "missing library")

	// The variable leaves no choice.
	t.Setenv(binEnv, elsewhere)
	_, err = findInstallation(t.Context(), acct, 0)
	require.ErrorContains(t, err, "missing library")
}

func TestFetchedInstallation(t *testing.T) {
	acct, err := defaultAccount()
	require.NoError(t, err)
	root := onlyIn(t)
	previous := systemGlob
	systemGlob = "/usr/lib/no-postgresql/*/bin"
	t.Cleanup(func() { systemGlob = previous })

	fetched, err := os.UserCacheDir()
	require.NoError(t, err)
	require.Contains(t, fetched, root)
	fetched = filepath.Join(fetched, "rowfence", "postgresql")
	bin := filepath.Join(fetched, "usr/lib/no-postgresql/15/bin")
	fakeInstallation(t, bin, "15.13")
	libs := filepath.Join(fetched, "usr/lib/x86_64-linux-gnu")
	require.NoError(t, os.MkdirAll(libs, 0o755))

	inst, err := findInstallation(t.Context(), acct, 0)
	require.NoError(t, err)
	require.Equal(t, installation{bin: bin, libraryPath: libs, version: "15.13", major: 15}, inst)
	require.Contains(t, inst.command(acct, "postgres").Env, "LD_LIBRARY_PATH="+libs)
}
