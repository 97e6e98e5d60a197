package compiler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// maxSolutions bounds the ways in which one body can be satisfied, and so the time
// and the size of the SQL.
const maxSolutions = 10000

// translator turns the rules of one residual into conditions.
type translator struct {
	ctx       context.Context
	residual  *rego.Residual
	doc       *document
	now       time.Time
	memo      map[*ast.Rule]value // of rules without arguments, by the first of the definitions
	asked     map[*ast.Rule]bool  // the first of the definitions
	derived   map[*Param]value    // of rules that are parameters
	vars      map[ast.Var]value   // of the expression with modifiers that the residual is of
	depth     int
	loops     int       // over collections of the row, so far
	merged    int       // loops over collections whose elements may be equal, so far
	modifieds int       // expressions with modifiers, so far
	expr      *ast.Expr // the expression at hand, for errors
	rule      *ast.Rule // the rule at hand, for errors
}

// refusal carries an Error from deep inside an expression to the translation's
// edge, where it is returned.
type refusal struct{ err *Error }

// interruption carries the context's error the same way.
type interruption struct{ err error }

func refuse(code Code, reason, hint string) {
	panic(refusal{&Error{Code: code, Reason: reason, Hint: hint}})
}

// translate is the condition under which one of the residual's queries is true.
func translate(ctx context.Context, residual *rego.Residual, doc *document, now time.Time) (p sqlgen.Predicate, err error) {
	t := &translator{ctx: ctx, residual: residual, doc: doc, now: now, memo: map[*ast.Rule]value{}, asked: map[*ast.Rule]bool{}, derived: map[*Param]value{}}
	defer caught(&err, t.locate)
	any := make([]sqlgen.Predicate, len(residual.Queries))
	for i, q := range residual.Queries {
		any[i] = t.holds(q, nil)
	}
	t.unasked()
	return sqlgen.ShortAliases(disjunction(any)), nil
}

// caught turns a refusal or interruption that is under way into the error.
func caught(err *error, locate func(*Error) *Error) {
	switch r := recover().(type) {
	case nil:
	case refusal:
		*err = locate(r.err)
	case interruption:
		*err = fmt.Errorf("translating: %w", r.err)
	default:
		panic(r)
	}
}

// locate adds the place in the policy.
func (t *translator) locate(e *Error) *Error {
	if t.expr == nil || e.Position != nil {
		return e
	}
	e.Expression = t.expr.String()
	loc := t.expr.Location
	if loc == nil && t.rule != nil {
		loc = t.rule.Loc()
	}
	if loc != nil {
		if len(loc.Text) > 0 && loc.File != "" {
			e.Expression = string(loc.Text)
		}
		at := positionOf(loc)
		e.Position = &at
	}
	return e
}

// env binds the variables of a body. It is a list, so that the ways in which a
// body can be satisfied share what they have in common.
type env struct {
	outer *env
	name  ast.Var
	val   value
}

func (e *env) get(name ast.Var) (value, bool) {
	for ; e != nil; e = e.outer {
		if e.name == name {
			return e.val, true
		}
	}
	return nil, false
}

func (e *env) bind(name ast.Var, v value) *env { return &env{e, name, v} }

// holds is the condition under which the body has a solution.
func (t *translator) holds(body ast.Body, e *env) sqlgen.Predicate {
	sols := t.solve(body, solution{when: sqlgen.True, env: e})
	if len(sols) == 1 {
		return sols[0].holds()
	}
	any := make([]sqlgen.Predicate, len(sols))
	for i, s := range sols {
		any[i] = s.holds()
	}
	return disjunction(any)
}

// maxConditions bounds the conditions that a rule is made of. A rule that is used
// more than once stands in the SQL as often, and rules of such rules grow with their
// depth.
const maxConditions = 20000

// spend refuses a rule that is too large.
func (t *translator) spend(v value) {
	left := maxConditions
	for _, a := range v {
		if left = measure(a.when, left); left <= 0 {
			refuse(CodeExpression, fmt.Sprintf("a rule of more than %d conditions", maxConditions), "use each helper once, or compare with sets that are known")
		}
	}
}

// measure takes the conditions of p off what is left, and stops at 0.
func measure(p sqlgen.Predicate, left int) int {
	var terms []sqlgen.Predicate
	switch p := p.(type) {
	case sqlgen.And:
		terms = p
	case sqlgen.Or:
		terms = p
	case sqlgen.Not:
		return measure(p.Of, left)
	case sqlgen.ExistsElement:
		return measure(p.Where, left-1)
	case sqlgen.Exists:
		return measure(p.Where, left-1)
	case sqlgen.Compare:
		return measureExpr(p.L, measureExpr(p.R, left-1))
	default:
		return left - 1
	}
	for _, t := range terms {
		if left <= 0 {
			break
		}
		left = measure(t, left)
	}
	return left
}

// measureExpr is measure of the conditions in an expression.
func measureExpr(e sqlgen.Expr, left int) int {
	if a, ok := e.(sqlgen.Aggregate); ok {
		for _, y := range a.Of {
			if left <= 0 {
				break
			}
			left = measure(y.Where, left-1)
		}
	}
	return left
}

// alive ends the translation when its context has ended.
func (t *translator) alive() {
	if err := t.ctx.Err(); err != nil {
		panic(interruption{err})
	}
}

// solve finds the solutions of a body, an expression after the other. Expressions
// whose variables are not bound yet wait for those that bind them.
func (t *translator) solve(body ast.Body, start solution) []solution {
	t.alive()
	waiting := slices.Clone([]*ast.Expr(body))
	sols := []solution{start}
	for len(waiting) > 0 && len(sols) > 0 {
		i := slices.IndexFunc(waiting, func(e *ast.Expr) bool { return t.ready(e, waiting, sols[0].env) })
		if i < 0 {
			i = 0 // it will say which variable is unbound
		}
		expr := waiting[i]
		waiting = slices.Delete(waiting, i, i+1)
		var next []solution
		for _, s := range sols {
			t.alive()
			next = appended(next, t.step(expr, s))
			if len(next) > maxSolutions {
				refuse(CodeExpression, fmt.Sprintf("it can be satisfied in more than %d ways", maxSolutions), "move the loop into a set that is known")
			}
		}
		sols = next
	}
	return sols
}

// ready reports whether the variables that the expression only reads are bound.
func (t *translator) ready(expr *ast.Expr, waiting []*ast.Expr, e *env) bool {
	terms, ok := expr.Terms.([]*ast.Term)
	if _, isTerm := expr.Terms.(*ast.Term); expr.Negated || !ok && !isTerm {
		return t.bound(expr, waiting, e)
	}
	if !ok {
		return t.readable(expr.Terms.(*ast.Term), e)
	}
	if expr.IsEquality() || expr.IsAssignment() {
		return t.readable(terms[1], e) && t.bindable(terms[2], e) || t.readable(terms[2], e) && t.bindable(terms[1], e)
	}
	arity := t.arity(terms)
	for _, arg := range terms[1:min(arity+1, len(terms))] {
		if !t.readable(arg, e) {
			return false
		}
	}
	return true
}

// bound reports whether all variables of an expression that binds none are bound, but
// for its own: wildcards, and those of its bodies that no other expression has.
func (t *translator) bound(expr *ast.Expr, waiting []*ast.Expr, e *env) bool {
	vis := ast.NewVarVisitor().WithParams(ast.VarVisitorParams{SkipRefCallHead: true})
	vis.Walk(expr)
	for v := range vis.Vars() {
		if _, ok := e.get(v); ok || v.IsWildcard() || ast.RootDocumentNames.Contains(ast.NewTerm(v)) || ast.ReservedVars.Contains(v) {
			continue
		}
		if slices.ContainsFunc(waiting, func(other *ast.Expr) bool {
			return other != expr && other.Vars(ast.SafetyCheckVisitorParams).Contains(v)
		}) {
			return false
		}
	}
	return true
}

// readable: a term whose value can be computed, loops included.
func (t *translator) readable(term *ast.Term, e *env) bool {
	switch v := term.Value.(type) {
	case ast.Var:
		_, ok := e.get(v)
		return ok || ast.RootDocumentNames.Contains(term)
	case ast.Ref:
		return t.readable(v[0], e)
	case *ast.Array:
		return !v.Until(func(x *ast.Term) bool { return !t.readable(x, e) })
	case ast.Set:
		return !v.Until(func(x *ast.Term) bool { return !t.readable(x, e) })
	case ast.Object:
		return !v.Until(func(k, x *ast.Term) bool { return !t.readable(k, e) || !t.readable(x, e) })
	default:
		return true
	}
}

// bindable: a term that can be read, or that a value can be bound to.
func (t *translator) bindable(term *ast.Term, e *env) bool {
	switch v := term.Value.(type) {
	case ast.Var:
		return true
	case *ast.Array:
		return !v.Until(func(x *ast.Term) bool { return !t.bindable(x, e) })
	case ast.Object:
		return !v.Until(func(k, x *ast.Term) bool { return !t.readable(k, e) || !t.bindable(x, e) })
	default:
		return t.readable(term, e)
	}
}

// step is what an expression makes of a solution.
func (t *translator) step(expr *ast.Expr, s solution) []solution {
	t.expr = expr
	if len(expr.With) > 0 {
		refuse(CodeWith, "a with modifier on an expression that depends on the row", "pass the value as an argument of a function")
	}
	if expr.Negated {
		positive := expr.Complement()
		return s.and(sqlgen.Not{Of: t.holds(ast.Body{positive}, s.env)})
	}
	switch terms := expr.Terms.(type) {
	case *ast.Term:
		return t.truthy(terms, s)
	case []*ast.Term:
		if expr.IsEquality() || expr.IsAssignment() {
			return t.unify(terms[1], terms[2], s)
		}
		return t.call(terms, s)
	case *ast.SomeDecl:
		return []solution{s}
	case *ast.Not:
		return s.and(sqlgen.Not{Of: t.holds(terms.Body, s.env)})
	case *ast.LogicalAnd:
		return s.and(conjunction(t.holds(terms.Lhs, s.env), t.holds(terms.Rhs, s.env)))
	case *ast.LogicalOr:
		return s.and(disjunction([]sqlgen.Predicate{t.holds(terms.Lhs, s.env), t.holds(terms.Rhs, s.env)}))
	case *ast.Every:
		return t.every(terms, s)
	default:
		refuse(CodeExpression, "this form of expression has no translation", "")
	}
	return nil
}

// truthy: an expression that is a term is true where it is defined and not false.
func (t *translator) truthy(term *ast.Term, s solution) []solution {
	if v, ok := t.atHand(term, s.env); ok {
		return s.and(isTruthy(v))
	}
	var out []solution
	for _, f := range t.eval(term, s) {
		out = appended(out, f.and(isTruthy(f.val)))
	}
	return out
}

func isTruthy(v value) sqlgen.Predicate {
	if len(v) == 1 {
		return conjunction(v[0].when, operandTruthy(v[0].op))
	}
	any := make([]sqlgen.Predicate, len(v))
	for i, a := range v {
		any[i] = conjunction(a.when, operandTruthy(a.op))
	}
	return disjunction(any)
}

func operandTruthy(op operand) sqlgen.Predicate {
	switch op := op.(type) {
	case known:
		return sqlgen.Const(op.v.Compare(ast.Boolean(false)) != 0)
	case scalar:
		if sqlgen.TypeOf(op.e).Kind == sqlgen.KindBool {
			return sqlgen.Holds{Of: op.e, Want: true}
		}
	case jsonValue:
		return sqlgen.Compare{Op: sqlgen.NE, L: op.e, R: sqlgen.JSON("false")}
	case extreme:
		return compareExtreme(sqlgen.NE, op, known{ast.Boolean(false)})
	}
	return sqlgen.True
}

// unify makes two terms equal, binding the variables that are free.
func (t *translator) unify(a, b *ast.Term, s solution) []solution {
	if t.free(a, s.env) {
		a, b = b, a
	}
	if t.free(a, s.env) {
		refuse(CodeExpression, "neither side has a value", "")
	}
	if v, ok := t.atHand(a, s.env); ok {
		return t.unifyValue(b, v, s)
	}
	var out []solution
	for _, f := range t.eval(a, s) {
		out = appended(out, t.unifyValue(b, f.val, f.solution))
	}
	return out
}

// free reports whether the term is, or has in a pattern, a variable without a value.
func (t *translator) free(term *ast.Term, e *env) bool {
	switch v := term.Value.(type) {
	case ast.Var:
		return !t.readable(term, e)
	case *ast.Array:
		return v.Until(func(x *ast.Term) bool { return t.free(x, e) })
	case ast.Object:
		return v.Until(func(_, x *ast.Term) bool { return t.free(x, e) })
	default:
		return false
	}
}

func (t *translator) unifyValue(pattern *ast.Term, v value, s solution) []solution {
	if name, ok := pattern.Value.(ast.Var); ok && t.free(pattern, s.env) {
		out := s.and(v.defined())
		for i := range out {
			out[i].env = out[i].env.bind(name, v)
		}
		return out
	}
	if t.free(pattern, s.env) {
		return t.unifyPattern(pattern.Value, v, s)
	}
	if w, ok := t.atHand(pattern, s.env); ok {
		return s.and(compareValues(sqlgen.EQ, v, w))
	}
	var out []solution
	for _, f := range t.eval(pattern, s) {
		out = appended(out, f.and(compareValues(sqlgen.EQ, v, f.val)))
	}
	return out
}

// arity is the number of arguments of the function that terms call.
func (t *translator) arity(terms []*ast.Term) int {
	ref, ok := terms[0].Value.(ast.Ref)
	if !ok {
		return len(terms) - 1
	}
	if n, ok := isBuiltin(ref.String()); ok {
		return n
	}
	if rules, n := t.residual.Rules(ref); n == len(ref) {
		return len(rules[0].Head.Args)
	}
	return len(terms) - 1
}

// call is a function called as an expression: with a last argument for its result,
// or for its truth.
func (t *translator) call(terms []*ast.Term, s solution) []solution {
	arity := t.arity(terms)
	type partial struct {
		solution
		args []value
	}
	eval := t.eval
	if ref, ok := terms[0].Value.(ast.Ref); ok {
		if _, ok := isBuiltin(ref.String()); ok {
			eval = func(arg *ast.Term, s solution) []found { return t.openAll(t.eval(arg, s)) }
		}
	}
	operands := terms[1:min(arity+1, len(terms))]
	first := partial{s, make([]value, 0, len(operands))}
	for _, arg := range operands {
		v, ok := t.atHand(arg, s.env)
		if !ok || (found{s, v}).hasRow() {
			break
		}
		first.args = append(first.args, v)
	}
	parts := []partial{first}
	for _, arg := range operands[len(first.args):] {
		var next []partial
		for _, p := range parts {
			for _, f := range eval(arg, p.solution) {
				next = append(next, partial{f.solution, append(p.args[:len(p.args):len(p.args)], f.val)})
			}
		}
		parts = next
	}
	var out []solution
	for _, p := range parts {
		for _, f := range t.unfold(found{p.solution, t.apply(terms[0], p.args)}) {
			if len(terms) > arity+1 {
				out = appended(out, t.unifyValue(terms[arity+1], f.val, f.solution))
				continue
			}
			out = appended(out, f.and(isTruthy(f.val)))
		}
	}
	return out
}

func (t *translator) apply(operator *ast.Term, args []value) value {
	ref, ok := operator.Value.(ast.Ref)
	if !ok {
		refuse(CodeExpression, "a call of something that is no function", "")
	}
	if _, ok := isBuiltin(ref.String()); ok {
		return t.callBuiltin(ref.String(), args)
	}
	rules, n := t.residual.Rules(ref)
	if n != len(ref) {
		return nil // no definition is left of it
	}
	return t.ruleValue(rules, args)
}
