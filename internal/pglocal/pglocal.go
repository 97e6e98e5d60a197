//go:build unix

// Package pglocal runs a private PostgreSQL from the binaries of the machine:
// an ephemeral one for tests, a persistent one for a demo or a development
// server.
//
// A server listens on a Unix socket only, in a directory that is open to the
// user PostgreSQL runs as (and to root), and trusts whoever reaches the
// socket. PostgreSQL refuses to run as root: started by root, it runs as the
// user postgres, or nobody where that does not exist.
//
// A home directory (Options.DataDir, or a temporary one) holds
//
//	data/         the cluster
//	lock          locked by the process that owns the server
//	postgres.log  the server's log since its last start; the one before is postgres.log.1
//
// A server does not outlive the process that started it: on Linux the kernel
// signals it when that process dies, however it dies. See launch.
package pglocal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	superuser = "rowfence"
	database  = "rowfence"

	// How long a fast shutdown may take (it writes a checkpoint) before it
	// becomes an immediate one, which loses nothing but needs recovery.
	shutdownTimeout = 2 * time.Minute
	// How long to wait for the server of a process that was killed.
	orphanTimeout = 30 * time.Second
	pollInterval  = 10 * time.Millisecond
)

// Options says which server to start.
type Options struct {
	// DataDir is a directory of the server's own, kept from run to run and
	// created if missing. It is not used by an ephemeral server.
	DataDir string
	// Ephemeral asks for a server in a temporary directory that trades
	// durability for speed and is removed on Close.
	Ephemeral bool
	// Log receives a few lines on where the server runs. Nil discards them.
	Log *slog.Logger
}

// A Server is a running PostgreSQL.
type Server struct {
	url      string
	home     string
	process  *process
	stop     syscall.Signal
	cleanup  func() error
	once     sync.Once
	closeErr error
}

// URL returns the server's address as a postgres:// URL that pgx, psql and
// other libpq programs accept: superuser and database rowfence.
func (s *Server) URL() string { return s.url }

// Home returns the directory that holds the server's data, which is not
// Options.DataDir where PostgreSQL's user can't enter that.
func (s *Server) Home() string { return s.home }

// Close shuts the server down, waits for its end, and removes what was
// temporary. Open connections are cut off. Further calls return the result of
// the first.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.closeErr = errors.Join(s.process.shutdown(s.stop), s.cleanup())
	})
	return s.closeErr
}

// Start starts a server and waits until it accepts connections. ctx bounds
// the start only: the server runs until Close, or until this process ends.
//
// A persistent server finds the data of earlier runs. An existing cluster is
// never initialised again: where it can't be used (another server runs on it,
// another user owns it, its PostgreSQL is not installed), Start says so.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// A stack of what has to be undone, also when the start fails.
	var undo []func() error
	cleanup := func() error {
		var errs []error
		for i := len(undo) - 1; i >= 0; i-- {
			errs = append(errs, undo[i]())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("starting the private PostgreSQL: %w", errors.Join(err, cleanup()))
		}
	}()

	acct, err := defaultAccount()
	if err != nil {
		return nil, err
	}
	var home string
	if !opts.Ephemeral {
		if home, acct, err = persistentHome(ctx, opts.DataDir, acct, log); err != nil {
			return nil, err
		}
		unlock, err := lockHome(home)
		if err != nil {
			return nil, err
		}
		undo = append(undo, unlock)
	}
	runDir, err := makeRunDir(ctx, acct)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() error { return os.RemoveAll(runDir) })
	unlock, err := lockHome(runDir)
	if err != nil {
		return nil, err
	}
	undo = append(undo, unlock)
	if opts.Ephemeral {
		home = runDir
	}

	data := filepath.Join(home, "data")
	major, err := clusterVersion(data)
	if err != nil {
		return nil, err
	}
	inst, err := findInstallation(ctx, acct, major)
	if err != nil {
		return nil, err
	}
	if major == 0 {
		if err := initCluster(ctx, inst, acct, data, opts.Ephemeral); err != nil {
			return nil, err
		}
	} else if err := awaitOrphan(ctx, data, log); err != nil {
		return nil, err
	}

	stop := syscall.SIGINT // fast shutdown
	if opts.Ephemeral {
		stop = syscall.SIGQUIT // immediate: nobody needs the checkpoint
	}
	socketDir := filepath.Join(runDir, socketSubdir)
	logPath := filepath.Join(home, "postgres.log")
	proc, err := startPostgres(inst, acct, data, socketDir, logPath, opts.Ephemeral, stop)
	if err != nil {
		return nil, err
	}
	if err := ensureDatabase(ctx, proc, socketDir); err != nil {
		err = fmt.Errorf("%w%s", err, logTail(logPath))
		return nil, errors.Join(err, proc.shutdown(stop))
	}
	log.Debug("private PostgreSQL is ready", "version", inst.version, "binaries", inst.bin, "data", data, "user", acct.name, "pid", proc.pid())
	return &Server{url: serverURL(socketDir, database), home: home, process: proc, stop: stop, cleanup: cleanup}, nil
}

// clusterVersion returns the major version of the cluster in dir, or 0 if
// there is none yet.
func clusterVersion(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); err == nil {
			// initCluster renames a complete cluster into place, so
			// whatever this is, it is not ours to overwrite.
			return 0, fmt.Errorf("%s exists but holds no PostgreSQL cluster", dir)
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the cluster's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the cluster's version: %s/PG_VERSION: %w", dir, err)
	}
	return major, nil
}

// initCluster makes a cluster in data. It is built elsewhere and renamed, so
// that data is never half a cluster.
func initCluster(ctx context.Context, inst installation, acct account, data string, ephemeral bool) error {
	building := data + ".init"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	if err := os.Mkdir(building, 0o700); err != nil {
		return fmt.Errorf("creating the cluster's directory: %w", err)
	}
	if err := acct.own(building); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + building, "--username=" + superuser,
		"--auth-local=trust", "--auth-host=reject",
		"--encoding=UTF8", "--locale=C.UTF-8",
	}
	if inst.major >= 15 {
		// A default collation that is not byte order, as most production
		// databases have: what relies on byte order must ask for it.
		args = append(args, "--locale-provider=icu", "--icu-locale=und")
	}
	if ephemeral {
		args = append(args, "--no-sync")
	}
	cmd := inst.command(acct, "initdb", args...)
	if out, err := output(ctx, cmd); err != nil {
		return errors.Join(fmt.Errorf("initialising the cluster with %s: %w\n%s", cmd.Path, err, out), os.RemoveAll(building))
	}
	if err := os.Rename(building, data); err != nil {
		return fmt.Errorf("moving the new cluster into place: %w", err)
	}
	if ephemeral {
		return nil
	}
	return syncDir(filepath.Dir(data))
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

func startPostgres(inst installation, acct account, data, socketDir, logPath string, ephemeral bool, onParentDeath syscall.Signal) (*process, error) {
	settings := []string{
		"listen_addresses=",
		// A list, whose elements may be quoted.
		`unix_socket_directories="` + socketDir + `"`,
		"unix_socket_permissions=0700",
		"max_connections=50",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_destination=stderr",
		"logging_collector=off",
		"log_line_prefix=%m [%p] ",
		// Fetched binaries come without LLVM, and plans that depend on
		// whether it is there help nobody.
		"jit=off",
	}
	if ephemeral {
		settings = append(settings, "shared_buffers=128MB", "fsync=off", "synchronous_commit=off",
			"full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")
	} else {
		settings = append(settings, "shared_buffers=512MB", "fsync=on", "synchronous_commit=on",
			"full_page_writes=on", "max_wal_size=2GB")
	}
	args := []string{"-D", data}
	for _, s := range settings {
		args = append(args, "-c", s)
	}

	if err := os.Rename(logPath, logPath+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("rotating the log: %w", err)
	}
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	defer logFile.Close() // PostgreSQL has its own descriptor

	cmd := inst.command(acct, "postgres", args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// A group of its own: Ctrl-C in a terminal is for the parent, which
	// decides when to shut the server down.
	cmd.SysProcAttr.Setpgid = true
	signalOnParentDeath(cmd.SysProcAttr, onParentDeath)
	return launch(cmd)
}

// ensureDatabase waits until the server answers, and creates the database in
// a new cluster.
func ensureDatabase(ctx context.Context, proc *process, socketDir string) error {
	conn, err := connect(ctx, proc, serverURL(socketDir, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("creating database %s: %w", database, err)
	}
	return nil
}

func connect(ctx context.Context, proc *process, url string) (*pgx.Conn, error) {
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn, nil
		}
		// 57P03: starting up, or recovering, which may take its time.
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code != "57P03" {
			return nil, fmt.Errorf("connecting: %w", err)
		}
		select {
		case <-proc.exited:
			return nil, fmt.Errorf("postgres ended: %s", proc.state())
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for postgres: %w", context.Cause(ctx))
		case <-time.After(pollInterval):
		}
	}
}

func serverURL(socketDir, database string) string {
	// Everything is explicit, so that PGPORT and the like change nothing.
	query := url.Values{"host": {socketDir}, "port": {socketPort}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: query.Encode()}
	return u.String()
}

// logTail returns the end of the server's log, to be appended to an error.
func logTail(path string) string {
	const maxBytes = 2000
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxBytes {
		if _, err := f.Seek(-maxBytes, io.SeekEnd); err != nil {
			return ""
		}
	}
	tail, err := io.ReadAll(f)
	if err != nil || len(tail) == 0 {
		return ""
	}
	return fmt.Sprintf("\nend of %s:\n%s", path, strings.TrimSpace(string(tail)))
}

// output runs cmd to its end, or kills it when ctx ends.
func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	signalOnParentDeath(cmd.SysProcAttr, syscall.SIGKILL)
	proc, err := launch(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-proc.exited:
	case <-ctx.Done():
		proc.kill()
		<-proc.exited
		return strings.TrimSpace(out.String()), context.Cause(ctx)
	}
	return strings.TrimSpace(out.String()), proc.err
}
