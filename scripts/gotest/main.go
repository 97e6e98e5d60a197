// Command gotest runs go test with the given arguments and ends with a count:
//
//	ok  	github.com/rowfence/rowfence/sqlgen	1.207s
//	412 passed, 0 failed, 0 skipped in 9 packages
//
// The arguments of several runs, such as of several modules, are divided by --; those
// of a run may begin with -C and the directory of its module:
//
//	gotest ./... -- -C peer ./...
//
// It prints each package's own result line as go test does, and the output of
// the tests that failed. It exits with 1 if a test, a build or a package
// failed, and if no test ran.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	s := newSummary(os.Stdout)
	failed := false
	for _, args := range divide(os.Args[1:]) {
		if err := run(s, args); err != nil {
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				fmt.Fprintln(os.Stderr, "gotest:", err)
			}
			failed = true
		}
	}
	if ok := s.finish(); !ok || failed {
		os.Exit(1)
	}
}

// divide is the arguments of each run.
func divide(args []string) [][]string {
	at := slices.Index(args, "--")
	if at < 0 {
		return [][]string{args}
	}
	return append([][]string{args[:at]}, divide(args[at+1:])...)
}

func run(s *summary, args []string) error {
	dir := ""
	if len(args) > 1 && args[0] == "-C" {
		dir, args = args[1], args[2:]
	}
	// go's own limit of ten minutes is for a machine that does nothing else
	cmd := exec.Command("go", append([]string{"test", "-json", "-timeout", "30m"}, args...)...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("running go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running go test: %w", err)
	}
	// Ctrl-C reaches go test too, a kill does not. Wait for its end either way.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for sig := range signals {
			if sig == syscall.SIGTERM {
				_ = cmd.Process.Signal(sig)
			}
		}
	}()
	readErr := s.read(out)
	return errors.Join(readErr, cmd.Wait())
}

// An event is a line of go test -json (see go doc test2json).
type event struct {
	Action, Package, Test, ImportPath, Output string
}

type summary struct {
	w                       io.Writer
	passed, failed, skipped int
	packages                map[string]string // result: "", pass, fail or skip
	output                  map[[2]string][]string
	failures                []string
}

func newSummary(w io.Writer) *summary {
	return &summary{w: w, packages: map[string]string{}, output: map[[2]string][]string{}}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				s.add(e)
			} else {
				fmt.Fprintf(s.w, "%s", line) // not an event: a message of go itself
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the output of go test: %w", err)
		}
	}
}

func (s *summary) add(e event) {
	key := [2]string{e.Package, e.Test}
	switch {
	case e.ImportPath != "": // of a build
		fmt.Fprint(s.w, e.Output)
	case e.Test == "":
		s.addPackage(e, key)
	case e.Action == "output":
		s.output[key] = append(s.output[key], e.Output)
	case e.Action == "pass":
		s.passed++
		delete(s.output, key)
	case e.Action == "skip":
		s.skipped++
		delete(s.output, key)
	case e.Action == "fail":
		s.failed++
		s.failures = append(s.failures, e.Package+" "+e.Test)
		fmt.Fprint(s.w, strings.Join(s.output[key], ""))
		delete(s.output, key)
	}
}

func (s *summary) addPackage(e event, key [2]string) {
	switch e.Action {
	case "start":
		s.packages[e.Package] = ""
	case "output":
		if result, _, ok := strings.Cut(e.Output, "\t"); ok && slices.Contains([]string{"ok  ", "FAIL", "?   "}, result) {
			fmt.Fprint(s.w, e.Output)
			return
		}
		// What is outside of every test matters if the package fails: a
		// panic, a data race, TestMain.
		s.output[key] = append(s.output[key], e.Output)
	case "pass", "skip":
		s.packages[e.Package] = e.Action
	case "fail":
		s.packages[e.Package] = e.Action
		fmt.Fprint(s.w, strings.Join(s.output[key], ""))
		// A test that the end of the process cut off has no result.
		for k, lines := range s.output {
			if k[0] == e.Package && k[1] != "" {
				fmt.Fprint(s.w, strings.Join(lines, ""))
			}
		}
	}
}

// finish prints the count, and reports whether all is well.
func (s *summary) finish() bool {
	tested, ok := 0, s.failed == 0
	for pkg, result := range s.packages {
		switch result {
		case "pass":
			tested++
		case "skip": // no test files
		default:
			tested++
			ok = false
			if !slices.ContainsFunc(s.failures, func(f string) bool { return strings.HasPrefix(f, pkg+" ") }) {
				s.failures = append(s.failures, pkg)
			}
		}
	}
	if s.passed+s.failed == 0 {
		fmt.Fprintln(s.w, "no test ran")
		ok = false
	}
	slices.Sort(s.failures)
	for _, f := range s.failures {
		fmt.Fprintln(s.w, "failed:", f)
	}
	fmt.Fprintf(s.w, "%d passed, %d failed, %d skipped in %d packages\n", s.passed, max(s.failed, len(s.failures)), s.skipped, tested)
	return ok
}
