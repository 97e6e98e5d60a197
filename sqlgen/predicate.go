package sqlgen

// Predicate is a condition on a row: it is true, or it is not. See the package
// comment for what that means of NULL.
type Predicate interface{ predicate() }

// Const is the condition that is true of every row, or of none.
type Const bool

// The two constants.
const (
	True  Const = true
	False Const = false
)

// And is true when all of its terms are; an empty And is true.
type And []Predicate

// Or is true when one of its terms is; an empty Or is not true.
type Or []Predicate

// Not is true when its term is not.
type Not struct{ Of Predicate }

// Op is a comparison.
type Op uint8

// The comparisons. Each is not true when an operand is NULL.
const (
	EQ Op = iota + 1
	NE
	LT
	LE
	GT
	GE
)

var opText = [...]string{EQ: "=", NE: "<>", LT: "<", LE: "<=", GT: ">", GE: ">="}

// String is the operator in SQL.
func (op Op) String() string { return opText[op] }

// Complement is the comparison that holds of two values when op does not.
func (op Op) Complement() Op { return [...]Op{EQ: NE, NE: EQ, LT: GE, LE: GT, GT: LE, GE: LT}[op] }

// Flip is the comparison with the operands exchanged.
func (op Op) Flip() Op { return [...]Op{EQ: EQ, NE: NE, LT: GT, LE: GE, GT: LT, GE: LE}[op] }

// Compare compares two values of comparable types, text by its bytes.
type Compare struct {
	Op   Op
	L, R Expr
}

// Distinct is IS DISTINCT FROM: NULL is a value like any other, and equal to
// itself.
type Distinct struct{ L, R Expr }

// Same is IS NOT DISTINCT FROM.
type Same struct{ L, R Expr }

// Null is true when the value is NULL.
type Null struct{ Of Expr }

// Member is true when the value is an element of the set: an array literal,
// parameter or column.
type Member struct{ Of, Set Expr }

// Excluded is true when the value is not NULL and differs from every element of
// the set, an array literal or parameter (which hold no NULL).
type Excluded struct{ Of, Set Expr }

// Holds is true when a boolean value is Want (and not NULL).
type Holds struct {
	Of   Expr
	Want bool
}

// MatchKind says where a [Match] looks.
type MatchKind uint8

// The places of a match.
const (
	AtStart MatchKind = iota + 1
	AtEnd
	Anywhere
)

// Match is true when the text Sub stands in the text Of. Sub is literal: it has
// no wildcards. Fold ignores case as the database's ILIKE does.
type Match struct {
	Of, Sub Expr
	Kind    MatchKind
	Fold    bool
}

// JSONTypeIs is true when the jsonb value is of one of the JSON types (object,
// array, string, number, boolean, null).
type JSONTypeIs struct {
	Of    Expr
	Types []string
}

// JSONContains is jsonb containment, L @> R.
type JSONContains struct{ L, R Expr }

// HasNull is true when the array has an element that is NULL.
type HasNull struct{ Of Expr }

func (Const) predicate()        {}
func (And) predicate()          {}
func (Or) predicate()           {}
func (Not) predicate()          {}
func (Compare) predicate()      {}
func (Distinct) predicate()     {}
func (Same) predicate()         {}
func (Null) predicate()         {}
func (Member) predicate()       {}
func (Excluded) predicate()     {}
func (Holds) predicate()        {}
func (Match) predicate()        {}
func (JSONTypeIs) predicate()   {}
func (JSONContains) predicate() {}
func (HasNull) predicate()      {}

// Eq is the comparison L = R.
func Eq(l, r Expr) Compare { return Compare{EQ, l, r} }

// NotNull is true when e is not NULL.
func NotNull(e Expr) Predicate { return Not{Null{e}} }

// operands are the expressions of a leaf, in the order in which they print.
func operands(p Predicate) []Expr {
	switch p := p.(type) {
	case Compare:
		return []Expr{p.L, p.R}
	case Distinct:
		return []Expr{p.L, p.R}
	case Same:
		return []Expr{p.L, p.R}
	case Null:
		return []Expr{p.Of}
	case Member:
		return []Expr{p.Of, p.Set}
	case Excluded:
		return []Expr{p.Of, p.Set}
	case Holds:
		return []Expr{p.Of}
	case Match:
		return []Expr{p.Of, p.Sub}
	case JSONTypeIs:
		return []Expr{p.Of}
	case HasNull:
		return []Expr{p.Of}
	case JSONContains:
		return []Expr{p.L, p.R}
	default:
		return nil
	}
}

// anyOperand reports whether one of the [operands] is such.
func anyOperand(p Predicate, is func(Expr) bool) bool {
	switch p := p.(type) {
	case Compare:
		return is(p.L) || is(p.R)
	case Distinct:
		return is(p.L) || is(p.R)
	case Same:
		return is(p.L) || is(p.R)
	case Member:
		return is(p.Of) || is(p.Set)
	case Excluded:
		return is(p.Of) || is(p.Set)
	case Match:
		return is(p.Of) || is(p.Sub)
	case JSONContains:
		return is(p.L) || is(p.R)
	default:
		of := firstOperand(p)
		return of != nil && is(of)
	}
}

// firstOperand is the first of the [operands]; nil where there are none.
func firstOperand(p Predicate) Expr {
	switch p := p.(type) {
	case Compare:
		return p.L
	case Distinct:
		return p.L
	case Same:
		return p.L
	case Null:
		return p.Of
	case Member:
		return p.Of
	case Excluded:
		return p.Of
	case Holds:
		return p.Of
	case Match:
		return p.Of
	case JSONTypeIs:
		return p.Of
	case HasNull:
		return p.Of
	case JSONContains:
		return p.L
	default:
		return nil
	}
}

// mapOperands is p with what f makes of its [operands].
func mapOperands(p Predicate, f func(Expr) Expr) Predicate {
	switch p := p.(type) {
	case Compare:
		return Compare{p.Op, f(p.L), f(p.R)}
	case Distinct:
		return Distinct{f(p.L), f(p.R)}
	case Same:
		return Same{f(p.L), f(p.R)}
	case Null:
		return Null{f(p.Of)}
	case Member:
		return Member{f(p.Of), f(p.Set)}
	case Excluded:
		return Excluded{f(p.Of), f(p.Set)}
	case Holds:
		return Holds{f(p.Of), p.Want}
	case Match:
		return Match{f(p.Of), f(p.Sub), p.Kind, p.Fold}
	case JSONTypeIs:
		return JSONTypeIs{f(p.Of), p.Types}
	case JSONContains:
		return JSONContains{f(p.L), f(p.R)}
	case HasNull:
		return HasNull{f(p.Of)}
	default:
		return p
	}
}

// rewrite replaces every expression of p, bottom-up, by what f makes of it.
func rewrite(p Predicate, f func(Expr) Expr) Predicate {
	return mapExprs(p, func(e Expr) Expr { return rewriteExpr(e, f) })
}

// mapExprs is p with other expressions in the places of those of its leaves.
func mapExprs(p Predicate, f func(Expr) Expr) Predicate {
	switch p := p.(type) {
	case And:
		return And(mapAllExprs(p, f))
	case Or:
		return Or(mapAllExprs(p, f))
	case Not:
		return Not{mapExprs(p.Of, f)}
	case Exists:
		p.Where = mapExprs(p.Where, f)
		if p.On != nil {
			p.On = mapExprs(p.On, f)
		}
		return p
	case ExistsElement:
		p.Of, p.Where = f(p.Of), mapExprs(p.Where, f)
		return p
	}
	return mapOperands(p, f)
}

func mapAllExprs(ps []Predicate, f func(Expr) Expr) []Predicate {
	out := make([]Predicate, len(ps))
	for i, p := range ps {
		out[i] = mapExprs(p, f)
	}
	return out
}

// Rewrite replaces every expression of p, bottom-up, by what f makes of it.
func Rewrite(p Predicate, f func(Expr) Expr) Predicate { return rewrite(p, f) }

// RewriteExpr is [Rewrite] of an expression.
func RewriteExpr(e Expr, f func(Expr) Expr) Expr { return rewriteExpr(e, f) }

// Qualify puts a table name or alias in front of every column that has none.
func Qualify(p Predicate, table string) Predicate {
	return rewrite(clearName(p, table), func(e Expr) Expr {
		if c, ok := e.(Column); ok && c.Table == "" {
			c.Table = table
			return c
		}
		return e
	})
}

// strict reports whether p is a leaf that is not true when an operand is NULL.
func strict(p Predicate) bool {
	switch p.(type) {
	case Compare, Member, Excluded, Holds, Match, JSONTypeIs, JSONContains, HasNull:
		return true
	default:
		return false
	}
}
