package sqlgen

import (
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
