// Package pgtest gives tests databases on a real PostgreSQL: one private
// server for the test binary, started when the first test asks for it, and a
// fresh, empty database for each call.
//
//	func TestMain(m *testing.M) { pgtest.Run(m) }
//
//	func TestSearch(t *testing.T) {
//		db := pgtest.New(t)
//		…
//	}
//
// The databases' default collation is not byte order, where PostgreSQL can
// have one (15 and later).
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/internal/pglocal"
)

// A cluster is the server of this test binary.
type cluster struct {
	server *pglocal.Server
	admin  *pgxpool.Pool
}

var (
	running   atomic.Bool // inside Run
	started   atomic.Bool
	databases atomic.Int64

	shared = sync.OnceValues(start)
)

func start() (*cluster, error) {
	started.Store(true)
	if !running.Load() {
		return nil, errors.New("pgtest: nothing would stop PostgreSQL: call pgtest.Run from TestMain")
	}
	ctx := context.Background()
	server, err := pglocal.Start(ctx, pglocal.Options{Ephemeral: true})
	if err != nil {
		return nil, err
	}
	admin, err := pgxpool.New(ctx, server.URL())
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return &cluster{server: server, admin: admin}, nil
}

// Run runs the tests, stops the server if one was started, and exits with the
// tests' code.
func Run(m *testing.M) { os.Exit(Code(m)) }

// Code is Run for a TestMain that has more to do before it exits: it returns the
// tests' code.
func Code(m interface{ Run() int }) int {
	running.Store(true)
	code := m.Run()
	if started.Load() {
		if c, err := shared(); err == nil {
			c.admin.Close()
			if err := c.server.Close(); err != nil {
				fmt.Fprintln(os.Stderr, "pgtest:", err)
				code = max(code, 1)
			}
		}
	}
	return code
}

// New returns connections to a fresh database, which is dropped when the test
// ends. It fails the test if there is no PostgreSQL.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), URL(t))
	if err != nil {
		t.Fatalf("pgtest: connecting: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// URL is New for programs that connect by themselves.
func URL(t testing.TB) string {
	t.Helper()
	name, address, err := create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(name); err != nil {
			t.Error(err)
		}
	})
	return address
}

// MustURL is URL for an Example, which has no t: it panics on errors, and the
// database lives as long as the server.
func MustURL() string {
	_, address, err := create()
	if err != nil {
		panic(err)
	}
	return address
}

func create() (name, address string, err error) {
	c, err := shared()
	if err != nil {
		return "", "", err
	}
	name = fmt.Sprintf("test_%d", databases.Add(1))
	if _, err := c.admin.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		return "", "", fmt.Errorf("pgtest: creating database %s: %w", name, err)
	}
	u, err := url.Parse(c.server.URL())
	if err != nil {
		return "", "", fmt.Errorf("pgtest: parsing the server's URL: %w", err)
	}
	u.Path = "/" + name
	return name, u.String(), nil
}

func drop(name string) error {
	c, err := shared()
	if err != nil {
		return err
	}
	// FORCE: a test that left a connection open has no bearing on the others.
	if _, err := c.admin.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("pgtest: dropping database %s: %w", name, err)
	}
	return nil
}
