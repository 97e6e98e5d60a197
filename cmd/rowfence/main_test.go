package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(databases{m}, map[string]func(){"rowfence": main})
}

// databases are tests that may ask for a PostgreSQL.
type databases struct{ m *testing.M }

func (d databases) Run() int { return pgtest.Code(d.m) }

// The scripts specify the command: what it prints where, and how it exits.
func TestScript(t *testing.T) {
	policies, err := filepath.Abs("../../policies")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("POLICIES", policies)
			return os.WriteFile(filepath.Join(env.WorkDir, "auditor50.json"), auditor(50), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   status,
			"refusal":  refusal,
			"bundle":   bundle,
			"database": database,
			"migrate":  migrate,
			"sql":      sql,
			"outlive":  outlive,
		},
	})
}

// status runs a command and checks its exit code: status 2 rowfence ….
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status code command [args]")
	}
	// Exec keeps stdout and stderr for the commands that follow.
	err := ts.Exec(args[1], args[2:]...)
	have := "0"
	if err != nil {
		have = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if have != args[0] {
		ts.Fatalf("exit code %s, want %s\n%s%s", have, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// refusal checks the JSON of a refusal on stderr: its code, and its position or -.
// Nothing may be on stdout.
func refusal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: refusal code position")
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("a refusal, and on stdout is %s", out)
	}
	type one struct {
		Code     string
		Position *struct {
			File     string
			Row, Col int
		}
		Expression string
		Reason     string
		Hint       string
	}
	var have struct {
		one
		Message string
		Errors  []one
	}
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stderr")))
	dec.DisallowUnknownFields()
	ts.Check(dec.Decode(&have))
	if dec.More() {
		ts.Fatalf("more than one object on stderr")
	}
	at := "-"
	if p := have.Position; p != nil {
		at = fmt.Sprintf("%s:%d:%d", p.File, p.Row, p.Col)
	}
	if have.Code != args[0] || at != args[1] {
		ts.Fatalf("refused with %s at %s, want %s at %s", have.Code, at, args[0], args[1])
	}
	if have.Reason == "" || !strings.Contains(have.Message, have.Reason) || len(have.Errors) == 0 || have.Errors[0].Code != have.Code {
		ts.Fatalf("an incomplete refusal: %+v", have)
	}
}

// bundle writes files into an OPA bundle: bundle out.tar.gz file….
func bundle(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: bundle file.tar.gz file…")
	}
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	for _, name := range args[1:] {
		text := ts.ReadFile(name)
		ts.Check(w.WriteHeader(&tar.Header{Name: "/" + name, Mode: 0o600, Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(zip.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), buf.Bytes(), 0o600))
}

// database makes a database in which a file of SQL has run: database file.sql. Its URL
// is in $DATABASE.
func database(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: database file.sql")
	}
	url := pgtest.MustURL()
	conn, err := pgx.Connect(context.Background(), url)
	ts.Check(err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Setenv("DATABASE", url)
}

// migrate brings the last database to the server's version.
func migrate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: migrate")
	}
	pool, err := postgres.Open(context.Background(), ts.Getenv("DATABASE"))
	ts.Check(err)
	defer pool.Close()
	ts.Check(postgres.Migrate(context.Background(), pool, slog.New(slog.DiscardHandler)))
}

// sql runs a file of SQL in the last database: sql file.sql.
func sql(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql file.sql")
	}
	conn, err := pgx.Connect(context.Background(), ts.Getenv("DATABASE"))
	ts.Check(err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), ts.ReadFile(args[0]))
	ts.Check(err)
}

// outlive waits until no transaction of the server, those of other tests included, is
// older than what is written by now: rows are sealed when none is.
func outlive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: outlive")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE"))
	ts.Check(err)
	defer conn.Close(context.Background())
	var now string
	ts.Check(conn.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&now))
	for past := false; !past; time.Sleep(10 * time.Millisecond) {
		ts.Check(conn.QueryRow(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8", now).Scan(&past))
	}
}

// auditor is the input of one who may read the audit log of n organizations.
func auditor(n int) []byte {
	type object = map[string]any
	permission := []object{{"negate": false, "resource_type": "audit_log", "action": "read"}}
	orgs := object{}
	for i := range n {
		orgs[fmt.Sprintf("a0000000-0000-4000-8000-%012x", i*7919%n)] = object{"org": permission, "member": []object{}}
	}
	text, err := json.Marshal(object{
		"action": "read",
		"subject": object{
			"id":     "b0000000-0000-4000-8000-000000000001",
			"groups": []string{},
			"roles":  []object{{"site": []object{}, "user": []object{}, "by_org_id": orgs}},
			"scope": object{
				"site": []object{{"negate": false, "resource_type": "*", "action": "*"}}, "user": []object{}, "by_org_id": object{},
				"allow_list": []object{{"type": "*", "id": "*"}},
			},
		},
	})
	if err != nil {
		panic(err) // it holds nothing that JSON lacks
	}
	return text
}
