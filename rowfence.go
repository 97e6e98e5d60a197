// Package rowfence turns an authorization policy, written in Rego, into a
// PostgreSQL condition: the rows for which it is true are exactly those that the
// policy allows.
//
//	engine, err := rowfence.New(ctx, rowfence.Config{
//		Policies: os.DirFS("policies"),
//		Schema:   schemaYAML,
//		Query:    "data.authz.allow",
//	})
//	filter, err := engine.Filter(ctx, "audit_log", map[string]any{
//		"action":  "read",
//		"subject": subject,
//	})
//	where, args := filter.SQL(1) // organization_id = ANY($1)
//
// # The promise
//
// For every row of a resource, the SQL selects the row exactly when a full OPA
// evaluation of the same policy, with the row's document in the place of the
// unknown, allows it. What can't be translated exactly is refused with a coded
// error; it is never approximated.
//
// # The way of a request
//
//	policy.rego ─┐
//	             ├─ rego ──▶ residual ── compiler ──▶ predicate ── sqlgen ──▶ SQL, arguments
//	schema.yaml ─┘
//
// Package rego loads and evaluates policies, package compiler translates what is
// left of them, package sqlgen simplifies and renders the predicate. Each can be
// used alone.
package rowfence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// DefaultQuery is the entrypoint of a policy when none is named.
const DefaultQuery = "data.authz.allow"

// Filter says which rows are selected: all, none, or those for which a predicate is
// true. The zero Filter selects none.
type Filter = sqlgen.Filter

// Config says what an [Engine] decides by.
type Config struct {
	Policies fs.FS          // Rego files and data documents; see rego.FS
	Sources  []rego.Source  // further policies
	Schema   []byte         // the schema, YAML
	Query    string         // the rule that allows; DefaultQuery when empty
	Data     map[string]any // a further data document

	// Now is the instant that time.now_ns says; time.Now when nil.
	Now func() time.Time
}

// Engine compiles filters for the resources of a schema. It is safe for
// concurrent use.
type Engine struct {
	query  *rego.Query
	now    func() time.Time
	schema *compiler.Schema
}

// New loads and compiles the policies and reads the schema.
func New(ctx context.Context, c Config) (*Engine, error) {
	schema, err := compiler.ParseSchema(c.Schema)
	if err != nil {
		return nil, err
	}
	sources := c.Sources
	if c.Policies != nil {
		sources = append([]rego.Source{rego.FS(c.Policies)}, sources...)
	}
	if c.Data != nil {
		sources = append(sources, rego.Data(c.Data))
	}
	policy, err := rego.Load(ctx, sources...)
	if err != nil {
		return nil, fmt.Errorf("loading policies: %w", err)
	}
	if c.Query == "" {
		c.Query = DefaultQuery
	}
	query, err := policy.Prepare(ctx, c.Query)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Engine{query, c.Now, schema}, nil
}

// Filter says which rows of the resource the policy allows for an input, such as
// {"action": "read", "subject": {…}}. On an error nothing is allowed: the filter
// that comes with it selects no row.
func (e *Engine) Filter(ctx context.Context, resource string, input any) (Filter, error) {
	c, err := e.Explain(ctx, resource, input, nil)
	if err != nil {
		return sqlgen.Never(), err
	}
	return c.Filter, nil
}

// Explain is [Engine.Filter] with every stage on the way to it. trace, when it is
// not nil, is told of each simplification that fired.
func (e *Engine) Explain(ctx context.Context, resource string, input any, trace func(sqlgen.Step)) (*compiler.Compilation, error) {
	if e.query == nil {
		return nil, errors.New("an Engine is made by New")
	}
	r, err := e.schema.Resource(resource)
	if err != nil {
		return nil, err
	}
	c, err := compiler.Explain(ctx, e.query.At(e.now()), r, input, trace)
	if err != nil {
		return nil, fmt.Errorf("compiling the filter of %s: %w", resource, err)
	}
	return c, nil
}

// Errors reads an error of this package as coded errors with positions.
func Errors(err error) compiler.Errors {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return compiler.AsErrors(err)
}
