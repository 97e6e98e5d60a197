package compiler

import (
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/rowfence/rowfence/sqlgen"
)

// domain is the numbers that a value of the row may be, in their order, each at its
// place.
type domain interface {
	ends() (least, greatest *big.Int)
	at(place *big.Int) ast.Number
	// from and upTo are true of the values from a place on, and up to one. Where the
	// bound may be said in two ways, strict asks for < and >.
	from(place *big.Int, strict bool) sqlgen.Predicate
	upTo(place *big.Int, strict bool) sqlgen.Predicate
	// equals is true of the value at a place, where that is one value.
	equals(place *big.Int) (sqlgen.Predicate, bool)

	rewritten(f func(sqlgen.Expr) sqlgen.Expr) domain
}

// discrete is a domain of values that are all literals of the column's type.
type discrete struct {
	e               sqlgen.Expr
	least, greatest *big.Int
	number          func(place *big.Int) ast.Number
	literal         func(place *big.Int) sqlgen.Literal
}

func (d discrete) ends() (least, greatest *big.Int) { return d.least, d.greatest }
func (d discrete) at(place *big.Int) ast.Number     { return d.number(place) }

func (d discrete) rewritten(f func(sqlgen.Expr) sqlgen.Expr) domain {
	d.e = sqlgen.RewriteExpr(d.e, f)
	return d
}

func (d discrete) bound(op sqlgen.Op, place *big.Int) sqlgen.Predicate {
	return sqlgen.Compare{Op: op, L: d.e, R: d.literal(place)}
}

func (d discrete) from(place *big.Int, strict bool) sqlgen.Predicate {
	if d.shorter(prior(place), place, strict) {
		return d.bound(sqlgen.GT, prior(place))
	}
	return d.bound(sqlgen.GE, place)
}

func (d discrete) upTo(place *big.Int, strict bool) sqlgen.Predicate {
	if d.shorter(next(place), place, strict) {
		return d.bound(sqlgen.LT, next(place))
	}
	return d.bound(sqlgen.LE, place)
}

// shorter reports whether a is the bound to write: of two doubles side by side, one
// is often a long fraction.
func (d discrete) shorter(a, b *big.Int, strict bool) bool {
	if sqlgen.TypeOf(d.e).Kind == sqlgen.KindFloat {
		if la, lb := len(d.number(a)), len(d.number(b)); la != lb {
			return la < lb
		}
	}
	return strict
}

func (d discrete) equals(place *big.Int) (sqlgen.Predicate, bool) {
	return d.bound(sqlgen.EQ, place), true
}

// integers is a domain of integers, which are their own places.
func integers(e sqlgen.Expr, bits int) discrete {
	greatest := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	d := discrete{
		e:        e,
		least:    new(big.Int).Neg(greatest),
		greatest: greatest,
		number:   func(place *big.Int) ast.Number { return ast.Number(place.String()) },
		literal:  func(place *big.Int) sqlgen.Literal { return sqlgen.Number(place.String()) },
	}
	if sqlgen.TypeOf(e).Kind == sqlgen.KindInt {
		d.greatest = prior(greatest)
		d.literal = func(place *big.Int) sqlgen.Literal { return sqlgen.Int(place.Int64()) }
	}
	return d
}

// nanoseconds is the domain of a timestamp column as nanoseconds: microseconds are
// the places.
func nanoseconds(e sqlgen.Expr) discrete {
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	return discrete{
		e:        e,
		least:    big.NewInt(first.UnixMicro()),
		greatest: big.NewInt(last.UnixMicro()),
		number: func(place *big.Int) ast.Number {
			return ast.Number(new(big.Int).Mul(place, big.NewInt(1000)).String())
		},
		literal: func(place *big.Int) sqlgen.Literal { return sqlgen.Timestamp(time.UnixMicro(place.Int64())) },
	}
}

// doubles is the domain of a double precision column: the finite ones, counted from
// 0.
func doubles(e sqlgen.Expr) discrete {
	double := func(place *big.Int) float64 {
		f := math.Float64frombits(new(big.Int).Abs(place).Uint64())
		if place.Sign() < 0 {
			return -f
		}
		return f
	}
	greatest := new(big.Int).SetUint64(math.Float64bits(math.MaxFloat64))
	return discrete{
		e:        e,
		least:    new(big.Int).Neg(greatest),
		greatest: greatest,
		number: func(place *big.Int) ast.Number {
			return ast.Number(strconv.FormatFloat(double(place), 'g', -1, 64))
		},
		literal: func(place *big.Int) sqlgen.Literal { return sqlgen.Float(double(place)) },
	}
}

// decimals is the domain of a numeric column, or a jsonb number. To a computation,
// decimals that have the same nearest number of 64 bits are the same: that is a
// place. They are counted from 0.
type decimals struct {
	e  sqlgen.Expr // numeric or jsonb
	by sqlgen.Expr // a divisor of e, which is not 0; nil for none
}

func (d decimals) compare(op sqlgen.Op, decimal string) sqlgen.Predicate {
	switch {
	case d.by != nil && decimal != "0": // e / by is no number of SQL, but e is compared with decimal * by
		return sqlgen.Compare{
			Op: op,
			L:  sqlgen.Apply(sqlgen.Times, d.e, sqlgen.Apply(sqlgen.Sign, d.by)),
			R:  sqlgen.Apply(sqlgen.Times, sqlgen.Number(decimal), sqlgen.Apply(sqlgen.Abs, d.by)),
		}
	case d.by != nil:
		return sqlgen.Compare{Op: op, L: sqlgen.Apply(sqlgen.Times, d.e, sqlgen.Apply(sqlgen.Sign, d.by)), R: sqlgen.Number("0")}
	case sqlgen.TypeOf(d.e).Kind == sqlgen.KindJSONB:
		return sqlgen.Compare{Op: op, L: d.e, R: sqlgen.JSON(decimal)}
	default:
		return sqlgen.Compare{Op: op, L: d.e, R: sqlgen.Number(decimal)}
	}
}

func (d decimals) rewritten(f func(sqlgen.Expr) sqlgen.Expr) domain {
	d.e = sqlgen.RewriteExpr(d.e, f)
	if d.by != nil {
		d.by = sqlgen.RewriteExpr(d.by, f)
	}
	return d
}

const (
	mantissaBits = 64
	maxBinaryExp = 1000
	enoughDigits = 25 // of a decimal that is nearer to a number of 64 bits than to others
)

func (d decimals) ends() (least, greatest *big.Int) {
	greatest = new(big.Int).Lsh(big.NewInt(2*maxBinaryExp), mantissaBits-1)
	return new(big.Int).Neg(greatest), greatest
}

// binary is the number of 64 bits at a place: the first has the least exponent and
// the mantissa 1000…, the next 1000…1.
func binary(place *big.Int) *big.Float {
	f := new(big.Float).SetPrec(mantissaBits)
	if place.Sign() == 0 {
		return f
	}
	count := prior(new(big.Int).Abs(place))
	exp := new(big.Int).Rsh(count, mantissaBits-1)
	mantissa := new(big.Int).Sub(count, new(big.Int).Lsh(exp, mantissaBits-1))
	mantissa.SetBit(mantissa, mantissaBits-1, 1)
	f.SetInt(mantissa)
	f.SetMantExp(f, int(exp.Int64())-maxBinaryExp-mantissaBits)
	if place.Sign() < 0 {
		f.Neg(f)
	}
	return f
}

func (d decimals) at(place *big.Int) ast.Number {
	f := binary(place)
	if d.by != nil { // a result, which OPA compares by the text that it gives it
		return builtins.FloatToNumber(f)
	}
	if f.IsInt() && f.MantExp(nil) <= mantissaBits {
		return ast.Number(f.Text('f', 0))
	}
	return ast.Number(f.Text('g', enoughDigits)) // the shortest text of a power of two is another number's
}

// cut is the decimal where a place begins, and whether it belongs to it.
func (d decimals) cut(place *big.Int) (decimal string, included bool) {
	below, above := binary(prior(place)), binary(place)
	if below.Sign() == 0 {
		return "0", false // even the least decimal is above
	}
	if above.Sign() == 0 {
		return "0", true
	}
	lo, _ := below.Rat(nil)
	hi, _ := above.Rat(nil)
	middle := lo.Add(lo, hi)
	middle.Quo(middle, big.NewRat(2, 1))
	digits, _ := middle.FloatPrec()
	decimal = middle.FloatString(digits)
	checkMagnitude(ast.Number(decimal))
	parsed, ok := new(big.Float).SetString(decimal) // as OPA does
	return decimal, ok && parsed.Cmp(above) == 0
}

func (d decimals) from(place *big.Int, _ bool) sqlgen.Predicate {
	decimal, included := d.cut(place)
	if included {
		return d.compare(sqlgen.GE, decimal)
	}
	return d.compare(sqlgen.GT, decimal)
}

func (d decimals) upTo(place *big.Int, _ bool) sqlgen.Predicate {
	decimal, included := d.cut(next(place))
	if included {
		return d.compare(sqlgen.LT, decimal)
	}
	return d.compare(sqlgen.LE, decimal)
}

func (d decimals) equals(place *big.Int) (sqlgen.Predicate, bool) {
	if place.Sign() == 0 {
		return d.compare(sqlgen.EQ, "0"), true
	}
	return nil, false
}

// wholeFunctions are the functions of numeric results that are always integers, and
// how many bits those have.
var wholeFunctions = map[*sqlgen.Function]int{}

// ofScalar is a number of the row, before the first step.
func ofScalar(x scalar) computed {
	t := sqlgen.TypeOf(x.e)
	switch {
	case x.nanos:
		d := nanoseconds(x.e)
		bits := d.greatest.BitLen() + 10
		return computed{base: d, pieces: everything(d), whole: &whole{sqlgen.ToNumeric{Of: x.e}, bits}}
	case t.Kind == sqlgen.KindInt:
		return ofWhole(whole{x.e, intBits(x.e)})
	case t.Kind == sqlgen.KindFloat:
		d := doubles(x.e)
		return computed{base: d, pieces: everything(d), plain: sqlgen.ToNumeric{Of: x.e}}
	}
	if call, ok := x.e.(sqlgen.Call); ok && wholeFunctions[call.Of] > 0 {
		return ofWhole(whole{x.e, wholeFunctions[call.Of]})
	}
	d := decimals{e: x.e}
	return computed{base: d, pieces: everything(d), plain: x.e}
}

// intBits is the bits of an int: less than those of the type where it is a place in a
// text or a number of things.
func intBits(e sqlgen.Expr) int {
	switch e := e.(type) {
	case sqlgen.Length:
		return 31
	case sqlgen.Call:
		if e.Of == sqlgen.IndexOf || e.Of == sqlgen.Occurrences || e.Of == sqlgen.OccurrencesOfCharacter || e.Of == sqlgen.Gaps {
			return 31
		}
	}
	return 63
}

func ofWhole(w whole) computed {
	d := integers(w.e, w.bits)
	return computed{base: d, pieces: everything(d), whole: &w}
}

// ofJSON is a jsonb number, before the first step.
func ofJSON(x jsonValue) computed {
	d := decimals{e: x.e}
	return computed{base: d, pieces: everything(d), plain: sqlgen.Apply(sqlgen.JSONNumber, x.e)}
}

// quotient is an integer divided by another.
func quotient(x, y whole) value {
	if max(x.bits, y.bits) > mantissaBits {
		refuse(CodeBuiltin, "a division of two integers of more than 64 bits", "divide int fields")
	}
	d := decimals{x.numeric(), y.numeric()}
	notZero := sqlgen.Compare{Op: sqlgen.NE, L: y.e, R: zeroOf(y.e)}
	return value{{notZero, computed{base: d, pieces: everything(d)}}}
}
