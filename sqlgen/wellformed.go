package sqlgen

import "slices"

// jsonTypeNames are what jsonb_typeof answers.
var jsonTypeNames = []string{"object", "array", "string", "number", "boolean", "null"}

// wellFormed reports whether a predicate can be rendered: a builder that left a term
// out must not have made a condition that is true of more rows.
func wellFormed(p Predicate) bool {
	switch p := p.(type) {
	case nil:
		return false
	case Const:
		return true
	case And:
		return !slices.ContainsFunc(p, func(t Predicate) bool { return !wellFormed(t) })
	case Or:
		return !slices.ContainsFunc(p, func(t Predicate) bool { return !wellFormed(t) })
	case Not:
		return wellFormed(p.Of)
	case Exists:
		return p.From != "" && wellFormed(p.Where)
	case ExistsElement:
		return p.Element.Table != "" && wholeExpr(p.Of) && wellFormed(p.Where)
	case Compare:
		if p.Op < EQ || p.Op > GE {
			return false
		}
	case Match:
		if p.Kind < AtStart || p.Kind > Anywhere {
			return false
		}
	case JSONTypeIs:
		if len(p.Types) == 0 || slices.ContainsFunc(p.Types, func(t string) bool { return !slices.Contains(jsonTypeNames, t) }) {
			return false
		}
	}
	return !slices.ContainsFunc(operands(p), func(e Expr) bool { return !wholeExpr(e) })
}

// wholeExpr reports whether an expression has all of its parts.
func wholeExpr(e Expr) bool {
	switch e := e.(type) {
	case nil:
		return false
	case Column:
		return e.Name != ""
	case Param:
		return true
	case Literal:
		return e.Value != nil
	case Call:
		return e.Of != nil && len(e.Args) == e.Of.arity() && !anyOf(e.Args, func(a Expr) bool { return !wholeExpr(a) })
	case JSONGet:
		return wholeExpr(e.Of) && wholeExpr(e.Key)
	default:
		return wholeExpr(operand(e))
	}
}
