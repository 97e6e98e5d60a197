// Scale measures the server's searches on a large log: see package internal/scale.
//
//	go run ./scripts/scale -rows 10000000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rowfence/rowfence/internal/pglocal"
	"github.com/rowfence/rowfence/internal/scale"
)

// options are the command line's.
type options struct {
	rows, against      int
	dir, subject, only string
	limits             scale.Limits
	endpoint           time.Duration
	ask, token         string
}

func main() {
	var o options
	flag.IntVar(&o.rows, "rows", 10_000_000, "audit logs")
	flag.IntVar(&o.against, "against", 1_000_000, "audit logs of an earlier run, to tell how times grow")
	flag.StringVar(&o.dir, "dir", ".rowfence", "where databases and results are kept")
	flag.StringVar(&o.subject, "subject", "", "only subjects whose name contains it")
	flag.StringVar(&o.only, "search", "", "only searches whose name contains it")
	flag.DurationVar(&o.limits.Cap, "cap", 10*time.Second, "how long a statement may take")
	flag.DurationVar(&o.limits.FixedCap, "fixed-cap", 20*time.Second, "how long the statement with fixed conditions may take")
	flag.DurationVar(&o.limits.Budget, "budget", 300*time.Millisecond, "how long each way is measured for")
	flag.IntVar(&o.limits.Times, "times", 100, "how many times at most")
	flag.DurationVar(&o.endpoint, "endpoint", 10*time.Second, "how long the endpoint is asked by each subject; 0 is not at all")
	flag.StringVar(&o.ask, "ask", "", "be the clients of the endpoint at this URL, and nothing else")
	flag.StringVar(&o.token, "token", "", "with -ask: of the session")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	doing := run
	if o.ask != "" {
		doing = func(ctx context.Context, o options) error {
			return scale.Ask(ctx, o.ask, o.token, o.endpoint, os.Stdout)
		}
	}
	err := doing(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (o options) path(rows int, suffix string) string {
	return filepath.Join(o.dir, "scale-"+strconv.Itoa(rows)+suffix)
}

// clients are the command of the endpoint's clients: this program.
func (o options) clients(ctx context.Context, program string) func(url, token string) *exec.Cmd {
	return func(url, token string) *exec.Cmd {
		return exec.CommandContext(ctx, program, "-ask", url, "-token", token, "-endpoint", o.endpoint.String())
	}
}

func run(ctx context.Context, o options) (err error) {
	server, err := pglocal.Start(ctx, pglocal.Options{DataDir: o.path(o.rows, "")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	database, err := scale.Open(ctx, server.URL(), o.rows, os.Stderr)
	if err != nil {
		return err
	}
	defer database.Close()
	wanted := func(subject, search string) bool {
		return strings.Contains(subject, o.subject) && strings.Contains(search, o.only)
	}
	result, err := database.Measure(ctx, o.limits, wanted, os.Stderr)
	if err != nil {
		return err
	}
	result.Print(os.Stdout)
	result.Judge(os.Stdout)
	if o.endpoint > 0 {
		profile := o.path(o.rows, ".prof")
		program, err := os.Executable()
		if err != nil {
			return err
		}
		if result.Endpoint, err = database.Endpoint(ctx, o.clients(ctx, program), profile); err != nil {
			return err
		}
		if err := scale.PrintEndpoint(os.Stdout, result.Endpoint, profile); err != nil {
			return err
		}
	}
	if o.subject == "" && o.only == "" {
		if err := result.Save(o.path(o.rows, ".json")); err != nil {
			return err
		}
	}
	before, err := scale.Read(o.path(o.against, ".json"))
	if o.against == o.rows || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	result.Grow(os.Stdout, before)
	return nil
}
