package compiler

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/sqlgen"
)

// A computation of a decimal, and the comparison of its result.
type drawnComputation struct {
	steps []drawnStep
	op    sqlgen.Op
	k     ast.Number
}

type drawnStep struct {
	name  string
	with  ast.Value
	place int
}

func drawComputation(t *rapid.T) drawnComputation {
	constants := []string{"1", "2", "3", "-1", "7", "0.1", "0.3", "-2.5", "1e3", "1.1", "33.3", "0.0625", "123456789.123456789", "5e-7"}
	var d drawnComputation
	for range rapid.IntRange(1, 3).Draw(t, "steps") {
		s := drawnStep{name: rapid.SampledFrom([]string{"plus", "minus", "mul", "div", "abs", "ceil", "floor", "round"}).Draw(t, "step")}
		if s.name[0] == 'p' || s.name[0] == 'm' || s.name[0] == 'd' {
			s.with = ast.Number(rapid.SampledFrom(constants).Draw(t, "with"))
		}
		s.place = rapid.IntRange(0, 1).Draw(t, "place")
		d.steps = append(d.steps, s)
	}
	d.op = sqlgen.Op(rapid.IntRange(int(sqlgen.EQ), int(sqlgen.GE)).Draw(t, "op"))
	d.k = ast.Number(rapid.SampledFrom(constants).Draw(t, "constant"))
	return d
}

// translate is what is computed, and the condition; ok is false where it is refused.
func (d drawnComputation) translate() (c computed, p sqlgen.Predicate, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, refused := r.(refusal); !refused {
				panic(r)
			}
			ok = false
		}
	}()
	c = ofScalar(scalar{e: sqlgen.Column{Name: "n", Type: sqlgen.Type{Kind: sqlgen.KindNumeric}, NotNull: true}})
	var when []sqlgen.Predicate
	for _, s := range d.steps {
		v := c.step(s.name, s.with, s.place)
		if len(v) != 1 {
			panic(fmt.Sprintf("%s has %d values", s.name, len(v)))
		}
		when = append(when, v[0].when)
		c = v[0].op.(computed)
	}
	return c, conjunction(append(when, c.where(d.op, d.k))...), true
}

// A decimal beside the cut of a computation stands on the side that OPA puts it on:
// right at the cut, and as near to it as a numeric column may hold.
func TestCutOfDecimals(t *testing.T) {
	translated := rapid.Custom(drawComputation).Filter(func(d drawnComputation) bool {
		_, _, ok := d.translate()
		return ok
	})
	rapid.Check(t, func(t *rapid.T) {
		d := translated.Draw(t, "computation")
		c, p, ok := d.translate()
		require.True(t, ok)
		op, k := d.op, d.k
		for _, cut := range literalsOf(p) {
			for _, off := range []string{"0", "1e-25", "-1e-25", "1e-19", "-1e-19", "1e-9", "-0.4", "0.5", "1", "-1"} {
				shift, _ := new(big.Rat).SetString(off)
				x := new(big.Rat).Add(cut, shift)
				digits, _ := x.FloatPrec()
				n, defined := ast.Number(x.FloatString(digits)), true
				out := n
				for _, s := range c.steps {
					if defined {
						out, defined = s.apply(out)
					}
				}
				require.Equal(t, defined && holds(op, out.Compare(k)), holdsOf(p, x), "%s is %s (%v) %v %s: %v", n, out, defined, op, k, p)
			}
		}
	})
}

// literalsOf are the numbers that a condition compares with.
func literalsOf(p sqlgen.Predicate) (out []*big.Rat) {
	sqlgen.Rewrite(p, func(e sqlgen.Expr) sqlgen.Expr {
		if l, ok := e.(sqlgen.Literal); ok {
			r, _ := new(big.Rat).SetString(l.Value.(string))
			out = append(out, r)
		}
		return e
	})
	return out
}

// holdsOf evaluates a condition on one number.
func holdsOf(p sqlgen.Predicate, x *big.Rat) bool {
	switch p := p.(type) {
	case sqlgen.Const:
		return bool(p)
	case sqlgen.And:
		for _, t := range p {
			if !holdsOf(t, x) {
				return false
			}
		}
		return true
	case sqlgen.Or:
		for _, t := range p {
			if holdsOf(t, x) {
				return true
			}
		}
		return false
	case sqlgen.Not:
		return !holdsOf(p.Of, x)
	default:
		c := p.(sqlgen.Compare)
		r, _ := new(big.Rat).SetString(c.R.(sqlgen.Literal).Value.(string))
		return holds(c.Op, x.Cmp(r))
	}
}
