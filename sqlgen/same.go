package sqlgen

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// To simplify is to compare, most often two things that differ: they are compared part
// by part, and only what is sorted is printed.

// sameExpr reports whether two expressions are the same.
func sameExpr(a, b Expr) bool {
	x, okA := a.(Column)
	y, okB := b.(Column)
	if okA || okB {
		return okA && okB && x == y
	}
	return printsSame(a, b)
}

// printsSame reports whether two expressions print the same.
func printsSame(a, b Expr) bool {
	switch x := a.(type) {
	case Column:
		y, ok := b.(Column)
		return ok && x.Name == y.Name && x.Table == y.Table
	case Param:
		y, ok := b.(Param)
		return ok && x.Name == y.Name
	case Literal:
		y, ok := b.(Literal)
		return ok && x.same(y)
	case Text:
		y, ok := b.(Text)
		return ok && printsSame(x.Of, y.Of)
	case ToJSON:
		y, ok := b.(ToJSON)
		return ok && printsSame(x.Of, y.Of)
	case ToNumeric:
		y, ok := b.(ToNumeric)
		return ok && printsSame(x.Of, y.Of)
	case JSONGet:
		y, ok := b.(JSONGet)
		return ok && printsSame(x.Key, y.Key) && printsSame(x.Of, y.Of)
	case JSONValues:
		y, ok := b.(JSONValues)
		return ok && printsSame(x.Of, y.Of)
	case JSONArray:
		y, ok := b.(JSONArray)
		return ok && printsSame(x.Of, y.Of)
	case JSONString:
		y, ok := b.(JSONString)
		return ok && printsSame(x.Of, y.Of)
	case ZeroBased:
		y, ok := b.(ZeroBased)
		return ok && printsSame(x.Of, y.Of)
	case Length:
		y, ok := b.(Length)
		return ok && printsSame(x.Of, y.Of)
	case ArrayGet:
		y, ok := b.(ArrayGet)
		return ok && x.Index == y.Index && printsSame(x.Of, y.Of)
	case Call:
		y, ok := b.(Call)
		return ok && x.Of.name == y.Of.name && slices.EqualFunc(x.Args, y.Args, printsSame)
	case JSONBuild:
		y, ok := b.(JSONBuild)
		return ok && (x.Keys == nil) == (y.Keys == nil) && slices.Equal(x.Keys, y.Keys) && slices.EqualFunc(x.Values, y.Values, printsSame)
	case Aggregate:
		y, ok := b.(Aggregate)
		return ok && x.Fn == y.Fn && x.Distinct == y.Distinct && slices.EqualFunc(x.Of, y.Of, func(v, w Yield) bool {
			return samePrint(v.nested(), w.nested())
		})
	default:
		return false
	}
}

// same reports whether two literals print the same.
func (l Literal) same(m Literal) bool {
	if l.Type != m.Type {
		return false
	}
	switch v := l.Value.(type) {
	case string:
		w, ok := m.Value.(string)
		return ok && v == w
	case int64:
		w, ok := m.Value.(int64)
		return ok && v == w
	case bool:
		w, ok := m.Value.(bool)
		return ok && v == w
	case uuid.UUID:
		w, ok := m.Value.(uuid.UUID)
		return ok && v == w
	case []string:
		w, ok := m.Value.([]string)
		return ok && slices.Equal(v, w)
	case []uuid.UUID:
		w, ok := m.Value.([]uuid.UUID)
		return ok && slices.Equal(v, w)
	case []int64:
		w, ok := m.Value.([]int64)
		return ok && slices.Equal(v, w)
	case []bool:
		w, ok := m.Value.([]bool)
		return ok && slices.Equal(v, w)
	case []time.Time:
		w, ok := m.Value.([]time.Time)
		return ok && slices.EqualFunc(v, w, time.Time.Equal)
	case []float64:
		w, ok := m.Value.([]float64)
		return ok && slices.EqualFunc(v, w, func(a, b float64) bool { return a == b || a != a && b != b })
	default: // the rest of the scalars
		return !l.Type.Array && l.plain() == m.plain()
	}
}

// samePred reports whether two predicates differ at most in the order of their terms.
func samePred(p, q Predicate) bool { return same(p, q, sameTerms) }

// samePrint reports whether two predicates print the same.
func samePrint(p, q Predicate) bool {
	return same(p, q, func(a, b []Predicate) bool { return slices.EqualFunc(a, b, samePrint) })
}

func same(p, q Predicate, terms func(a, b []Predicate) bool) bool {
	switch x := p.(type) {
	case Const:
		y, ok := q.(Const)
		return ok && x == y
	case And:
		y, ok := q.(And)
		return ok && terms(x, y)
	case Or:
		y, ok := q.(Or)
		return ok && terms(x, y)
	case Not:
		y, ok := q.(Not)
		return ok && same(x.Of, y.Of, terms)
	case Compare: // the operands first that tell most of them apart
		y, ok := q.(Compare)
		return ok && x.Op == y.Op && printsSame(x.R, y.R) && sameExpr(x.L, y.L)
	case Distinct:
		y, ok := q.(Distinct)
		return ok && printsSame(x.R, y.R) && printsSame(x.L, y.L)
	case Same:
		y, ok := q.(Same)
		return ok && printsSame(x.R, y.R) && printsSame(x.L, y.L)
	case Null:
		y, ok := q.(Null)
		return ok && printsSame(x.Of, y.Of)
	case Member:
		y, ok := q.(Member)
		return ok && printsSame(x.Of, y.Of) && printsSame(x.Set, y.Set)
	case Excluded:
		y, ok := q.(Excluded)
		return ok && printsSame(x.Of, y.Of) && printsSame(x.Set, y.Set)
	case Holds:
		y, ok := q.(Holds)
		return ok && x.Want == y.Want && printsSame(x.Of, y.Of)
	case Match:
		y, ok := q.(Match)
		return ok && x.Kind == y.Kind && x.Fold == y.Fold && printsSame(x.Sub, y.Sub) && printsSame(x.Of, y.Of)
	case JSONTypeIs:
		y, ok := q.(JSONTypeIs)
		return ok && slices.Equal(x.Types, y.Types) && printsSame(x.Of, y.Of)
	case JSONContains:
		y, ok := q.(JSONContains)
		return ok && printsSame(x.R, y.R) && printsSame(x.L, y.L)
	case HasNull:
		y, ok := q.(HasNull)
		return ok && printsSame(x.Of, y.Of)
	case Exists:
		y, ok := q.(Exists)
		return ok && x.One == y.One && x.From == y.From && x.Alias == y.Alias && (x.On == nil) == (y.On == nil) &&
			(x.On == nil || samePrint(x.On, y.On)) && same(x.Where, y.Where, terms)
	case ExistsElement:
		y, ok := q.(ExistsElement)
		return ok && x.Values == y.Values && x.Element.Table == y.Element.Table && printsSame(x.Of, y.Of) && samePrint(x.Where, y.Where)
	default:
		return false
	}
}

// fewTerms is up to how many terms each is compared with each, rather than printed and
// sorted.
const fewTerms = 16

// sameTerms reports whether two lists have the same terms, whatever their order.
func sameTerms(a, b []Predicate) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) > fewTerms {
		x, y := key(a).keys, key(b).keys
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(x, y)
	}
	var taken [fewTerms]bool
	for _, t := range a {
		found := false
		for j, u := range b {
			if !taken[j] && samePred(t, u) {
				taken[j], found = true, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// holdsPred reports whether a predicate is among the terms.
func holdsPred(terms []Predicate, p Predicate) bool {
	return slices.ContainsFunc(terms, func(t Predicate) bool { return samePred(t, p) })
}
