package compiler

import (
	"math/big"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// compareValues is true where both values are defined and compare so.
func compareValues(op sqlgen.Op, a, b value) sqlgen.Predicate {
	var any []sqlgen.Predicate
	for _, x := range a {
		for _, y := range b {
			if p := conjunction(x.when, y.when); p != sqlgen.Predicate(sqlgen.False) {
				any = append(any, conjunction(p, compareOperands(op, x.op, y.op)))
			}
		}
	}
	return disjunction(any)
}

// compareOperands compares two values that are there.
func compareOperands(op sqlgen.Op, a, b operand) sqlgen.Predicate {
	if ra, rb := rankOf(a), rankOf(b); ra == rankAny || rb == rankAny || ra == rb {
		refuseUnplaced([]operand{a, b})
	}
	if ka, ok := a.(known); ok {
		if kb, ok := b.(known); ok {
			is := holds(op, ka.v.Compare(kb.v))
			if is && op == sqlgen.EQ {
				checkAlike(ka.v, kb.v)
			}
			return sqlgen.Const(is)
		}
		return compareOperands(op.Flip(), b, a) // the row's side on the left
	}
	if ra, rb := rankOf(a), rankOf(b); ra != rankAny && rb != rankAny && ra != rb {
		return sqlgen.Const(holds(op, int(ra-rb)))
	}
	if kb, ok := b.(known); ok && op == sqlgen.EQ {
		checkHashed(a, kb.v)
	}
	if x, ok := a.(extreme); ok {
		return compareExtreme(op, x, b)
	}
	if y, ok := b.(extreme); ok {
		return compareExtreme(op.Flip(), y, a)
	}
	if y, ok := b.(rows); ok {
		return compareRows(op.Flip(), y, a)
	}
	if x, ok := a.(computed); ok {
		return compareComputed(op, x, b)
	}
	if y, ok := b.(computed); ok {
		return compareComputed(op.Flip(), y, a)
	}
	if isLiteral(a) || isLiteral(b) || rankOf(a) == rankSet {
		return compareLiteral(op, a, b)
	}
	switch x := a.(type) {
	case rows:
		return compareRows(op, x, b)
	case object:
		if k, ok := b.(known); ok {
			return compareLiteral(op, recordOf(k.v.(ast.Object)), x)
		}
	case tally:
		return compareTally(op, x, b)
	case scalar:
		switch y := b.(type) {
		case known:
			return compareKnown(op, x, y.v)
		case scalar:
			return compareScalars(op, x, y)
		case jsonValue:
			return compareJSON(op.Flip(), y, x)
		}
	case jsonValue:
		return compareJSON(op, x, b)
	}
	if y, ok := b.(tally); ok {
		return compareTally(op.Flip(), y, a)
	}
	if y, ok := b.(jsonValue); ok {
		return compareJSON(op.Flip(), y, a)
	}
	return compareCollections(op, a, b)
}

// holds reports whether op holds of two values that order so.
func holds(op sqlgen.Op, order int) bool {
	switch op {
	case sqlgen.EQ:
		return order == 0
	case sqlgen.NE:
		return order != 0
	case sqlgen.LT:
		return order < 0
	case sqlgen.LE:
		return order <= 0
	case sqlgen.GT:
		return order > 0
	default:
		return order >= 0
	}
}

// compareKnown compares a column with a constant of the same JSON type.
func compareKnown(op sqlgen.Op, x scalar, v ast.Value) sqlgen.Predicate {
	t := sqlgen.TypeOf(x.e)
	switch v := v.(type) {
	case ast.Boolean:
		return compareBool(op, x.e, bool(v))
	case ast.Number:
		return compareNumber(op, x, v)
	case ast.String:
		if op != sqlgen.EQ && op != sqlgen.NE {
			return orderString(op, x.e, t, string(v))
		}
		lit, ok := equalTo(t, false, v)
		if !ok && (t.Kind == sqlgen.KindEnum || t.Kind == sqlgen.KindInet) && !strings.Contains(string(v), "\x00") {
			return sqlgen.Compare{Op: op, L: sqlgen.Text{Of: x.e}, R: sqlgen.String(string(v))}
		}
		if !ok {
			return sqlgen.Const(op == sqlgen.NE)
		}
		if !caseMade(x.e, string(v)) {
			return sqlgen.Const(op == sqlgen.NE)
		}
		return sqlgen.Compare{Op: op, L: caseFor(x.e, string(v)), R: lit}
	}
	refuse(CodeCompare, "a comparison of "+describe(x)+" with "+v.String(), "")
	return nil
}

func compareBool(op sqlgen.Op, e sqlgen.Expr, v bool) sqlgen.Predicate {
	order := func(b bool) int {
		switch {
		case b == v:
			return 0
		case v:
			return -1
		default:
			return 1
		}
	}
	var any []sqlgen.Predicate
	whenTrue, whenFalse := holds(op, order(true)), holds(op, order(false))
	if whenTrue && whenFalse {
		return sqlgen.True
	}
	if whenTrue {
		any = append(any, sqlgen.Holds{Of: e, Want: true})
	}
	if whenFalse {
		any = append(any, sqlgen.Holds{Of: e, Want: false})
	}
	return disjunction(any)
}

// compareNumber compares a numeric column, or a timestamp in nanoseconds, with a
// number. A number between two values of the column moves to the next of them.
func compareNumber(op sqlgen.Op, x scalar, n ast.Number) sqlgen.Predicate {
	t := sqlgen.TypeOf(x.e)
	r, ok := rational(n)
	if !ok {
		refuse(CodeLiteral, "the number "+string(n)+" is beyond what a column holds", "write a smaller number")
	}
	if lit, ok := equalTo(t, x.nanos, n); ok {
		return sqlgen.Compare{Op: op, L: x.e, R: lit}
	}
	if op == sqlgen.EQ || op == sqlgen.NE {
		return sqlgen.Const(op == sqlgen.NE)
	}
	below := op == sqlgen.LT || op == sqlgen.LE // no value equals n
	var next sqlgen.Literal                     // the greatest value below n
	switch {
	case x.nanos:
		micros := floor(new(big.Rat).Quo(r, big.NewRat(1000, 1)))
		next, ok = equalTo(t, true, ast.Number(new(big.Int).Mul(micros, big.NewInt(1000)).String()))
	case t.Kind == sqlgen.KindInt:
		next, ok = equalTo(t, false, ast.Number(floor(r).String()))
	case t.Kind == sqlgen.KindFloat:
		f, shown, inRange := nearestFloat(r)
		if ok = inRange; ok && shown.Cmp(r) > 0 {
			if below {
				return sqlgen.Compare{Op: sqlgen.LT, L: x.e, R: sqlgen.Float(f)}
			}
			return sqlgen.Compare{Op: sqlgen.GE, L: x.e, R: sqlgen.Float(f)}
		}
		next = sqlgen.Float(f)
	}
	if !ok { // beyond every value of the column
		return sqlgen.Const(below == (r.Sign() > 0))
	}
	if below {
		return sqlgen.Compare{Op: sqlgen.LE, L: x.e, R: next}
	}
	return sqlgen.Compare{Op: sqlgen.GT, L: x.e, R: next}
}

func floor(r *big.Rat) *big.Int {
	q := new(big.Int)
	return q.Div(r.Num(), r.Denom()) // Euclidean: floor, because the denominator is positive
}

// compareScalars compares two columns or parameters of the same JSON type.
func compareScalars(op sqlgen.Op, x, y scalar) sqlgen.Predicate {
	tx, ty := sqlgen.TypeOf(x.e), sqlgen.TypeOf(y.e)
	equality := op == sqlgen.EQ || op == sqlgen.NE
	native := false
	switch rankOf(x) {
	case rankNumber:
		exact := func(t sqlgen.Type) bool { return t.Kind == sqlgen.KindInt || t.Kind == sqlgen.KindNumeric }
		native = tx == ty && x.nanos == y.nanos || exact(tx) && exact(ty)
		if !native {
			return sqlgen.Compare{Op: op, L: sqlgen.ToNumeric{Of: x.e}, R: sqlgen.ToNumeric{Of: y.e}}
		}
	case rankString:
		byText := tx.Kind == sqlgen.KindEnum || tx.Kind == sqlgen.KindInet || tx.Kind == sqlgen.KindTimestamptz
		native = tx == ty && (equality || !byText)
		if !native {
			return sqlgen.Compare{Op: op, L: textOf(x.e), R: textOf(y.e)}
		}
	}
	return sqlgen.Compare{Op: op, L: x.e, R: y.e}
}

// textOf is the expression as the text that the policy sees.
func textOf(e sqlgen.Expr) sqlgen.Expr {
	if sqlgen.TypeOf(e) == (sqlgen.Type{Kind: sqlgen.KindText}) {
		return e
	}
	return sqlgen.Text{Of: e}
}

// arrayJSON is an array column as jsonb, where its elements look the same there.
func arrayJSON(a array) (jsonValue, bool) {
	return jsonValue{sqlgen.ToJSON{Of: a.e}}, sqlgen.TypeOf(a.e).Kind != sqlgen.KindTimestamptz
}

// compareJSON compares a jsonb value with any other operand.
func compareJSON(op sqlgen.Op, x jsonValue, b operand) sqlgen.Predicate {
	if op == sqlgen.EQ || op == sqlgen.NE {
		switch y := b.(type) {
		case known:
			lit, ok := jsonLiteral(y.v)
			if !ok {
				return sqlgen.Const(op == sqlgen.NE)
			}
			return sqlgen.Compare{Op: op, L: x.e, R: lit}
		case scalar:
			return sqlgen.Compare{Op: op, L: x.e, R: sqlgen.ToJSON{Of: shownAs(y)}}
		case jsonValue:
			return sqlgen.Compare{Op: op, L: x.e, R: y.e}
		case tally:
			return compareJSON(op, x, y.scalar())
		}
		return compareCollections(op, x, b)
	}
	return orderJSON(op, x, b)
}

var jsonTypes = [...]string{"null", "boolean", "number", "string", "array", "object"}

// orderJSON orders a jsonb value and another of a known JSON type: by type first,
// then by value. jsonb's own order differs from Rego's between types, and its
// order of strings depends on the database's collation.
func orderJSON(op sqlgen.Op, x jsonValue, b operand) sqlgen.Predicate {
	rb := rankOf(b)
	if _, ok := b.(jsonValue); ok || rb == rankArray || rb == rankObject {
		return compareCollections(op, x, b)
	}
	if y, ok := b.(tally); ok {
		b = y.scalar()
	}
	var other []string
	for r, name := range jsonTypes {
		if rank(r) != rb && holds(op, r-int(rb)) {
			other = append(other, name)
		}
	}
	var any []sqlgen.Predicate
	if len(other) > 0 {
		any = append(any, sqlgen.JSONTypeIs{Of: x.e, Types: other})
	}
	if int(rb) < len(jsonTypes) {
		any = append(any, conjunction(sqlgen.JSONTypeIs{Of: x.e, Types: []string{jsonTypes[rb]}}, orderSame(op, x, rb, b)))
	}
	return disjunction(any)
}

// orderSame orders a jsonb value and another, both of the type rb.
func orderSame(op sqlgen.Op, x jsonValue, rb rank, b operand) sqlgen.Predicate {
	k, isKnown := b.(known)
	switch rb {
	case rankNull:
		return sqlgen.Const(holds(op, 0))
	case rankString:
		text := sqlgen.JSONString{Of: x.e}
		if isKnown {
			return orderString(op, text, sqlgen.TypeOf(text), string(k.v.(ast.String)))
		}
		return sqlgen.Compare{Op: op, L: text, R: textOf(b.(scalar).e)}
	}
	if !isKnown {
		return sqlgen.Compare{Op: op, L: x.e, R: sqlgen.ToJSON{Of: shownAs(b.(scalar))}}
	}
	lit, ok := jsonLiteral(k.v)
	if !ok {
		refuse(CodeLiteral, "the number "+k.v.String()+" is beyond what jsonb holds", "write a smaller number")
	}
	return sqlgen.Compare{Op: op, L: x.e, R: lit}
}
