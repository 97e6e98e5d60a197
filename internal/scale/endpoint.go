package scale

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/policies"
)

// Clients is how many clients ask the endpoint at once.
const Clients = 16

// An Endpoint is what was measured of requests for a page of 25 rows and the count
// that stops, by one subject.
type Endpoint struct {
	Subject   string  `json:"subject"`
	PerSecond float64 `json:"requests_per_second"`
	Median    float64 `json:"p50_ms"`
	High      float64 `json:"p99_ms"`
	// What processors did meanwhile, in milliseconds a request.
	Server   float64 `json:"server_cpu_ms"`
	Database float64 `json:"database_cpu_ms"`
	Client   float64 `json:"client_cpu_ms"`
	// Load is the machine's.
	Load string `json:"load"`
}

// Endpoint starts the server's handler and has it asked with each subject's token. client is the command of a process of its own that does what [Ask] does, so
// that its work is not the server's. The server's profile of the processor, of all
// subjects, is written to a file.
func (d *Database) Endpoint(ctx context.Context, client func(url, token string) *exec.Cmd, profile string) (all []Endpoint, err error) {
	engine, err := rowfence.New(ctx, rowfence.Config{Policies: policies.FS, Schema: policies.Schema(), Query: policies.Entrypoint})
	if err != nil {
		return nil, err
	}
	store := postgres.NewDB(d.pool)
	key, err := store.Key(ctx, "cursors")
	if err != nil {
		return nil, err
	}
	cursors, err := auditquery.NewCursors(key)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil)) // what is logged costs what it does
	server := httpapi.NewHTTPServer(httpapi.New(httpapi.Config{Store: store, Authorizer: engine, Cursors: cursors, Log: log, Decider: engine}), log)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = server.Serve(listener) }()
	defer func() { err = errors.Join(err, server.Close()) }()
	url := "http://" + listener.Addr().String() + "/api/v2/audit?limit=" + strconv.Itoa(pageRows)
	out, err := os.Create(profile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return nil, err
	}
	defer pprof.StopCPUProfile()
	for _, who := range d.Subjects {
		of, err := d.ask(ctx, who, client(url, who.Token))
		if err != nil {
			return nil, fmt.Errorf("asking as %s: %w", who.Name, err)
		}
		all = append(all, of)
	}
	return all, nil
}

func (d *Database) ask(ctx context.Context, who Subject, client *exec.Cmd) (Endpoint, error) {
	of := Endpoint{Subject: who.Name}
	serverBefore, databaseBefore, err := d.used(ctx)
	if err != nil {
		return of, err
	}
	client.Stderr = os.Stderr
	text, err := client.Output()
	if err != nil {
		return of, err
	}
	var n float64 // of all answers, also those that do not count
	if _, err := fmt.Sscan(string(text), &n, &of.PerSecond, &of.Median, &of.High); err != nil {
		return of, fmt.Errorf("reading what the clients saw: %w", err)
	}
	serverAfter, databaseAfter, err := d.used(ctx)
	if err != nil {
		return of, err
	}
	of.Server, of.Database = milliseconds(serverAfter-serverBefore)/n, milliseconds(databaseAfter-databaseBefore)/n
	of.Client = milliseconds(client.ProcessState.UserTime()+client.ProcessState.SystemTime()) / n
	of.Load = load()
	return of, nil
}

// used is how long processors have worked for this process, and for PostgreSQL's
// backends that there are; 0 where the system does not tell.
func (d *Database) used(ctx context.Context) (server, database time.Duration, err error) {
	if runtime.GOOS != "linux" {
		return 0, 0, nil
	}
	if server, err = ticks("self"); err != nil {
		return 0, 0, err
	}
	rows, err := d.pool.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('client backend', 'parallel worker')")
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			return 0, 0, err
		}
		of, err := ticks(strconv.Itoa(pid))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, 0, err
		}
		database += of
	}
	return server, database, rows.Err()
}

// ticks is the processor time of a process, of which Linux counts hundredths of a
// second.
func ticks(pid string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0, err
	}
	// The second field is a name in brackets, which may have spaces.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading the times of process %s", pid)
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, fmt.Errorf("reading the times of process %s: %w", pid, err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum, nil
}

// Ask asks the URL with as many clients as there are, for as long, and writes the
// number of all answers, those of a second, and the median and 99th percentile of their
// times in milliseconds. Neither those of a first second count for these, nor those that
// come too late.
func Ask(ctx context.Context, url, token string, lasting time.Duration, w io.Writer) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: Clients}}
	const warm = time.Second
	start := time.Now()
	end := start.Add(warm + lasting)
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	answers := 0
	var clients sync.WaitGroup
	for range Clients {
		clients.Go(func() {
			var times []time.Duration
			var err error
			n := 0
			// The last request of each is answered: of one that is given up the server closes
			// the connections to PostgreSQL, and what those took is not known any more.
			for asked := start; err == nil && asked.Before(end); {
				asked = time.Now()
				err = get(ctx, client, url, token)
				n++
				if took := time.Since(asked); err == nil && asked.After(start.Add(warm)) && time.Now().Before(end) {
					times = append(times, took)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all, answers = append(all, times...), answers+n
			if err != nil {
				failed = err
			}
		})
	}
	clients.Wait()
	if failed != nil || len(all) == 0 {
		return fmt.Errorf("%d answers: %w", len(all), failed)
	}
	slices.Sort(all)
	at := func(f float64) float64 { return milliseconds(all[min(int(f*float64(len(all))), len(all)-1)]) }
	_, err := fmt.Fprintln(w, answers, float64(len(all))/lasting.Seconds(), at(0.5), at(0.99))
	return err
}

func get(ctx context.Context, client *http.Client, url, token string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Coder-Session-Token", token)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}

// PrintEndpoint writes the table of the endpoint, and where the server's time goes.
func PrintEndpoint(w io.Writer, all []Endpoint, profile string) error {
	fmt.Fprintf(w, "\n**The endpoint**, %d clients, a page of %d rows and the capped count\n\n", Clients, pageRows)
	fmt.Fprintln(w, "| subject | requests/s | p50 | p99 | processor time a request: server | PostgreSQL | client |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, e := range all {
		fmt.Fprintf(w, "| %s | %.0f | %s ms | %s ms | %s ms | %s ms | %s ms |\n", e.Subject, e.PerSecond, short(e.Median), short(e.High),
			short(e.Server), short(e.Database), short(e.Client))
	}
	top, err := exec.Command("go", "tool", "pprof", "-top", "-cum", "-nodecount=40", profile).Output()
	if err != nil {
		return fmt.Errorf("reading the profile: %w", err)
	}
	fmt.Fprintln(w)
	lines := bufio.NewScanner(strings.NewReader(string(top)))
	for lines.Scan() {
		fmt.Fprintln(w, "   ", lines.Text())
	}
	return lines.Err()
}
