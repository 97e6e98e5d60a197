package rego

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// A derived parameter is a rule whose value does not depend on the row. Partial
// evaluation leaves it a reference, as if it were unknown; its value is asked for by
// itself, in a full evaluation.

// Derived says of a rule whether it can be such a parameter: it is there, takes no
// arguments, is one value or a set, reads none of the unknowns, and calls nothing whose
// value differs between two evaluations of one input at one instant.
func (p *Policy) Derived(ref ast.Ref, unknowns []ast.Ref) error {
	rules := p.source.GetRulesExact(ref)
	if len(rules) == 0 {
		return fmt.Errorf("the policy has no rule %v%s", ref, p.suggest(ref))
	}
	for _, r := range rules {
		switch {
		case len(r.Head.Args) > 0:
			return fmt.Errorf("%v is a function", ref)
		case len(r.Head.Ref()) > len(r.Head.Ref().GroundPrefix()):
			return fmt.Errorf("%v is an object whose keys are variables", ref)
		}
		for _, read := range p.reads(r) {
			if overlap([]ast.Ref{read}, unknowns) {
				return fmt.Errorf("%v reads %v, which depends on the row", ref, read)
			}
		}
		if name := p.changing(r); name != "" {
			return fmt.Errorf("%v calls %s, whose value is another one at each call", ref, name)
		}
	}
	for _, m := range p.with.exprs {
		if overlap(p.reads(m.body), []ast.Ref{ref}) {
			return fmt.Errorf("%v is read at %v with another input or other data: it has several values", ref, m.Location)
		}
	}
	return nil
}

// ReadsOf are the references into the input, and to rules, that the rule at ref reads.
func (p *Policy) ReadsOf(ref ast.Ref) []ast.Ref { return p.reads(ref) }

// MayStop reports whether the query depends on the rule at ref, and an evaluation of
// that may end in an error. The query then allows nothing, also where the error is in
// what no condition on the row is left of.
func (q *Query) MayStop(ref ast.Ref) bool {
	p := q.policy
	if !overlap(p.reads(ast.MustParseRef(q.text)), []ast.Ref{ref}) {
		return false
	}
	n := negation{}
	n.visit(p, ref, map[*ast.Rule]bool{})
	return len(n.rules)+len(n.functions) > 0 || overlap(n.reads, []ast.Ref{p.with.root})
}

// clockBuiltins are the builtins that say another thing at another time, but one and the
// same to an evaluation. OPA says so only of the first.
var clockBuiltins = map[string]bool{
	ast.NowNanos.Name: true,
	ast.CryptoX509ParseAndVerifyCertificates.Name:            true,
	ast.CryptoX509ParseAndVerifyCertificatesWithOptions.Name: true,
}

// changing is the name of a builtin without a fixed value that x, or a rule that it
// refers to, calls, but for the time; "" where there is none.
func (p *Policy) changing(x any) (name string) {
	p.walk(x, nil, func(x any) {
		if named := namedBuiltin(x); named != nil && named.Nondeterministic && !clockBuiltins[named.Name] {
			name = named.Name
		}
	})
	return name
}

// namedBuiltin is the builtin that a reference names: one that is called, or that a
// modifier puts in the place of another; nil for any other part of a policy.
func namedBuiltin(x any) *ast.Builtin {
	ref, ok := x.(ast.Ref)
	if !ok {
		return nil
	}
	return ast.BuiltinMap[ref.String()]
}

// walk visits the parts of x, and of the rules that it refers to, but for those that
// stop.
func (p *Policy) walk(x any, stop []ast.Ref, visit func(any)) {
	seen := map[*ast.Rule]bool{}
	var inside func(x any)
	inside = func(x any) {
		ast.NewGenericVisitor(func(x any) bool {
			visit(x)
			ref, ok := x.(ast.Ref)
			if !ok {
				return false
			}
			for _, key := range ref[1:] { // the head is no term of its own
				inside(key)
			}
			if !ref.HasPrefix(ast.DefaultRootRef) || slices.ContainsFunc(stop, ref.HasPrefix) {
				return true
			}
			for _, r := range p.source.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}) {
				if !seen[r] {
					seen[r] = true
					inside(r)
				}
			}
			return true
		}).Walk(x)
	}
	inside(x)
}

// AsksTime reports whether the query may ask for the time, or for what depends on it,
// so that its meaning changes with it, outside of the rules at derived.
func (q *Query) AsksTime(derived ...ast.Ref) bool {
	asks, rules := false, q.Rules()
	if len(derived) > 0 { // among which those are
		rules = q.policy.source.GetRules(ast.MustParseRef(q.text))
	}
	for _, r := range rules {
		q.policy.walk(r, derived, func(x any) {
			if named := namedBuiltin(x); named != nil && clockBuiltins[named.Name] {
				asks = true
			}
		})
	}
	return asks
}

// InputReads are the references into the input that the query depends on when the rules
// at derived are parameters, up to their first part that is not a constant. None stands
// inside another; they are sorted.
func (q *Query) InputReads(derived []ast.Ref) []ast.Ref {
	found := map[string]ast.Ref{}
	add := func(ref ast.Ref) { found[ref.String()] = ref }
	for _, r := range q.policy.source.GetRules(ast.MustParseRef(q.text)) {
		q.policy.walk(r, derived, func(x any) {
			switch x := x.(type) {
			case ast.Ref:
				if x.HasPrefix(ast.InputRootRef) {
					add(x.ConstantPrefix())
				}
			case *ast.Term:
				if x.Equal(ast.InputRootDocument) {
					add(ast.InputRootRef)
				}
			}
		})
	}
	var out []ast.Ref
	for _, ref := range found {
		if !hasAbove(found, ref) {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, func(a, b ast.Ref) int { return a.Compare(b) })
	return out
}

func hasAbove(refs map[string]ast.Ref, ref ast.Ref) bool {
	for n := len(ref) - 1; n > 0; n-- {
		if _, ok := refs[ref[:n].String()]; ok {
			return true
		}
	}
	return false
}

// Known are values of rules for an input: nil for one that is undefined.
type Known struct {
	Params []ast.Ref
	Values []ast.Value
}

// cache is a cache of one evaluation in which they are.
func (k Known) cache() topdown.VirtualCache {
	c := topdown.NewVirtualCache()
	for i, ref := range k.Params {
		var v *ast.Term
		if k.Values[i] != nil {
			v = ast.NewTerm(k.Values[i])
		}
		c.Put(ref, v)
	}
	return c
}

// Derivation is a full evaluation of derived parameters.
type Derivation struct {
	query  *Query
	params []ast.Ref
	direct directRules
	isOurs []bool // of params: whether it is among those of direct
	rest   interpreted
}

// interpreted are rules that OPA evaluates.
type interpreted struct {
	query  *Query
	params []ast.Ref
	body   ast.Body
}

// Derive is the evaluation of the rules at params.
func (q *Query) Derive(params []ast.Ref) *Derivation {
	d := &Derivation{query: q, params: params}
	d.direct, d.isOurs = q.policy.direct.compile(params)
	var rest []ast.Ref
	for i, ref := range params {
		if !d.isOurs[i] {
			rest = append(rest, ref)
		}
	}
	d.rest = q.interpret(rest)
	return d
}

// Direct is the direct evaluation of the query's own rule; nil where OPA would evaluate
// it.
func (q *Query) Direct() *Derivation {
	if d := q.Derive([]ast.Ref{ast.MustParseRef(q.text)}); d.isOurs[0] {
		return d
	}
	return nil
}

func (q *Query) interpret(params []ast.Ref) interpreted {
	d := interpreted{query: q, params: params}
	for i, ref := range params { // a comprehension, since it may be undefined
		v := ast.VarTerm(fmt.Sprintf("value%d", i))
		values := ast.ArrayComprehensionTerm(v, ast.NewBody(ast.Equality.Expr(v, ast.NewTerm(ref))))
		d.body.Append(ast.Equality.Expr(ast.NewTerm(valuesOf(i)), values)) // as it stands in a compiled query
	}
	return d
}

// valuesOf is the variable for the values, one or none, of the i-th parameter.
func valuesOf(i int) ast.Var { return ast.Var(fmt.Sprintf("values%d", i)) }

func joinRefs(refs []ast.Ref) string {
	names := make([]string, len(refs))
	for i, r := range refs {
		names[i] = r.String()
	}
	return strings.Join(names, ", ")
}

// Eval are the values of the parameters for an input, in their order; nil for one that
// is undefined. An evaluation error is one of the policy.
func (d *Derivation) Eval(ctx context.Context, input ast.Value) (out []ast.Value, err error) {
	ours, err := d.direct.eval(ctx, input)
	if err != nil {
		return d.query.interpret(d.params).eval(ctx, input)
	}
	rest, err := d.rest.eval(ctx, input)
	if err != nil {
		return nil, err
	}
	out = make([]ast.Value, len(d.params))
	for i, is := range d.isOurs {
		from := &rest
		if is {
			from = &ours
		}
		out[i], *from = (*from)[0], (*from)[1:]
	}
	return out, nil
}

func (d interpreted) eval(ctx context.Context, input ast.Value) (out []ast.Value, err error) {
	defer stopped(&err)
	if len(d.params) == 0 {
		return nil, nil
	}
	p := d.query.policy
	txn, err := p.store.NewTransaction(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the policy's data: %w", err)
	}
	defer p.store.Abort(ctx, txn)
	// as package rego would, but for what it prepares of a query's text, which costs more
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	var found []topdown.QueryResult
	err = topdown.NewQuery(d.body).WithCompiler(p.source).WithStore(p.store).WithTransaction(txn).
		WithCancel(cancel).WithTime(d.query.Now()).WithInput(ast.NewTerm(input)).
		Iter(ctx, func(r topdown.QueryResult) error {
			found = append(found, r)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("evaluating %s: %w", joinRefs(d.params), err)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("evaluating %s: %d results", joinRefs(d.params), len(found))
	}
	out = make([]ast.Value, len(d.params))
	for i := range out {
		values := found[0][valuesOf(i)]
		if values == nil {
			return nil, fmt.Errorf("evaluating %v: no result", d.params[i])
		}
		has, ok := values.Value.(*ast.Array)
		if !ok {
			return nil, fmt.Errorf("evaluating %v: the result is %v", d.params[i], values)
		}
		if has.Len() > 0 {
			out[i] = has.Elem(0).Value
		}
	}
	return out, nil
}
