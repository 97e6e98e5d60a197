package rego

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// Partial evaluation drops an expression that does not type-check once what is known is
// put in, and the whole rule with it. That is no harm where the expression can't be true,
// but a comprehension whose body can't be is empty, and the rule may well be true. The
// policy as it was written has passed the checker before; what is dropped is dropped for
// the types of known values. So partial evaluation gets a policy in which these have
// none:
//
//   - Builtin functions take and return anything.
//   - The body of a comprehension begins with the variables that it reads from outside,
//     each equal to a variable of its own. The checker takes a variable's type from where
//     it meets the variable first, and two that it has not met yet may be anything.
//   - A partial set that is compared as a whole is bound to a variable before: of one
//     that is empty the checker knows no type, and it finds no match for that.
//   - So is a set literal of variables alone that is compared with another: the checker
//     knows no type of either, and finds no match. A negation of it would be dropped.
//
//   - A negated equality with a key or an element of what the body makes itself, such as
//     the place in an array comprehension, is the builtin function instead: a unification
//     has no match of a number with a text, and the negation of it would be dropped.
//
// Who reads the residual finds no variables of ours in comprehensions.

// untyped are OPA's capabilities with builtins that take and return anything.
func untyped() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = append(c.Builtins, memberBuiltins...)
	for i, b := range c.Builtins {
		if b.Decl.Result() == nil {
			continue
		}
		args := b.Decl.FuncArgs()
		for i := range args.Args {
			args.Args[i] = types.A
		}
		wide := *b
		wide.Decl = types.NewFunction(args.Args, types.A)
		c.Builtins[i] = &wide
	}
	return c
}

// loosen is the stage of a compiler in which known values lose their types.
func (m *modifiers) loosen(c *ast.Compiler) *ast.Error {
	for _, name := range slices.Sorted(maps.Keys(c.Modules)) {
		for _, rule := range c.Modules[name].Rules {
			l := loosening{compiler: c, names: varsOf(rule)}
			l.declare(rule.Body)
			bound := ast.NewVarSet()
			for _, arg := range rule.Head.Args {
				bound.Update(varsOf(arg))
			}
			rule.Body = l.body(rule.Body, bound)
		}
	}
	for _, e := range m.exprs {
		l := loosening{compiler: c, names: varsOf(e.body)}
		l.declare(e.body)
		e.body = l.body(e.body, ast.NewVarSet())
	}
	return nil
}

type loosening struct {
	compiler *ast.Compiler
	names    ast.VarSet // that are taken
	declared int        // variables of ours, so far
	ours     ast.VarSet // keys and elements of what bodies make
}

// made notes the variables of a body that are keys or elements of a value that a
// variable has: the checker may know their types.
func (l *loosening) made(body ast.Body) {
	if l.ours == nil {
		l.ours = ast.NewVarSet()
	}
	isOfLocal := func(v ast.Value) bool {
		ref, ok := v.(ast.Ref)
		return ok && !ast.RootDocumentNames.Contains(ref[0])
	}
	ast.WalkRefs(body, func(ref ast.Ref) bool {
		if isOfLocal(ref) {
			for _, key := range ref[1:] {
				if v, ok := key.Value.(ast.Var); ok {
					l.ours.Add(v)
				}
			}
		}
		return false
	})
	for before := -1; before < len(l.ours); {
		before = len(l.ours)
		ast.WalkExprs(body, func(e *ast.Expr) bool {
			if !e.IsEquality() {
				return false
			}
			for i, operand := range e.Operands() {
				v, ok := operand.Value.(ast.Var)
				if other := e.Operand(1 - i); ok && (isOfLocal(other.Value) || l.isMade(other)) {
					l.ours.Add(v)
				}
			}
			return false
		})
	}
}

// asCall is a negated equality as a negated call. A call has no references for operands:
// they are bound before it, inside the negation, where they may be undefined.
func (l *loosening) asCall(e *ast.Expr) *ast.Expr {
	var inside ast.Body
	operands := make([]*ast.Term, 2)
	for i, operand := range e.Operands() {
		operands[i] = operand
		switch operand.Value.(type) {
		case ast.Var, ast.Null, ast.Boolean, ast.Number, ast.String:
			continue
		}
		operands[i] = ast.NewTerm(l.free("operand")).SetLocation(operand.Location)
		inside.Append(ast.Equality.Expr(operands[i], operand).SetLocation(e.Location))
	}
	call := ast.Equal.Expr(operands...).SetLocation(e.Location)
	if len(inside) == 0 {
		call.Negated = true
		return call
	}
	inside.Append(call)
	not := ast.NewNot(inside...)
	not.Location = e.Location
	return ast.NewExpr(not).SetLocation(e.Location)
}

// isMade reports whether a term is such a variable, or reads such a value.
func (l *loosening) isMade(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Var:
		return l.ours.Contains(v)
	case ast.Ref:
		return !ast.RootDocumentNames.Contains(v[0])
	default:
		return false
	}
}

// body binds the partial sets that are compared as a whole, in a body and in those
// inside of it. Some variables have a value before.
func (l *loosening) body(body ast.Body, bound ast.VarSet) ast.Body {
	bound = bound.Copy()
	l.made(body)
	var out ast.Body
	for _, e := range body {
		if e.Negated && e.IsEquality() && slices.ContainsFunc(e.Operands(), l.isMade) {
			e = l.asCall(e)
		}
		inside := bound.Copy()
		inside.Update(e.Vars(ast.SafetyCheckVisitorParams))
		ast.NewGenericVisitor(func(x any) bool {
			switch x := x.(type) {
			case *ast.ArrayComprehension:
				x.Body = l.body(x.Body, inside)
				return true
			case *ast.SetComprehension:
				x.Body = l.body(x.Body, inside)
				return true
			case *ast.ObjectComprehension:
				x.Body = l.body(x.Body, inside)
				return true
			case *ast.Every:
				x.Body = l.body(x.Body, inside) // its domain, too, may hold bodies
			case *ast.Not:
				x.Body = l.body(x.Body, inside)
				return true
			case *ast.LogicalAnd:
				x.Lhs, x.Rhs = l.body(x.Lhs, inside), l.body(x.Rhs, inside)
				return true
			case *ast.LogicalOr:
				x.Lhs, x.Rhs = l.body(x.Lhs, inside), l.body(x.Rhs, inside)
				return true
			}
			return false
		}).Walk(e)
		if e.IsEquality() && len(e.With) == 0 {
			for i, operand := range e.Operands() {
				if _, isVar := e.Operand(1 - i).Value.(ast.Var); isVar && !bound.Contains(e.Operand(1-i).Value.(ast.Var)) {
					continue // it binds one
				}
				if l.isPartial(operand) {
					v := ast.NewTerm(l.free("whole")).SetLocation(operand.Location)
					out.Append(ast.Equality.Expr(v, operand).SetLocation(e.Location))
					e.Terms.([]*ast.Term)[i+1] = v
				}
			}
		}
		if e.IsEquality() && hasOpenSet(e.Operand(0)) && hasOpenSet(e.Operand(1)) {
			for i, operand := range e.Operands() {
				e.Terms.([]*ast.Term)[i+1] = l.bindSets(operand, e.Location, &out)
			}
		}
		out.Append(e)
		bound.Update(e.Vars(ast.SafetyCheckVisitorParams))
	}
	return out
}

// bindSets is a term with variables for the open sets in it, bound in the body before.
func (l *loosening) bindSets(t *ast.Term, at *ast.Location, before *ast.Body) *ast.Term {
	var bound ast.Value
	switch v := t.Value.(type) {
	case ast.Set:
		if !isOpen(v) {
			return t
		}
		name := ast.NewTerm(l.free("whole")).SetLocation(t.Location)
		before.Append(ast.Equality.Expr(name, t).SetLocation(at))
		return name
	case *ast.Array:
		all := make([]*ast.Term, v.Len())
		for i := range all {
			all[i] = l.bindSets(v.Elem(i), at, before)
		}
		bound = ast.NewArray(all...)
	case ast.Object:
		obj := ast.NewObject()
		v.Foreach(func(k, x *ast.Term) { obj.Insert(k, l.bindSets(x, at, before)) })
		bound = obj
	default:
		return t
	}
	return ast.NewTerm(bound).SetLocation(t.Location)
}

// hasOpenSet reports whether a term of variables and constants is, or has in it, an open
// set.
func hasOpenSet(t *ast.Term) bool {
	open, plain := false, true
	ast.WalkTerms(t, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Set:
			open = open || isOpen(v)
		case *ast.Array, ast.Object, ast.Var, ast.String, ast.Number, ast.Boolean, ast.Null:
		default:
			plain = false
		}
		return false
	})
	return open && plain
}

// isOpen reports whether no element of a set is constant.
func isOpen(s ast.Set) bool { return s.Len() > 0 && !s.Until((*ast.Term).IsGround) }

func (l *loosening) free(name ast.Var) ast.Var {
	free := name
	for i := 1; l.names.Contains(free); i++ {
		free = ast.Var(fmt.Sprintf("%s%d", name, i))
	}
	l.names.Add(free)
	return free
}

// isPartial reports whether a term is a partial set or object, as a whole.
func (l *loosening) isPartial(t *ast.Term) bool {
	ref, ok := t.Value.(ast.Ref)
	if !ok || !ref.HasPrefix(ast.DefaultRootRef) {
		return false
	}
	return slices.ContainsFunc(l.compiler.GetRulesExact(ref), func(r *ast.Rule) bool {
		return r.Head.RuleKind() == ast.MultiValue || len(r.Head.Ref()) > len(r.Head.Ref().GroundPrefix())
	})
}

// IsSet reports whether ref is that of a partial set, of which the residual may have no
// definition left.
func (r *Residual) IsSet(ref ast.Ref) bool {
	if r.Owns(ref) {
		ref = ast.DefaultRootRef.Concat(ref[2:])
	}
	return r.policy.IsSet(ref)
}

// IsSet reports whether ref is that of a partial set.
func (p *Policy) IsSet(ref ast.Ref) bool {
	return slices.ContainsFunc(p.desugared.GetRulesExact(ref), func(r *ast.Rule) bool {
		return r.Head.RuleKind() == ast.MultiValue
	})
}

// declare begins the bodies of comprehensions with the variables from outside.
func (l *loosening) declare(body ast.Body) {
	ast.WalkTerms(body, func(t *ast.Term) bool {
		var inside *ast.Body
		switch x := t.Value.(type) {
		case *ast.ArrayComprehension:
			inside = &x.Body
		case *ast.SetComprehension:
			inside = &x.Body
		case *ast.ObjectComprehension:
			inside = &x.Body
		default:
			return false
		}
		vars := varsOf(t).Intersect(varsOutside(body, t))
		var declared ast.Body
		for _, v := range vars.Sorted() {
			own := ast.VarTerm(fmt.Sprintf("%s%d_", declaredPrefix, l.declared))
			l.declared++
			declared.Append(ast.Equality.Expr(own, ast.NewTerm(v)).SetLocation(t.Location))
		}
		for _, e := range *inside {
			declared.Append(e)
		}
		*inside = declared
		return false
	})
}

// varsOutside are the variables of a body but for those in a term of it.
func varsOutside(body ast.Body, term *ast.Term) ast.VarSet {
	out := ast.NewVarSet()
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Term:
			return x == term
		case ast.Var:
			if !x.IsWildcard() && !ast.ReservedVars.Contains(x) {
				out.Add(x)
			}
		}
		return false
	}).Walk(body)
	return out
}

// undeclare takes out again what declare has put in, in place.
func undeclare(x any) {
	drop := func(body ast.Body) ast.Body { return slices.DeleteFunc(body, isDeclaration) }
	ast.WalkTerms(x, func(t *ast.Term) bool {
		switch x := t.Value.(type) {
		case *ast.ArrayComprehension:
			x.Body = drop(x.Body)
		case *ast.SetComprehension:
			x.Body = drop(x.Body)
		case *ast.ObjectComprehension:
			x.Body = drop(x.Body)
		}
		return false
	})
}

// declaredPrefix begins the names of our variables. A policy can't write them.
const declaredPrefix = ast.WildcardPrefix + "declared_"

func isDeclared(v ast.Var) bool { return strings.HasPrefix(string(v), declaredPrefix) }

func isDeclaration(e *ast.Expr) bool {
	if !e.IsEquality() {
		return false
	}
	own, ok := e.Operand(0).Value.(ast.Var)
	return ok && isDeclared(own)
}
