//go:build unix

package pglocal

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// childEnv makes the test binary a program that starts a server on the
// directory it names, prints the URL, and does nothing until it is killed.
const childEnv = "PGLOCAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(childEnv); ok {
		s, err := Start(context.Background(), Options{DataDir: dir, Ephemeral: dir == ""})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		select {}
	}
	os.Exit(m.Run())
}

// sharedDir is t.TempDir in a place that any user can enter: the one of a
// root whose TMPDIR is private would put the data elsewhere.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pglocal-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

func startOn(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// createKept makes the table that later servers on the same data must have.
func createKept(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS n")
	require.NoError(t, err)
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err)
	return v
}

func socketDirOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Query().Get("host")
}

func TestEphemeral(t *testing.T) {
	t.Parallel()
	s := startOn(t, Options{Ephemeral: true})
	require.Equal(t, "rowfence", query[string](t, s.URL(), "SELECT current_database()"))
	require.Equal(t, "rowfence", query[string](t, s.URL(), "SELECT current_user"))
	require.Equal(t, "UTF8", query[string](t, s.URL(), "SHOW server_encoding"))
	require.Equal(t, "off", query[string](t, s.URL(), "SHOW fsync"))
	require.Empty(t, query[string](t, s.URL(), "SHOW listen_addresses"))
	if query[bool](t, s.URL(), "SELECT current_setting('server_version_num')::int >= 150000") {
		require.True(t, query[bool](t, s.URL(), "SELECT 'a' < 'B'"), "the default collation is byte order")
	}

	sockets := socketDirOf(t, s.URL())
	info, err := os.Stat(sockets)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())

	require.NoError(t, s.Close())
	require.NoDirExists(t, filepath.Dir(sockets))
	_, err = pgx.Connect(t.Context(), s.URL())
	require.Error(t, err)
	require.NoError(t, s.Close(), "a second Close")
}

func TestPersistent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(sharedDir(t), "new", "data dir, with \"odd\" characters")
	s, err := Start(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	require.Equal(t, "on", query[string](t, s.URL(), "SHOW fsync"))
	createKept(t, s.URL())

	_, err = Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "another process runs a PostgreSQL on "+dir)
	require.Equal(t, 42, query[int](t, s.URL(), "SELECT n FROM kept"), "the refused start disturbed the server")

	require.NoError(t, s.Close())
	s = startOn(t, Options{DataDir: dir})
	require.Equal(t, 42, query[int](t, s.URL(), "SELECT n FROM kept"))
}

// A crash leaves a postmaster.pid, and its process id may be another
// process's by now.
func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t)
	s, err := Start(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	createKept(t, s.URL())
	pidFile := filepath.Join(dir, "data", "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	info, err := os.Stat(pidFile)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	// A live process of the user that PostgreSQL runs as.
	acct, err := defaultAccount()
	require.NoError(t, err)
	sleeper := exec.Command("sleep", "600")
	sleeper.Dir = "/"
	sleeper.SysProcAttr = acct.procAttr()
	require.NoError(t, sleeper.Start())
	t.Cleanup(func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	})
	_, rest, _ := strings.Cut(string(text), "\n")
	require.NoError(t, os.WriteFile(pidFile, []byte(strconv.Itoa(sleeper.Process.Pid)+"\n"+rest), 0o600))
	require.NoError(t, acct.own(pidFile))
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	if runtime.GOOS != "linux" {
		_, err := Start(t.Context(), Options{DataDir: dir})
		require.ErrorContains(t, err, "lock file")
		return
	}
	s = startOn(t, Options{DataDir: dir})
	require.Equal(t, 42, query[int](t, s.URL(), "SELECT n FROM kept"))
}

func startChild(t *testing.T, tmp, dataDir string) (child *exec.Cmd, url string) {
	t.Helper()
	child = exec.Command(os.Args[0])
	// Killed, it leaves its temporary directory.
	child.Env = append(os.Environ(), childEnv+"="+dataDir, "TMPDIR="+tmp)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	url, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return child, strings.TrimSpace(url)
}

func TestKilledParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Log("no parent death signal on " + runtime.GOOS)
		return
	}
	dir := sharedDir(t)
	child, url := startChild(t, sharedDir(t), dir)
	createKept(t, url)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()

	// Not only once the old server is gone: Start waits for that.
	s := startOn(t, Options{DataDir: dir})
	require.Equal(t, 42, query[int](t, s.URL(), "SELECT n FROM kept"))
	_, err := pgx.Connect(t.Context(), url)
	require.Error(t, err, "the server of the killed process still runs")
}

func TestKilledParentEphemeral(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("no parent death signal on " + runtime.GOOS)
		return
	}
	tmp := sharedDir(t)
	t.Setenv("TMPDIR", tmp)
	child, url := startChild(t, tmp, "")
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	require.Eventually(t, func() bool {
		_, err := pgx.Connect(t.Context(), url)
		return err != nil
	}, 10*time.Second, 10*time.Millisecond)

	// The next server takes the remains away, if they are old enough.
	abandoned := filepath.Dir(socketDirOf(t, url))
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(abandoned, past, past))
	s := startOn(t, Options{Ephemeral: true})
	require.NoDirExists(t, abandoned)

	// But not a live one's.
	require.NoError(t, os.Chtimes(filepath.Dir(socketDirOf(t, s.URL())), past, past))
	startOn(t, Options{Ephemeral: true})
	require.Equal(t, 1, query[int](t, s.URL(), "SELECT 1"))
}

func TestUnusableData(t *testing.T) {
	t.Parallel()
	major := func(t *testing.T, dir, version string) {
		t.Helper()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte(version), 0o644))
		acct, err := defaultAccount()
		require.NoError(t, err)
		require.NoError(t, acct.own(filepath.Join(dir, "data")))
	}
	for _, c := range []struct {
		name, want string
		setup      func(t *testing.T, dir string)
	}{
		{"another version", "the data needs PostgreSQL 9, which was not found", func(t *testing.T, dir string) { major(t, dir, "9\n") }},
		{"no version", "PG_VERSION", func(t *testing.T, dir string) { major(t, dir, "\n") }},
		{"a file", "holds no PostgreSQL cluster", func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
			acct, err := defaultAccount()
			require.NoError(t, err)
			require.NoError(t, acct.own(filepath.Join(dir, "data")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := sharedDir(t)
			c.setup(t, dir)
			_, err := Start(t.Context(), Options{DataDir: dir})
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Start(t.Context(), Options{})
	require.ErrorContains(t, err, "no data directory given")
}

// The end of the server's log says why it did not start.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	dir := sharedDir(t)
	s, err := Start(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "postgresql.conf"), []byte("no_such_setting = 1\n"), 0o600))
	_, err = Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "no_such_setting")
}

func TestStartIsCancelled(t *testing.T) {
	tmp := sharedDir(t)
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, Options{Ephemeral: true})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestOddTempDir(t *testing.T) {
	acct, err := defaultAccount()
	require.NoError(t, err)
	tmp := sharedDir(t)
	for name, dir := range map[string]string{
		"missing": filepath.Join(tmp, "missing"),
		"long":    filepath.Join(tmp, strings.Repeat("x", 90)),
		"comma":   filepath.Join(tmp, "a,b"),
		"private": filepath.Join(tmp, "private"),
	} {
		t.Run(name, func(t *testing.T) {
			if name != "missing" {
				require.NoError(t, os.Mkdir(dir, 0o700))
			}
			t.Setenv("TMPDIR", dir)
			runDir, err := makeRunDir(t.Context(), acct)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, os.RemoveAll(runDir)) })
			if name == "private" && !acct.other {
				require.Equal(t, dir, filepath.Dir(runDir))
				return
			}
			require.Equal(t, "/tmp", filepath.Dir(runDir))
		})
	}
}

// The environment of a user of PostgreSQL is not the private server's.
func TestEnvironment(t *testing.T) {
	for k, v := range map[string]string{"PGPORT": "1", "PGHOST": "nowhere", "PGDATA": "/nonexistent", "PGUSER": "x", "PGDATABASE": "x", "LC_ALL": "xx_XX"} {
		t.Setenv(k, v)
	}
	s := startOn(t, Options{Ephemeral: true})
	require.Equal(t, 1, query[int](t, s.URL(), "SELECT 1"))
}

func TestRelocation(t *testing.T) {
	acct, err := defaultAccount()
	require.NoError(t, err)
	if !acct.other {
		t.Log("only root's servers are relocated")
		return
	}
	previous := relocationRoot
	relocationRoot = filepath.Join(sharedDir(t), "lib")
	t.Cleanup(func() { relocationRoot = previous })

	private := sharedDir(t)
	require.NoError(t, os.Chmod(private, 0o700))
	dir := filepath.Join(private, "clone")
	var log bytes.Buffer
	opts := Options{DataDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}
	s, err := Start(t.Context(), opts)
	require.NoError(t, err)
	createKept(t, s.URL())
	require.NoError(t, s.Close())
	require.NoDirExists(t, filepath.Join(dir, "data"))
	require.Contains(t, log.String(), relocationRoot)
	require.Contains(t, log.String(), dir)

	// Opened up later, the directory must not hide the data.
	require.NoError(t, os.Chmod(private, 0o755))
	s = startOn(t, opts)
	require.Equal(t, 42, query[int](t, s.URL(), "SELECT n FROM kept"))
}
