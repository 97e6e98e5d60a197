//go:build unix

package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// binEnv names a PostgreSQL bin directory, to use that one and no other.
const binEnv = "ROWFENCE_PG_BIN"

// systemGlob matches the bin directories of Debian's packages. A variable
// only for the tests.
var systemGlob = "/usr/lib/postgresql/*/bin"

// An installation is a directory of PostgreSQL binaries that runs.
type installation struct {
	bin         string
	libraryPath string // LD_LIBRARY_PATH, for fetched packages
	version     string // as in "15.13"
	major       int
}

// findInstallation returns the first installation that acct can run, of the
// given major version, or of any if major is 0.
func findInstallation(ctx context.Context, acct account, major int) (installation, error) {
	candidates, err := candidateInstallations()
	if err != nil {
		return installation{}, err
	}
	var misses []string
	for _, inst := range candidates {
		if err := inst.probe(ctx, acct); err != nil {
			if ctx.Err() != nil {
				return installation{}, context.Cause(ctx)
			}
			misses = append(misses, err.Error())
			continue
		}
		if major != 0 && inst.major != major {
			misses = append(misses, fmt.Sprintf("%s is version %s", inst.bin, inst.version))
			continue
		}
		return inst, nil
	}
	what := "no PostgreSQL found"
	if major != 0 {
		what = fmt.Sprintf("the data needs PostgreSQL %d, which was not found", major)
	}
	if len(misses) > 0 {
		what += " (" + strings.Join(misses, "; ") + ")"
	}
	return installation{}, errors.New(what + `: run "make postgres" (scripts/postgres.sh) in a clone of Rowfence, ` +
		"install your system's package, or set " + binEnv + " to its bin directory")
}

func candidateInstallations() ([]installation, error) {
	if dir := os.Getenv(binEnv); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", binEnv, err)
		}
		return []installation{{bin: abs}}, nil
	}
	var found []installation
	if path, err := exec.LookPath("postgres"); err == nil {
		// A link in PATH leads to the directory that has initdb too, and
		// from which PostgreSQL finds its other files.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				found = append(found, installation{bin: filepath.Dir(path)})
			}
		}
	}
	found = append(found, globInstallations(systemGlob)...)
	if cache, err := os.UserCacheDir(); err == nil {
		root := filepath.Join(cache, "rowfence", "postgresql")
		var libs []string
		for _, pattern := range []string{"usr/lib/*-linux-*", "lib/*-linux-*"} {
			// The only error is a malformed pattern.
			dirs, _ := filepath.Glob(filepath.Join(root, pattern))
			libs = append(libs, dirs...)
		}
		for _, inst := range globInstallations(filepath.Join(root, systemGlob)) {
			inst.libraryPath = strings.Join(libs, ":")
			found = append(found, inst)
		}
	}
	return found, nil
}

// globInstallations returns the matching .../VERSION/bin directories, highest
// version first.
func globInstallations(pattern string) []installation {
	dirs, _ := filepath.Glob(pattern)
	version := func(dir string) float64 {
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64)
		return v
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return int(version(b) - version(a)) })
	var found []installation
	for _, dir := range dirs {
		// A client package leaves such a directory too.
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
			found = append(found, installation{bin: dir})
		}
	}
	return found
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// probe runs both programs as acct, which finds missing files, missing
// libraries and directories that acct can't enter, and sets the version.
func (inst *installation) probe(ctx context.Context, acct account) error {
	for _, program := range []string{"initdb", "postgres"} {
		out, err := output(ctx, inst.command(acct, program, "--version"))
		if err != nil {
			return fmt.Errorf("%s/%s as user %s: %w", inst.bin, program, acct.name, errors.Join(err, asError(out)))
		}
		m := versionPattern.FindStringSubmatch(out)
		if m == nil {
			return fmt.Errorf("%s/%s has an unknown version %q", inst.bin, program, out)
		}
		inst.version = m[1]
		if inst.major, err = strconv.Atoi(m[2]); err != nil {
			return fmt.Errorf("%s/%s has an unknown version %q: %w", inst.bin, program, out, err)
		}
	}
	return nil
}

func asError(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// command returns a command that runs one of the programs as acct. Its
// environment is small: PGDATA, PGPORT, locales and the like of the user are
// not meant for this server.
func (inst installation) command(acct account, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(inst.bin, program), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	paths := slices.DeleteFunc([]string{inst.libraryPath, os.Getenv("LD_LIBRARY_PATH")},
		func(p string) bool { return p == "" })
	if len(paths) > 0 {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+strings.Join(paths, ":"))
	}
	// The user's directory may be closed to acct.
	cmd.Dir = "/"
	cmd.SysProcAttr = acct.procAttr()
	return cmd
}
