package sqlgen

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
)

// Value makes a driver refuse a parameter that nobody has bound.
func (e Param) Value() (driver.Value, error) {
	return nil, fmt.Errorf("parameter %s has no value: bind it before the query runs", e.Name)
}

// Bind puts values in the place of parameters. The first error of value stops it.
func Bind(p Predicate, value func(Param) (Literal, error)) (Predicate, error) {
	var first error
	bound := rewrite(p, func(e Expr) Expr {
		param, ok := e.(Param)
		if !ok || first != nil {
			return foldExpr(e)
		}
		lit, err := value(param)
		if err != nil {
			first = err
			return e
		}
		return lit
	})
	return bound, first
}

// WhenBound is [WhenContext] of [Bind], without a report: what the values settle is
// left out at once. On an error, the filter is Never.
func WhenBound(ctx context.Context, p Predicate, value func(Param) (Literal, error)) (Filter, error) {
	b := binding{value: value}
	p = b.pred(p)
	if b.err != nil {
		return Never(), b.err
	}
	return WhenContext(ctx, p, nil), nil
}

// binding puts values in the place of parameters, and drops what they settle.
type binding struct {
	value func(Param) (Literal, error)
	err   error
}

func (b *binding) pred(p Predicate) Predicate {
	switch p := p.(type) {
	case And:
		return unwrapAnd(b.terms(p, False))
	case Or:
		return unwrapOr(b.terms(p, True))
	case Not:
		of := b.pred(p.Of)
		if c, ok := of.(Const); ok {
			return !c
		}
		return Not{of}
	case Exists:
		if p.Where = b.pred(p.Where); p.Where == Predicate(False) {
			return False
		}
		if p.On != nil {
			p.On = b.pred(p.On)
		}
		return p
	case ExistsElement:
		p.Of = b.expr(p.Of)
		if of, ok := p.Of.(Literal); ok && of.Type.Array && of.Len() == 0 {
			return False
		}
		if p.Where = b.pred(p.Where); p.Where == Predicate(False) {
			return False
		}
		return p
	default:
		if !anyOperand(p, holdsParam) {
			return p
		}
		var s simplifier
		return fire(&s, leafRules, mapOperands(p, b.expr))
	}
}

// terms are those of an And, or of an Or, that say something; only the one that
// settles all of it, if there is one.
func (b *binding) terms(terms []Predicate, settles Const) []Predicate {
	out := make([]Predicate, 0, len(terms))
	for _, t := range terms {
		switch q := b.pred(t); q {
		case Predicate(settles):
			return []Predicate{settles}
		case Predicate(!settles):
		default:
			out = append(out, q)
		}
	}
	return out
}

func (b *binding) expr(e Expr) Expr {
	if !holdsParam(e) {
		return e
	}
	return rewriteExpr(e, func(e Expr) Expr {
		p, ok := e.(Param)
		if !ok || b.err != nil {
			return foldExpr(e)
		}
		l, err := b.value(p)
		if err != nil {
			b.err = err
			return e
		}
		return l
	})
}

// holdsParam reports whether there is, or may be, a parameter in an expression.
func holdsParam(e Expr) bool {
	return anyPart(e, func(part Expr) bool {
		switch part.(type) {
		case Param, Aggregate:
			return true
		default:
			return false
		}
	})
}

// Params are the parameters that p mentions, each once, in the order in which they come.
func Params(p Predicate) []Param {
	var out []Param
	rewrite(p, func(e Expr) Expr {
		if param, ok := e.(Param); ok && !slices.Contains(out, param) {
			out = append(out, param)
		}
		return e
	})
	return out
}

// foldExpr computes what is computed of a literal.
func foldExpr(e Expr) Expr {
	of, ok := operand(e).(Literal)
	if !ok {
		return e
	}
	if _, length := e.(Length); length && of.Type.Array {
		return Int(int64(of.Len()))
	}
	if of.Type.Array {
		return e
	}
	switch e.(type) {
	case Text:
		return String(of.plain())
	case ToJSON:
		if of.Type.Numeric() || of.Type.Kind == KindBool || of.Type.Kind == KindJSONB {
			if !json.Valid([]byte(of.plain())) { // NaN
				return e
			}
			return JSON(of.plain())
		}
		quoted, err := json.Marshal(of.plain())
		if err != nil {
			return e
		}
		return JSON(string(quoted))
	case ToNumeric:
		if of.Type.Numeric() {
			return Number(of.plain())
		}
	}
	return e
}
