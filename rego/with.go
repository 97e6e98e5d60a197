package rego

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// Partial evaluation keeps one residual of each rule. Below a modifier (with) a rule
// has another, and whichever is made first is taken for both. So an expression with
// modifiers of the input or the data is kept from it: in its place stands a reference
// that is unknown,
//
//	data.with.at["3"][[x, y]]
//
// of the expression's number and of the variables that it reads. It is true where the
// expression is; where the expression binds variables, it is an array of their values.
// Who reads the residual asks for each by itself, with [Residual.PartialWith], once
// the input is known that it is evaluated with. In that, x is data.with.vars.x.
//
// Functions that a modifier replaces are left to partial evaluation: see [mocks].

// Modified is an expression with modifiers of the input or the data.
type Modified struct {
	Modifiers []*ast.With // their values are constants, or variables of In
	In, Out   []ast.Var   // the variables that the expression reads, and those that it binds
	Location  *ast.Location

	body ast.Body // without these modifiers, and with references for the variables
}

// String is the expression, with its position.
func (m *Modified) String() string {
	var b strings.Builder
	fmt.Fprint(&b, m.body)
	for _, w := range m.Modifiers {
		fmt.Fprintf(&b, " %v", w)
	}
	if m.Location != nil && m.Location.File != "" {
		fmt.Fprintf(&b, "  # %s:%d", m.Location.File, m.Location.Row)
	}
	return b.String()
}

// modifiers are the expressions of a policy that have modifiers.
type modifiers struct {
	root, at, vars ast.Ref
	compiler       *ast.Compiler
	exprs          []*Modified
}

// newModifiers are those of a policy, below a name in data.
func newModifiers(name string) *modifiers {
	m := &modifiers{root: ast.DefaultRootRef.Append(ast.StringTerm(name))}
	m.at, m.vars = m.ref("at"), m.ref("vars")
	return m
}

func (m *modifiers) ref(keys ...string) ast.Ref {
	ref := m.root
	for _, k := range keys {
		ref = ref.Append(ast.StringTerm(k))
	}
	return ref
}

// stage is the stage of a compiler in which expressions with modifiers are replaced.
func (m *modifiers) stage(c *ast.Compiler) *ast.Error {
	m.compiler = c
	for _, name := range slices.Sorted(maps.Keys(c.Modules)) {
		for _, rule := range c.Modules[name].Rules {
			outer := ast.NewVarSet()
			for _, arg := range rule.Head.Args {
				outer.Update(varsOf(arg))
			}
			m.replace(rule.Body, outer)
		}
	}
	return nil
}

func varsOf(x any) ast.VarSet {
	vis := ast.NewVarVisitor().WithParams(ast.VarVisitorParams{SkipRefCallHead: true})
	vis.Walk(x)
	vars := vis.Vars()
	for v := range vars {
		if ast.ReservedVars.Contains(v) {
			delete(vars, v)
		}
	}
	return vars
}

// replace replaces the expressions of a body, and of the closures in it. OPA has put
// the body in an order in which every variable is bound before it is read.
func (m *modifiers) replace(body ast.Body, outer ast.VarSet) {
	bound := outer.Copy()
	for i, e := range body {
		around := outer.Copy()
		for j, other := range body {
			if j != i {
				around.Update(other.Vars(ast.SafetyCheckVisitorParams))
			}
		}
		around.Update(e.Vars(ast.SafetyCheckVisitorParams))
		m.closures(e, around)
		if slices.ContainsFunc(e.With, m.replacesDocument) {
			body[i] = m.opaque(e, bound)
		}
		bound.Update(body[i].Vars(ast.SafetyCheckVisitorParams))
	}
}

// closures replaces what stands in the bodies inside an expression.
func (m *modifiers) closures(e *ast.Expr, around ast.VarSet) {
	ast.NewGenericVisitor(func(x any) bool {
		inner := around
		switch x := x.(type) {
		case *ast.Every:
			inner = around.Copy()
			for _, t := range []*ast.Term{x.Key, x.Value} {
				if t != nil {
					inner.Update(varsOf(t))
				}
			}
			m.closures(ast.NewExpr(x.Domain), around)
			m.replace(x.Body, inner)
			return true
		case ast.Body:
			m.replace(x, inner)
			return true
		}
		return false
	}).Walk(e)
}

// replacesDocument reports whether a modifier replaces a part of the input or a data
// document, as opposed to a rule or a function.
func (m *modifiers) replacesDocument(w *ast.With) bool {
	ref, ok := w.Target.Value.(ast.Ref)
	if !ok || !ref.HasPrefix(ast.DefaultRootRef) {
		return ok && ref.HasPrefix(ast.InputRootRef)
	}
	return len(m.compiler.GetRulesWithPrefix(ref)) == 0 && len(m.compiler.GetRulesForVirtualDocument(ref)) == 0
}

// opaque is what stands in the place of an expression.
func (m *modifiers) opaque(e *ast.Expr, bound ast.VarSet) *ast.Expr {
	mod := &Modified{Location: e.Location}
	inner := e.Copy()
	inner.Negated, inner.With = false, nil
	for _, w := range e.With {
		if m.replacesDocument(w) {
			mod.Modifiers = append(mod.Modifiers, w.Copy())
		} else {
			inner.With = append(inner.With, w.Copy())
		}
	}
	for v := range varsOf(e) {
		if bound.Contains(v) {
			mod.In = append(mod.In, v)
		}
	}
	if !e.Negated {
		for v := range inner.Vars(ast.SafetyCheckVisitorParams) {
			if !bound.Contains(v) && !v.IsWildcard() && !ast.ReservedVars.Contains(v) {
				mod.Out = append(mod.Out, v)
			}
		}
	}
	slices.Sort(mod.In)
	slices.Sort(mod.Out)
	mod.body = m.readVars(ast.NewBody(inner), mod.In)

	args := make([]*ast.Term, len(mod.In))
	for i, v := range mod.In {
		args[i] = ast.NewTerm(v)
	}
	marker := ast.NewTerm(m.ref("at", strconv.Itoa(len(m.exprs))).Append(ast.ArrayTerm(args...))).SetLocation(e.Location)
	m.exprs = append(m.exprs, mod)
	out := ast.NewExpr(marker)
	if len(mod.Out) > 0 {
		vars := make([]*ast.Term, len(mod.Out))
		for i, v := range mod.Out {
			vars[i] = ast.NewTerm(v)
		}
		out = ast.Equality.Expr(ast.ArrayTerm(vars...), marker)
	}
	out.Negated, out.Index = e.Negated, e.Index
	return out.SetLocation(e.Location)
}

// readVars puts references in the place of variables.
func (m *modifiers) readVars(body ast.Body, vars []ast.Var) ast.Body {
	out, err := ast.Transform(ast.NewGenericTransformer(func(x any) (any, error) {
		switch x := x.(type) {
		case ast.Ref:
			if v, ok := x[0].Value.(ast.Var); ok && slices.Contains(vars, v) {
				return m.ref("vars", string(v)).Concat(x[1:]), nil
			}
		case ast.Var:
			if slices.Contains(vars, x) {
				return m.ref("vars", string(x)), nil
			}
		}
		return x, nil
	}), body)
	if err != nil {
		return body // the function above returns none
	}
	return out.(ast.Body)
}

// find is the expression that stands behind a reference, and the reference's variables.
func (m *modifiers) find(ref ast.Ref) (*Modified, []*ast.Term) {
	at := m.at
	if len(ref) < len(at)+2 || !ref.HasPrefix(at) {
		return nil, nil
	}
	key, _ := ref[len(at)].Value.(ast.String)
	args, ok := ref[len(at)+1].Value.(*ast.Array)
	i, err := strconv.Atoi(string(key))
	if !ok || err != nil || i >= len(m.exprs) {
		return nil, nil
	}
	terms := make([]*ast.Term, args.Len())
	for i := range terms {
		terms[i] = args.Elem(i)
	}
	return m.exprs[i], terms
}

// Modified is the expression with modifiers that a reference stands for, and the
// values of the variables that it reads; nil for any other reference.
func (r *Residual) Modified(ref ast.Ref) (*Modified, []*ast.Term) {
	return r.query.policy.with.find(ref)
}

// Variable is the name of the variable that a reference stands for, in the residual of
// an expression with modifiers, and the rest of the reference.
func (r *Residual) Variable(ref ast.Ref) (name ast.Var, rest ast.Ref, ok bool) {
	vars := r.query.policy.with.vars
	if !ref.HasPrefix(vars) || len(ref) <= len(vars) {
		return "", nil, false
	}
	s, ok := ref[len(vars)].Value.(ast.String)
	return ast.Var(s), ref[len(vars)+1:], ok
}

// PartialWith evaluates an expression of the residual's policy that has modifiers, as
// far as it goes: with an input, what is unknown of it, and data documents that are
// already what the modifiers make of them. Variables that are not known are unknown.
func (r *Residual) PartialWith(ctx context.Context, m *Modified, input ast.Value, unknowns []ast.Ref, data ast.Value, known map[ast.Var]ast.Value) (out *Residual, err error) {
	defer stopped(&err)
	q := r.query
	root := q.policy.with.root
	unknowns = slices.Clone(unknowns)
	vars := ast.NewObject()
	for _, v := range m.In {
		if have := known[v]; have != nil && isJSON(have) {
			vars.Insert(ast.StringTerm(string(v)), ast.NewTerm(have))
		} else {
			unknowns = append(unknowns, q.policy.with.ref("vars", string(v)))
		}
	}
	all, ok := data.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("data is no object, but %v", data)
	}
	all, _ = all.Merge(ast.NewObject(ast.Item(root[1], ast.ObjectTerm(ast.Item(ast.StringTerm("vars"), ast.NewTerm(vars))))))
	plain, err := ast.JSON(all)
	if err != nil {
		return nil, fmt.Errorf("making the data of %v: %w", m.body, err)
	}
	docs, ok := plain.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("data is no object, but %v", data)
	}
	store := inmem.NewFromObjectWithOpts(docs, inmem.OptRoundTripOnWrite(false))
	body := m.body.Copy()
	nested := &Query{
		policy: q.policy, text: body.String(),
		negations: q.negations, functions: q.functions, refusals: q.refusals,
	}
	if nested.partial, err = q.policy.open(body, store); err != nil {
		return nil, fmt.Errorf("preparing %v: %w", m.body, err)
	}
	if err := nested.probe(store); err != nil {
		return nil, err
	}
	if out, err = nested.Partial(ctx, input, unknowns); err != nil {
		return nil, err
	}
	out.data = data
	return out, nil
}

func isJSON(v ast.Value) bool {
	plain := true
	ast.WalkTerms(ast.NewTerm(v), func(t *ast.Term) bool {
		switch x := t.Value.(type) {
		case ast.Set:
			plain = false
		case ast.Object:
			plain = plain && !x.Until(func(k, _ *ast.Term) bool {
				_, ok := k.Value.(ast.String)
				return !ok
			})
		}
		return !plain
	})
	return plain
}

// ReadsAbove reports whether the expression reads a data document that holds a
// modifier's target. OPA merges there what it replaces elsewhere.
func (r *Residual) ReadsAbove(m *Modified, target ast.Ref) bool {
	return slices.ContainsFunc(r.query.policy.dataReads(m.body), func(read ast.Ref) bool {
		return len(read) < len(target) && target.HasPrefix(read)
	})
}

// Documents are the data documents that the residual was evaluated with.
func (r *Residual) Documents() ast.Value { return r.data }

// mocks are the expressions in which a builtin function, or one of the policy's, is
// replaced, and that refer to rules or have bodies of their own: the replacement is
// forgotten there.
func (p *Policy) mocks() []refusal {
	var out []refusal
	check := func(x any) {
		ast.WalkExprs(x, func(e *ast.Expr) bool {
			if len(e.With) == 0 {
				return false
			}
			reads, beyond := p.reads(e), false
			ast.WalkRefs(e, func(ref ast.Ref) bool {
				beyond = beyond || ref.HasPrefix(ast.DefaultRootRef) && !ref.HasPrefix(p.with.vars)
				return beyond
			})
			ast.WalkClosures(e, func(any) bool {
				beyond = true
				return true
			})
			if beyond {
				out = append(out, refusal{reads: reads, err: &UnfaithfulError{
					Kind: ReplacedFunction, Location: e.Location,
					text: "a rule or function is replaced in an expression that depends on the row",
				}})
			}
			return false
		})
	}
	for _, rule := range p.rules() {
		check(rule)
	}
	return out
}
