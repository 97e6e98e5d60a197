package compiler

import (
	"math/big"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/sqlgen"
)

// A decimal beside the cut of a computation stands on the side that OPA puts it on:
// right at the cut, and as near to it as a numeric column may hold.
func TestCutOfDecimals(t *testing.T) {
	constants := []string{"1", "2", "3", "-1", "7", "0.1", "0.3", "-2.5", "1e3", "1.1", "33.3", "0.0625", "123456789.123456789", "5e-7"}
	rapid.Check(t, func(t *rapid.T) {
		defer func() {
			switch r := recover().(type) {
			case nil:
			case refusal:
				t.Skip(r.err)
			default:
				panic(r)
			}
		}()
		c := ofScalar(scalar{e: sqlgen.Column{Name: "n", Type: sqlgen.Type{Kind: sqlgen.KindNumeric}, NotNull: true}})
		var when []sqlgen.Predicate
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"plus", "minus", "mul", "div", "abs", "ceil", "floor", "round"}).Draw(t, "step")
			var with ast.Value
			if name[0] == 'p' || name[0] == 'm' || name[0] == 'd' {
				with = ast.Number(rapid.SampledFrom(constants).Draw(t, "with"))
			}
			v := c.step(name, with, rapid.IntRange(0, 1).Draw(t, "place"))
			require.Len(t, v, 1)
			when = append(when, v[0].when)
			c = v[0].op.(computed)
		}
		op := sqlgen.Op(rapid.IntRange(int(sqlgen.EQ), int(sqlgen.GE)).Draw(t, "op"))
		k := ast.Number(rapid.SampledFrom(constants).Draw(t, "constant"))
		p := conjunction(append(when, c.where(op, k))...)
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
