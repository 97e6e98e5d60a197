package sqlgen

import "slices"

// jsonTypeNames are what jsonb_typeof answers.
var jsonTypeNames = []string{"object", "array", "string", "number", "boolean", "null"}

// wellFormed reports whether a predicate can be rendered: a builder that left a term
// out must not have made a condition that is true of more rows.
func wellFormed(p Predicate) bool { return wellFormedIn(nil, p) }

// wellFormedIn is wellFormed inside a subquery; nil where there is none.
func wellFormedIn(around *Exists, p Predicate) bool {
	lacking := func(t Predicate) bool { return !wellFormedIn(around, t) }
	switch p := p.(type) {
	case nil:
		return false
	case Const:
		return true
	case And:
		return !slices.ContainsFunc(p, lacking)
	case Or:
		return !slices.ContainsFunc(p, lacking)
	case Not:
		return !lacking(p.Of)
	case Exists:
		return p.From != "" && (around == nil || p.Outer == around.Outer) && (p.On == nil || wellFormedIn(&p, p.On)) && wellFormedIn(&p, p.Where)
	case ExistsElement:
		return p.Element.Table != "" && wholeExpr(p.Of) && !lacking(p.Where)
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
		return e.Of != nil && e.Of.takes(len(e.Args)) && !anyOf(e.Args, func(a Expr) bool { return !wholeExpr(a) })
	case Aggregate:
		return e.whole()
	case JSONBuild:
		return e.whole()
	case JSONGet:
		return wholeExpr(e.Of) && wholeExpr(e.Key)
	default:
		return wholeExpr(operand(e))
	}
}
