package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence/internal/demo"
	"github.com/rowfence/rowfence/internal/postgres"
)

// demoSeed makes the demo data the same everywhere.
const demoSeed = 1

// loadDemo fills an empty database with demo data, and writes the tokens of its
// people to the data directory.
func (m *Main) loadDemo(ctx context.Context, pool *pgxpool.Pool) error {
	if m.config.DataDir == "" {
		return errors.New("demo data: a data directory is needed for " + demo.TokensFile)
	}
	result, err := demo.Load(ctx, pool, demo.Options{Rows: m.config.Rows, Seed: demoSeed, Progress: m.config.Progress, Others: m.others})
	if err != nil {
		return err
	}
	m.people = result.People
	if err := demo.WriteTokens(m.config.DataDir, result.People); err != nil {
		return err
	}
	return m.writeInputs(ctx, pool)
}

// inputsDir holds, for each of the demo's people, what the policy knows of a request.
const inputsDir = "demo-inputs"

// writeInputs writes the people's input documents, for rowfence verify and explain.
func (m *Main) writeInputs(ctx context.Context, pool *pgxpool.Pool) error {
	dir := filepath.Join(m.config.DataDir, inputsDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of inputs: %w", err)
	}
	store := postgres.NewDB(pool)
	for _, p := range m.people {
		session, err := store.Session(ctx, p.Token)
		if err != nil {
			return fmt.Errorf("reading the session of %s: %w", p.Name, err)
		}
		text, err := json.MarshalIndent(session.Subject.Input(), "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, p.Name+".json"), append(text, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("writing the input of %s: %w", p.Name, err)
		}
	}
	return nil
}

// warnOfDemo says that the demo's tokens, which whoever has this program knows,
// are of use to others than this machine's users.
func (m *Main) warnOfDemo(ctx context.Context, listener net.Listener) {
	if at, ok := listener.Addr().(*net.TCPAddr); ok && at.IP.IsLoopback() || !m.config.Demo {
		return
	}
	m.log.WarnContext(ctx, "the demo's tokens are the same everywhere, and other machines may reach this server",
		"address", listener.Addr().String())
}

// sampleEvent is one that the ingester may write.
const sampleEvent = `{"action": "write", "resource_type": "template", "resource_target": "web", "status_code": 200}`

// introduce prints who the demo's people are and how each asks this server.
func (m *Main) introduce() {
	host, port, err := net.SplitHostPort(m.addr)
	if err != nil || len(m.people) == 0 {
		return
	}
	// A server on all addresses is reached at this machine's own.
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, port) + "/api/v2/"
	w := m.config.Progress
	fmt.Fprintln(w, "\nThe demo's people:")
	for _, p := range m.people {
		fmt.Fprintf(w, "\n%s: %s\n  token %s\n", p.Name, p.Description, p.Token)
		if p.Name == demo.Ingester {
			fmt.Fprintf(w, "  curl -s -H 'Coder-Session-Token: %s' -H 'Content-Type: application/json' '%saudit/events' -d '%s'\n", p.Token, url, sampleEvent)
			continue
		}
		for _, route := range []string{"audit?limit=5", "connectionlog?limit=5"} {
			fmt.Fprintf(w, "  curl -s -H 'Coder-Session-Token: %s' '%s%s'\n", p.Token, url, route)
		}
	}
	database := "…"
	if m.config.DatabaseURL == "" {
		database = "'" + m.url + "'"
	}
	fmt.Fprintf(w, "\nThe SQL against OPA, on these rows:\n  bin/rowfence verify -p policies/authz.rego -s policies/schema.yaml -i %s --database-url %s\n\n",
		filepath.Join(m.config.DataDir, inputsDir), database)
}
