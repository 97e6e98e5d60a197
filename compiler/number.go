package compiler

import (
	"math/big"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/rowfence/rowfence/sqlgen"
)

// numberBuiltins are the builtin functions of numbers. They alone, comparisons and
// tests of the type take a [computed] operand; others get it as a column.
var numberBuiltins = map[string]symbolic{
	"plus":  arithmetic("plus"),
	"minus": arithmetic("minus"),
	"mul":   arithmetic("mul"),
	"div":   arithmetic("div"),
	"rem":   arithmetic("rem"),

	"abs":   arithmetic("abs"),
	"ceil":  arithmetic("ceil"),
	"floor": arithmetic("floor"),
	"round": arithmetic("round"),

	"sum":       total("plus", "0"),
	"product":   total("mul", "1"),
	"to_number": toNumber,
}

// arithmetic is a function of one number or of two. Of anything else it is undefined.
func arithmetic(name string) symbolic {
	return func(args []operand) value {
		x := numberOf(args[0])
		if len(args) == 1 {
			var out value
			for _, a := range x {
				out = append(out, a.op.(computed).step(name, nil, 0).under(a.when)...)
			}
			return out
		}
		if name == "minus" && (rankOf(args[0]) == rankSet || rankOf(args[1]) == rankSet) {
			return difference(args)
		}
		var out value
		for _, a := range x {
			for _, b := range numberOf(args[1]) {
				out = append(out, calculate(name, a.op, b.op).under(conjunction(a.when, b.when))...)
			}
		}
		return out
	}
}

// difference is that of two sets, which minus is as well.
func difference(args []operand) value {
	if ofSets := collectionBuiltins["minus"]; ofSets != nil {
		return ofSets(args)
	}
	refuse(CodeBuiltin, "minus of a set that depends on the row has no translation", "test for the elements")
	return nil
}

// numberOf is an operand as a number, known or computed, where it is one.
func numberOf(op operand) value {
	switch op := op.(type) {
	case known:
		n, ok := op.v.(ast.Number)
		if !ok {
			return nil
		}
		if _, ok := rational(n); !ok {
			refuse(CodeLiteral, "the number "+string(n)+" is beyond what is computed with", "write a smaller number")
		}
		return knownValue(n)
	case computed:
		return value{{sqlgen.True, op}}
	case scalar:
		if rankOf(op) == rankNumber {
			return value{{sqlgen.True, ofScalar(op)}}
		}
		return nil
	case jsonValue:
		isNumber := sqlgen.JSONTypeIs{Of: op.e, Types: []string{"number"}}
		return value{{isNumber, ofJSON(op)}}
	case tally, extreme:
		refuse(CodeBuiltin, "a computation with "+describe(op)+" has no translation", "compare it as it is")
	}
	return nil
}

// calculate is a function of two numbers, of which one is computed at least.
func calculate(name string, a, b operand) value {
	x, okX := a.(computed)
	y, okY := b.(computed)
	switch {
	case !okX && !okY:
		return stepOf(name, a.(known).v, b.(known).v)
	case name == "rem":
		return remainder(a, b)
	case !okY:
		return x.step(name, b.(known).v, 0)
	case !okX:
		return y.step(name, a.(known).v, 1)
	}
	if x.whole == nil || y.whole == nil {
		refuse(CodeBuiltin, "a computation with two numbers of the row that may have fractions: Rego rounds each step to 64 bits, which SQL can't",
			"compare the fields themselves, compute with one field and constants, or give the fields the type int")
	}
	if name == "div" {
		return quotient(*x.whole, *y.whole)
	}
	w := combined(name, *x.whole, *y.whole)
	return value{{sqlgen.True, ofWhole(w)}}
}

func stepOf(name string, x, y ast.Value) value {
	n, ok := step{name: name, with: y}.apply(x)
	if !ok {
		return nil
	}
	return knownValue(n)
}

// whole is a number that is always an integer.
type whole struct {
	e    sqlgen.Expr
	bits int // it has at most so many, besides its sign
}

func (w whole) numeric() sqlgen.Expr {
	if sqlgen.TypeOf(w.e).Kind == sqlgen.KindNumeric {
		return w.e
	}
	return sqlgen.ToNumeric{Of: w.e}
}

// maxBits bounds the integers that are computed: PostgreSQL's numeric has an end.
const maxBits = 4000

// maxSize bounds the expressions that are computed: each may use another twice.
const maxSize = 200

// wholeOf is a known integer.
func wholeOf(v ast.Value) (whole, bool) {
	i, err := builtins.NumberToInt(v.(ast.Number))
	if err != nil {
		return whole{}, false
	}
	return whole{sqlgen.Number(i.String()), i.BitLen()}, true
}

// combined is the sum, difference or product of two integers, which Rego computes
// exactly.
func combined(name string, x, y whole) whole {
	fn, bits := sqlgen.Times, x.bits+y.bits
	switch name {
	case "plus":
		fn, bits = sqlgen.Plus, max(x.bits, y.bits)+1
	case "minus":
		fn, bits = sqlgen.Minus, max(x.bits, y.bits)+1
	}
	if bits > maxBits {
		refuse(CodeBuiltin, "a computation of integers that may have over a thousand digits", "compute with fewer fields")
	}
	e := sqlgen.Apply(fn, x.numeric(), y.numeric())
	size := 0
	sqlgen.RewriteExpr(e, func(e sqlgen.Expr) sqlgen.Expr { size++; return e })
	if size > maxSize {
		refuse(CodeBuiltin, "a computation of too many numbers", "compute with each field once")
	}
	return whole{e, bits}
}

// remainder is x % y, which only integers have.
func remainder(a, b operand) value {
	x, xIsWhole := integerOf(a)
	y, yIsWhole := integerOf(b)
	when := conjunction(xIsWhole, yIsWhole)
	if when == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	fn := sqlgen.Rem
	if lit, ok := y.e.(sqlgen.Literal); !ok {
		fn = sqlgen.RemOrNull
		when = conjunction(when, sqlgen.Compare{Op: sqlgen.NE, L: y.e, R: zeroOf(y.e)})
	} else if lit.Value == "0" {
		return nil
	}
	r := whole{bits: min(x.bits, y.bits)}
	if n, ok := narrow(x.e, y.e); ok {
		r.e = sqlgen.Apply(fn, n...)
	} else {
		r.e = sqlgen.Apply(fn, x.numeric(), y.numeric())
	}
	return value{{when, ofWhole(r)}}
}

func zeroOf(e sqlgen.Expr) sqlgen.Literal {
	if sqlgen.TypeOf(e).Kind == sqlgen.KindInt {
		return sqlgen.Int(0)
	}
	return sqlgen.Number("0")
}

// narrow are two integers as ints, where both fit.
func narrow(x, y sqlgen.Expr) ([]sqlgen.Expr, bool) {
	out := []sqlgen.Expr{x, y}
	for i, e := range out {
		if sqlgen.TypeOf(e).Kind == sqlgen.KindInt {
			continue
		}
		lit, ok := e.(sqlgen.Literal)
		if !ok {
			return nil, false
		}
		n, ok := new(big.Int).SetString(lit.Value.(string), 10)
		if !ok || !n.IsInt64() {
			return nil, false
		}
		out[i] = sqlgen.Int(n.Int64())
	}
	return out, true
}

// integerOf is a number as an integer, and the condition under which it is one.
func integerOf(op operand) (whole, sqlgen.Predicate) {
	switch op := op.(type) {
	case known:
		w, ok := wholeOf(op.v)
		return w, sqlgen.Const(ok)
	case computed:
		if op.whole != nil {
			return *op.whole, sqlgen.True
		}
		if op.plain != nil {
			return whole{op.plain, maxBits}, sqlgen.Eq(op.plain, sqlgen.Apply(sqlgen.Trunc, op.plain))
		}
	}
	refuse(CodeBuiltin, "the remainder of a computed number that may have a fraction", "take the remainder of the field itself")
	return whole{}, nil
}

// total is the sum or product of numbers, where all of them are integers: fractions
// are rounded after each.
func total(name, none string) symbolic {
	return func(args []operand) value {
		sum := knownValue(ast.Number(none))
		switch x := args[0].(type) {
		case list:
			if x.set && len(x.elems) > 1 {
				break // two that are equal count once
			}
			for _, e := range x.elems {
				var next value
				for _, a := range sum {
					for _, b := range e {
						next = append(next, arithmetic(name)([]operand{a.op, b.op}).under(conjunction(a.when, b.when))...)
					}
				}
				sum = next
			}
			for _, a := range sum {
				if c, ok := a.op.(computed); ok && c.whole == nil {
					refuse(CodeBuiltin, "a sum or product of numbers that may have fractions: Rego rounds them to 64 bits, which SQL can't", "give the fields the type int")
				}
			}
			return sum
		case array:
			if elem := sqlgen.TypeOf(x.e).Elem(); elem.Kind == sqlgen.KindInt && name == "plus" {
				return sumOfArray(x)
			}
			if !sqlgen.TypeOf(x.e).Elem().Numeric() {
				return knownValue(ast.Number(none)).under(sqlgen.Eq(sqlgen.Length{Of: x.e}, sqlgen.Int(0)))
			}
		case jsonValue, ruleSet, tally, extreme:
		default:
			return nil
		}
		refuse(CodeBuiltin, "the sum or product of "+describe(args[0])+" has no translation", "sum an int[] column, or an array of int fields")
		return nil
	}
}

// countBits bounds how many elements an array has: PostgreSQL's have a gigabyte.
const countBits = 31

func sumOfArray(x array) value {
	over := sqlgen.ExistsElement{Of: x.e, Element: sqlgen.NewElement("addend", func(string) bool { return false })}
	sum := sqlgen.Aggregate{Fn: sqlgen.Sum, Of: []sqlgen.Yield{{
		From: []sqlgen.Loop{over}, Where: sqlgen.NotNull(over.ElementValue()), Value: over.ElementValue(),
	}}}
	var all sqlgen.Predicate = sqlgen.True
	if sqlgen.Nullable(over.ElementValue()) { // null is no number
		all = sqlgen.Not{Of: sqlgen.HasNull{Of: x.e}}
	}
	return value{{all, ofWhole(whole{sum, 63 + countBits})}}
}

// toNumber is to_number: of null 0, of a boolean 0 or 1. Go reads more as a number
// than PostgreSQL does, so that texts are refused.
func toNumber(args []operand) value {
	switch x := args[0].(type) {
	case computed:
		return value{{sqlgen.True, x}}
	case scalar:
		switch t := sqlgen.TypeOf(x.e); {
		case rankOf(x) == rankNumber:
			return value{{sqlgen.True, x}}
		case t.Kind == sqlgen.KindBool:
			holds := func(want bool) sqlgen.Predicate { return sqlgen.Holds{Of: x.e, Want: want} }
			return value{{holds(true), known{ast.Number("1")}}, {holds(false), known{ast.Number("0")}}}
		case t.Kind != sqlgen.KindText && t.Kind != sqlgen.KindEnum:
			return nil // a uuid, date, time or address reads as no number
		}
	case jsonValue, extreme:
	case tally:
		return value{{sqlgen.True, x}}
	default:
		return nil
	}
	refuse(CodeBuiltin, "to_number of a text: it reads forms such as 0x1p4 and 1_000", "give the field the type int or numeric")
	return nil
}
