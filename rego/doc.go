// Package rego loads Rego policies and evaluates them, in part or in full, with
// OPA.
//
//	Load ──▶ Policy ── Prepare(query) ──▶ Query ── Partial(input, unknowns) ──▶ Residual
//	                                           └── Eval(input) ──▶ allowed or not
//
// A residual is what remains of the policy when all but the unknowns is known. It
// is a set of rules, not a flat list of conditions: OPA is asked for shallow
// inlining, which keeps the rules as they were written (so that ten helpers of two
// bodies each are not multiplied out into a thousand conditions) and keeps the
// references that OPA hoists out of a negation visible in front of it.
package rego
