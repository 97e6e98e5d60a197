//go:build unix

package pglocal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	runDirPrefix = "rowfence-pg-"
	socketSubdir = "s"
	socketPort   = "5432"
	// A socket's path has at most 107 bytes; MkdirTemp appends up to ten digits.
	maxTempDirLen = 107 - len("/"+runDirPrefix+"0123456789/"+socketSubdir+"/.s.PGSQL."+socketPort+".lock")
)

// relocationRoot holds the homes of root's servers whose data directory is
// closed to the user PostgreSQL runs as. A variable only for the tests.
var relocationRoot = "/var/lib/rowfence"

// An account is the user that PostgreSQL runs as.
type account struct {
	name     string
	uid, gid int
	other    bool // than the user of this process, which then is root
}

func defaultAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: userName(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return account{}, fmt.Errorf("looking up user %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return account{}, fmt.Errorf("looking up user %s: %w", name, err)
		}
		return account{name: name, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func (a account) procAttr() *syscall.SysProcAttr {
	attr := new(syscall.SysProcAttr)
	if a.other {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// own gives path to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("giving %s to user %s: %w", path, a.name, err)
	}
	return nil
}

// homeMode is the mode of a directory of ours in which the account has
// directories of its own.
func (a account) homeMode() os.FileMode {
	if a.other {
		return 0o711
	}
	return 0o700
}

// canEnter reports whether the account gets into dir. It asks the kernel
// rather than read modes, which would miss ACLs and mount options.
func (a account) canEnter(ctx context.Context, dir string) bool {
	if !a.other {
		return true
	}
	cmd := exec.Command("/bin/sh", "-c", `cd "$1"`, "sh", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = a.procAttr()
	_, err := output(ctx, cmd)
	return err == nil
}

// persistentHome returns the home for dataDir, created if missing, and the
// account to run as: the owner of the cluster if there is one.
func persistentHome(ctx context.Context, dataDir string, acct account, log *slog.Logger) (string, account, error) {
	if dataDir == "" {
		return "", acct, errors.New("no data directory given")
	}
	home, err := filepath.Abs(dataDir)
	if err != nil {
		return "", acct, fmt.Errorf("resolving the data directory: %w", err)
	}
	if err := os.MkdirAll(home, acct.homeMode()); err != nil {
		return "", acct, fmt.Errorf("creating the data directory: %w", err)
	}
	// One directory has one relocated home, whatever link leads to it.
	if home, err = filepath.EvalSymlinks(home); err != nil {
		return "", acct, fmt.Errorf("resolving the data directory: %w", err)
	}

	if info, err := os.Stat(filepath.Join(home, "data")); err == nil {
		return existingHome(ctx, home, info, acct)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", acct, fmt.Errorf("looking for a cluster: %w", err)
	}
	if !acct.other {
		return home, acct, nil
	}
	relocated := filepath.Join(relocationRoot, fmt.Sprintf("%x", sha256.Sum256([]byte(home)))[:16])
	info, err := os.Stat(filepath.Join(relocated, "data"))
	switch {
	case err == nil:
		// Also when the directory has become accessible since: its data is here.
		log.Info("PostgreSQL's data is kept elsewhere", "wanted", home, "kept", relocated)
		return existingHome(ctx, relocated, info, acct)
	case !errors.Is(err, fs.ErrNotExist):
		return "", acct, fmt.Errorf("looking for a cluster: %w", err)
	case acct.canEnter(ctx, home):
		return home, acct, nil
	}
	log.Info("PostgreSQL does not run as root, and its user can't enter the data directory: the data is kept elsewhere",
		"user", acct.name, "wanted", home, "kept", relocated)
	if err := os.MkdirAll(relocated, acct.homeMode()); err != nil {
		return "", acct, fmt.Errorf("creating the data directory: %w", err)
	}
	if !acct.canEnter(ctx, relocated) {
		return "", acct, fmt.Errorf("user %s can enter neither %s nor %s", acct.name, home, relocated)
	}
	return relocated, acct, nil
}

// existingHome returns a home that has a cluster. PostgreSQL runs as nobody
// but the owner of its data.
func existingHome(ctx context.Context, home string, data fs.FileInfo, acct account) (string, account, error) {
	owner, ok := data.Sys().(*syscall.Stat_t)
	if !ok {
		return "", acct, fmt.Errorf("the owner of the cluster in %s is unknown", home)
	}
	if uid := int(owner.Uid); uid != acct.uid {
		if !acct.other || uid == 0 {
			return "", acct, fmt.Errorf("the cluster in %s belongs to user %s: user %s can't run it", home, userName(uid), acct.name)
		}
		acct = account{name: userName(uid), uid: uid, gid: int(owner.Gid), other: true}
	}
	if !acct.canEnter(ctx, filepath.Join(home, "data")) {
		return "", acct, fmt.Errorf("the cluster in %s belongs to user %s, who can't enter that directory", home, acct.name)
	}
	return home, acct, nil
}

// lockHome takes the lock that says "a live process owns the server of this
// home". The kernel drops it with the process, however that ends. It guards
// what PostgreSQL's own postmaster.pid does not: initdb, and the time between
// the death of a process and the end of its server.
func lockHome(home string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another process runs a PostgreSQL on %s", home)
		}
		return nil, fmt.Errorf("locking %s: %w", home, err)
	}
	return f.Close, nil
}

// makeRunDir makes the temporary directory of one server: the directory of
// its socket, and the home of an ephemeral one.
func makeRunDir(ctx context.Context, acct account) (string, error) {
	var errs []error
	for _, base := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		dir, err := makeRunDirIn(ctx, base, acct)
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("creating a temporary directory: %w", errors.Join(errs...))
}

func makeRunDirIn(ctx context.Context, base string, acct account) (string, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	if len(base) > maxTempDirLen {
		return "", fmt.Errorf("%s is too long a path for a socket", base)
	}
	if strings.ContainsAny(base, `,"`) {
		return "", fmt.Errorf("%s can't stand in a list of socket directories", base)
	}
	removeAbandoned(base)
	dir, err := os.MkdirTemp(base, runDirPrefix)
	if err != nil {
		return "", err
	}
	sockets := filepath.Join(dir, socketSubdir)
	err = errors.Join(os.Chmod(dir, acct.homeMode()), os.Mkdir(sockets, 0o700), acct.own(sockets))
	if err == nil && !acct.canEnter(ctx, sockets) {
		err = fmt.Errorf("user %s can't enter %s", acct.name, base)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// removeAbandoned removes the run directories of processes that were killed.
// It is a courtesy: what it can't remove stays.
func removeAbandoned(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, runDirPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		// A young one may not have come to take its lock yet.
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
			continue
		}
		if unlock, err := lockHome(dir); err == nil {
			_ = os.RemoveAll(dir)
			_ = unlock()
		}
	}
}

// awaitOrphan deals with the postmaster.pid of an earlier server on data; the
// caller holds the home's lock.
func awaitOrphan(ctx context.Context, data string, log *slog.Logger) error {
	path := filepath.Join(data, "postmaster.pid")
	ctx, cancel := context.WithTimeout(ctx, orphanTimeout)
	defer cancel()
	for {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		first, rest, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || pid <= 0 {
			return nil // PostgreSQL explains it better
		}
		// A postmaster's working directory is its data directory. An error
		// means that the process is gone, or that this system has no /proc:
		// PostgreSQL deals with either.
		cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
		if err != nil {
			return nil
		}
		if cwd != data {
			// The id was given to another process since, and PostgreSQL
			// would take that for a live server. It knows that its parent is
			// none. The file's other lines stay: with them PostgreSQL checks
			// that no process of the old server is left.
			log.Info("PostgreSQL was not shut down cleanly: replacing a stale postmaster.pid", "pid", pid)
			if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"+rest), 0o600); err != nil {
				return fmt.Errorf("replacing a stale postmaster.pid: %w", err)
			}
			return nil
		}
		// Most likely the server of a process that was killed, on its way out.
		select {
		case <-ctx.Done():
			return fmt.Errorf("another PostgreSQL (process %d) runs on %s", pid, data)
		case <-time.After(pollInterval):
		}
	}
}
