// Package verify holds a policy's SQL against OPA on the rows of a user's database.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/oracle"
	"github.com/rowfence/rowfence/rego"
)

// Config says what to verify.
type Config struct {
	Policy    *rego.Policy
	Query     string
	Resources []*compiler.Resource
	Inputs    []Input
	Sample    int    // rows of each table, at most; and a third as many that a filter selects
	Generate  int    // rows to make for each resource and input
	Key       string // see oracle.Case
	Seed      uint64 // of the rows that are made
	Progress  io.Writer
	// Compile takes the place of the compiler, unless it is nil: for tests.
	Compile func(context.Context, *rego.Query, *compiler.Resource, any) (*compiler.Compilation, error)
}

// Input is what is known of a request.
type Input struct {
	Name     string
	Document map[string]any
}

// Status is how a check came out.
type Status string

// The ways in which a check comes out.
const (
	Exact   Status = "exact"
	Differs Status = "differs" // rows leaked or lost
	Refused Status = "refused" // the policy can't be translated for the input
	Failed  Status = "failed"  // a statement did not run
)

// Check is one resource, for one input.
type Check struct {
	Resource string        `json:"resource"`
	Input    string        `json:"input"`
	Status   Status        `json:"status"`
	Rows     int           `json:"rows"`    // looked at in the table
	Made     int           `json:"made"`    // rows that were made, beside them
	Allowed  int           `json:"allowed"` // of both, by OPA
	Leaked   int           `json:"leaked"`  // selected by the SQL, not allowed
	Lost     int           `json:"lost"`    // allowed, not selected
	SQL      string        `json:"sql,omitempty"`
	Example  *Example      `json:"example,omitempty"` // of a difference, the smallest found
	Error    string        `json:"error,omitempty"`
	Code     compiler.Code `json:"code,omitempty"` // of a refusal
	Seconds  float64       `json:"seconds"`
}

// Example is a row on which OPA and the SQL disagree.
type Example struct {
	Leaked   bool               `json:"leaked"` // else lost
	Key      string             `json:"key,omitempty"`
	Position *compiler.Position `json:"position,omitempty"` // in the policy
	Policy   string             `json:"policy,omitempty"`   // what is left of it that shows the difference
	Input    any                `json:"input"`
	Document any                `json:"document"`
	SQL      string             `json:"sql"`
}

// Report is all checks, in the order of the resources and inputs.
type Report struct {
	Checks []Check `json:"checks"`
}

// Count is how many checks came out with a status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// Run verifies. The connection is used in transactions that read one snapshot each and
// can't write. The error is of the surroundings, such as a connection that breaks or a
// deadline; a check that fails is in the report.
func Run(ctx context.Context, conn *pgx.Conn, c Config) (*Report, error) {
	query, err := c.Policy.Prepare(ctx, c.Query)
	if err != nil {
		return nil, err
	}
	report := &Report{}
	for _, resource := range c.Resources {
		checks, err := c.resource(ctx, conn, query, resource)
		report.Checks = append(report.Checks, checks...)
		if err != nil {
			return report, fmt.Errorf("verifying %s: %w", resource.Name, err)
		}
	}
	return report, nil
}

func (c Config) resource(ctx context.Context, conn *pgx.Conn, query *rego.Query, resource *compiler.Resource) ([]Check, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if deadline, ok := ctx.Deadline(); ok {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", max(1, time.Until(deadline).Milliseconds()))); err != nil {
			return nil, err
		}
	}
	base := oracle.Case{Query: query, Resource: resource, Key: c.Key, Compile: c.Compile}
	var rows []oracle.Row
	if c.Sample > 0 {
		c.say("%s: reading rows of %s …", resource.Name, resource.Table)
		if rows, err = oracle.Sample(ctx, tx, base, c.Sample); err != nil {
			return nil, err
		}
	}
	var checks []Check
	for _, input := range c.Inputs {
		start := time.Now()
		at := base
		at.Input = input.Document
		check := Check{Resource: resource.Name, Input: input.Name, Rows: len(rows)}
		c.say("%s: evaluating for %s …", resource.Name, input.Name)
		c.check(ctx, tx, at, rows, &check)
		check.Seconds = time.Since(start).Seconds()
		checks = append(checks, check)
		if err := ctx.Err(); err != nil {
			return checks, err
		}
	}
	return checks, nil
}

func (c Config) say(format string, args ...any) {
	if c.Progress != nil {
		fmt.Fprintf(c.Progress, format+"\n", args...)
	}
}

// check fills in how one input comes out. It runs inside a savepoint, since a statement
// that fails would end the transaction.
func (c Config) check(ctx context.Context, outer pgx.Tx, at oracle.Case, rows []oracle.Row, check *Check) {
	tx, err := outer.Begin(ctx)
	if err == nil {
		defer tx.Rollback(context.WithoutCancel(ctx))
		err = c.compare(ctx, tx, at, rows, check)
	}
	var refusal *compiler.Error
	switch {
	case errors.As(err, &refusal):
		check.Status, check.Code, check.Error = Refused, refusal.Code, refusal.Error()
	case err != nil:
		check.Status, check.Error = Failed, err.Error()
	case check.Leaked+check.Lost > 0:
		check.Status = Differs
	default:
		check.Status = Exact
	}
}

func (c Config) compare(ctx context.Context, tx pgx.Tx, at oracle.Case, rows []oracle.Row, check *Check) error {
	if c.Sample > 0 {
		selected, err := oracle.SampleSelected(ctx, tx, at, max(1, c.Sample/3))
		if err != nil {
			return err
		}
		rows = with(rows, selected)
		check.Rows = len(rows)
	}
	report, err := oracle.Check(ctx, tx, at, rows)
	if err != nil {
		return err
	}
	check.add(report)
	if c.Generate > 0 {
		made, err := c.made(ctx, tx, at)
		if err != nil {
			return err
		}
		check.Made = made.Rows
		check.add(made)
		report.Leaked, report.Lost = append(made.Leaked, report.Leaked...), append(made.Lost, report.Lost...)
	}
	return c.example(ctx, tx, at, report, check)
}

// made compares rows that are made of hostile values, and of the constants that the
// policy and the input have.
func (c Config) made(ctx context.Context, tx pgx.Tx, at oracle.Case) (*oracle.Report, error) {
	columns, err := oracle.ColumnsOf(ctx, tx, at.Resource.Table)
	if err != nil {
		return nil, err
	}
	input, err := ast.InterfaceToValue(at.Input)
	if err != nil {
		return nil, err
	}
	constants := append(at.Query.Policy().Constants(), input)
	rng := rand.New(rand.NewPCG(c.Seed, 0))
	return oracle.CheckMade(ctx, tx, at, oracle.Hostile(rng, at.Resource, columns, constants, c.Generate))
}

func (check *Check) add(r *oracle.Report) {
	check.Allowed += len(r.Allowed)
	check.Leaked += len(r.Leaked)
	check.Lost += len(r.Lost)
	check.SQL = r.Filter.Inline()
}

// example is the first difference, made as small as it goes.
func (c Config) example(ctx context.Context, tx pgx.Tx, at oracle.Case, r *oracle.Report, check *Check) error {
	var row oracle.Row
	switch {
	case len(r.Leaked) > 0:
		row = r.Leaked[0]
	case len(r.Lost) > 0:
		row = r.Lost[0]
	default:
		return nil
	}
	c.say("%s, %s: looking for a small example …", check.Resource, check.Input)
	small, err := oracle.Shrink(ctx, tx, at, row, shrinkTries)
	if err != nil {
		return fmt.Errorf("making an example of a difference: %w", err)
	}
	check.Example = &Example{
		Leaked: small.Symptom == oracle.Leaked, Key: row.Key, Policy: small.Policy(), Input: small.Input, SQL: small.Filter.Inline(),
	}
	if small.Position != (compiler.Position{}) {
		check.Example.Position = &small.Position
	}
	check.Example.Document, err = ast.JSON(small.Row.Document)
	return err
}

// shrinkTries bounds the time that an example takes.
const shrinkTries = 2000

// with is rows and those of more that are not among them.
func with(rows, more []oracle.Row) []oracle.Row {
	have := make(map[string]bool, len(rows))
	for _, r := range rows {
		have[r.Key] = true
	}
	out := rows[:len(rows):len(rows)]
	for _, r := range more {
		if !have[r.Key] {
			out = append(out, r)
		}
	}
	return out
}
