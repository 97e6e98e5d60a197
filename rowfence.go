// Package rowfence turns an authorization policy, written in Rego, into a
// PostgreSQL condition: the rows for which it is true are exactly those that the
// policy allows.
//
//	engine, err := rowfence.New(ctx, rowfence.Config{
//		Policies: os.DirFS("policies"),
//		Schema:   schemaYAML,
//		Query:    "data.authz.allow",
//	})
//	subject, err := rowfence.NewSubject(user) // once a session
//	filter, err := engine.Filter(ctx, subject, "read", "audit_log")
//	where, args := filter.SQL(1) // organization_id = ANY($1)
//
// # The promise
//
// For every row of a resource, the SQL selects the row exactly when a full OPA
// evaluation of the same policy, with the row's document in the place of the
// unknown, allows it. What can't be translated exactly is refused with a coded
// error; it is never approximated.
//
// # What it costs
//
// A filter is compiled once for an action and a resource, with parameters in the place
// of what the schema's params name of the subject: a template. For a subject the
// template is bound, and what comes of it is kept. The next call is a look-up.
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

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/sqlgen"
)

// DefaultQuery is the entrypoint of a policy when none is named.
const DefaultQuery = "data.authz.allow"

// Filter says which rows are selected: all, none, or those for which a predicate is
// true. The zero Filter selects none.
type Filter = sqlgen.Filter

// Errors reads an error of this package as coded errors with positions.
func Errors(err error) compiler.Errors {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return compiler.AsErrors(err)
}
