package rego

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// partialQuery is a body that is prepared for partial evaluation.
type partialQuery struct {
	body     ast.Body
	compiler ast.QueryCompiler
	policy   *Policy
	store    storage.Store
}

// open prepares a body for partial evaluation, with data documents.
func (p *Policy) open(body ast.Body, store storage.Store) (partialQuery, error) {
	unify := func(_ ast.QueryCompiler, body ast.Body) (ast.Body, error) {
		ast.WalkExprs(body, func(e *ast.Expr) bool {
			if e.IsCall() && e.Operator().Equal(ast.Equal.Ref()) && len(e.Operands()) == 2 {
				e.SetOperator(ast.NewTerm(ast.Equality.Ref()))
			}
			return false
		})
		return body, nil
	}
	c := p.desugared.QueryCompiler().WithContext(ast.NewQueryContext()).WithEnablePrintStatements(false).
		WithStageAfterID(ast.StageCheckSafety, ast.QueryCompilerStageDefinition{Name: "RewriteEquals", MetricName: "rewrite_equals", Stage: unify})
	compiled, err := c.Compile(body)
	return partialQuery{compiled, c, p, store}, err
}

// eval evaluates the body as package rego would, but for what that does anew for each
// evaluation: its options, metrics, and a goroutine that waits for the context.
func (q partialQuery) eval(ctx context.Context, input ast.Value, at *Query, unknowns []*ast.Term) ([]ast.Body, []*ast.Module, error) {
	txn, err := q.store.NewTransaction(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the policy's data: %w", err)
	}
	defer q.store.Abort(ctx, txn)
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	return topdown.NewQuery(q.body).WithQueryCompiler(q.compiler).WithCompiler(q.policy.desugared).
		WithStore(q.store).WithTransaction(txn).WithBuiltins(memberFunctions).WithMetrics(metrics.NoOp()).
		WithUnknowns(unknowns).WithPartialNamespace(q.policy.namespace).WithShallowInlining(true).
		WithPrintHook(discard{}).WithTime(at.Now()).WithInput(ast.NewTerm(input)).WithCancel(cancel).
		PartialRun(ctx)
}

// Unknowns are parts of the input, and rules, that the evaluation of a query leaves
// open, and what they make of it whatever else the input is.
type Unknowns struct {
	terms     []*ast.Term
	refusals  []refusal
	function  *UnfaithfulError // of a negation that depends on them
	conflicts []ast.Ref        // rules that may conflict below such a negation
}

// Unknowns prepares references for [Query.PartialOf].
func (q *Query) Unknowns(refs []ast.Ref) *Unknowns {
	u := &Unknowns{}
	for _, ref := range refs {
		u.terms = append(u.terms, ast.NewTerm(ref))
	}
	all := refs
	if len(q.policy.with.exprs) > 0 {
		u.terms = append(u.terms, ast.NewTerm(q.policy.with.at))
		all = append(all[:len(all):len(all)], q.policy.with.at)
	}
	u.terms = append(u.terms, q.functions...)
	for _, r := range q.refusals {
		if r.always || overlap(r.reads, all) {
			u.refusals = append(u.refusals, r)
		}
	}
	for _, n := range q.negations {
		if !n.dependsOn(all) {
			continue
		}
		if len(n.functions) > 0 {
			u.function = n.functions[0]
			break
		}
		u.conflicts = append(u.conflicts, n.rules...)
	}
	return u
}

// Partial evaluates the query as far as it goes without the unknowns, which are
// references into the input, or to rules.
func (q *Query) Partial(ctx context.Context, input ast.Value, unknowns []ast.Ref) (*Residual, error) {
	return q.PartialOf(ctx, input, q.Unknowns(unknowns))
}

// PartialOf is [Query.Partial] of unknowns that are prepared for the query.
func (q *Query) PartialOf(ctx context.Context, input ast.Value, u *Unknowns) (r *Residual, err error) {
	defer stopped(&err)
	for _, r := range u.refusals {
		if r.array == nil || leadsToArray(input, r.array[1:], r.keys) {
			return nil, r.err
		}
	}
	for _, rule := range u.conflicts {
		if _, _, err := q.probes[rule.String()].eval(ctx, input, q, u.terms); err != nil {
			return nil, fmt.Errorf("partially evaluating %v: %w", rule, err)
		}
	}
	if u.function != nil {
		return nil, u.function
	}
	queries, support, err := q.partial.eval(ctx, input, q, u.terms)
	if err == nil {
		err = ctx.Err() // which partial evaluation drops inside a negation
	}
	if err != nil {
		return nil, fmt.Errorf("partially evaluating %s: %w", q.text, err)
	}
	return newResidual(queries, support, q), nil
}
