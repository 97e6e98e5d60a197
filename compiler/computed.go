package compiler

import (
	"math/big"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/rowfence/rowfence/sqlgen"
)

// computed is a number that arithmetic makes of a number of the row. Rego computes
// fractions in binary with 64 bits, rounding after each step, which no SQL does. But
// each step keeps the order of numbers, or turns it round, so that a comparison with
// a constant cuts the numbers of the row in two: the cut is found by asking OPA. The
// field itself is then compared, exactly, and an index serves.
type computed struct {
	base   domain
	steps  []step
	pieces []span // of base, where the number is defined; on each it is monotone

	// whole is the number as SQL, where it is always an integer.
	whole *whole
	// plain is the base as a numeric, before the first step.
	plain sqlgen.Expr
}

func (computed) operand() {}

// step is a builtin function of one number, or of one and a constant.
type step struct {
	name string
	with ast.Value // nil for none
	at   int       // the place of the number among the arguments
}

// apply computes the step; ok is false where it is undefined.
func (s step) apply(n ast.Value) (out ast.Number, ok bool) {
	args := []*ast.Term{ast.NewTerm(n)}
	if s.with != nil {
		args = []*ast.Term{ast.NewTerm(n), ast.NewTerm(s.with)}
		if s.at == 1 {
			args[0], args[1] = args[1], args[0]
		}
	}
	err := topdown.GetBuiltin(s.name)(topdown.BuiltinContext{}, args, func(r *ast.Term) error {
		out, ok = r.Value.(ast.Number)
		return nil
	})
	return out, ok && err == nil
}

// span is a range of a domain's places, both ends included.
type span struct{ from, to *big.Int }

func (c computed) rewritten(f func(sqlgen.Expr) sqlgen.Expr) computed {
	c.base = c.base.rewritten(f)
	if c.whole != nil {
		c.whole = &whole{sqlgen.RewriteExpr(c.whole.e, f), c.whole.bits}
	}
	if c.plain != nil {
		c.plain = sqlgen.RewriteExpr(c.plain, f)
	}
	return c
}

func everything(d domain) []span {
	least, greatest := d.ends()
	return []span{{least, greatest}}
}

const maxSteps = 16

// step is the number after one more step.
func (c computed) step(name string, with ast.Value, at int) value {
	if len(c.steps) == maxSteps {
		refuse(CodeBuiltin, "a computation of more steps than are looked through", "compute with fewer steps")
	}
	if with != nil && c.whole == nil {
		checkMagnitude(with.(ast.Number))
	}
	out := c
	out.steps = append(c.steps[:len(c.steps):len(c.steps)], step{name, with, at})
	out.plain, out.whole = nil, c.wholeAfter(name, with, at)
	switch {
	case name == "div" && at == 0:
		if with.Compare(ast.Number("0")) == 0 {
			return nil
		}
	case name == "div": // by the number: it jumps from one end to the other at 0
		out.pieces = append(c.spans(sqlgen.LT, "0"), c.spans(sqlgen.GT, "0")...)
		if len(out.pieces) == 0 {
			return nil
		}
		return value{{c.where(sqlgen.NE, "0"), out}}
	case name == "abs":
		out.pieces = append(c.spans(sqlgen.LT, "0"), c.spans(sqlgen.GE, "0")...)
	case name == "ceil": // OPA's ceil of what is between -1 and 0 is 1
		out.pieces = append(c.spans(sqlgen.LE, "-1"), intersection(c.spans(sqlgen.GT, "-1"), c.spans(sqlgen.LT, "0"))...)
		out.pieces = append(out.pieces, c.spans(sqlgen.GE, "0")...)
	}
	return value{{sqlgen.True, out}}
}

// wholeAfter is the integer after a step, where it is one.
func (c computed) wholeAfter(name string, with ast.Value, at int) *whole {
	if c.whole == nil {
		return nil
	}
	var out whole
	switch name {
	case "abs":
		out = whole{sqlgen.Apply(sqlgen.Abs, c.whole.numeric()), c.whole.bits}
	case "ceil", "floor", "round":
		if c.whole.bits > 64 { // rounded first
			return nil
		}
		out = *c.whole
	case "plus", "minus", "mul":
		k, ok := wholeOf(with)
		if !ok {
			checkMagnitude(with.(ast.Number))
			return nil
		}
		x := []whole{*c.whole, k}
		out = combined(name, x[at], x[1-at])
	default:
		checkMagnitude(with.(ast.Number))
		return nil
	}
	return &out
}

// checkMagnitude refuses constants with which a cut may be out of sight.
func checkMagnitude(n ast.Number) {
	r, ok := rational(n)
	if ok && r.Sign() != 0 {
		abs := new(big.Rat).Abs(r)
		far := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(30), nil))
		ok = abs.Cmp(far) <= 0 && abs.Cmp(new(big.Rat).Inv(far)) >= 0
	}
	if !ok {
		refuse(CodeLiteral, "the number "+string(n)+" is beyond what is computed with", "write a number between 1e-30 and 1e30")
	}
}

// at is the number where the base has a place.
func (c computed) at(place *big.Int) ast.Number {
	n := c.base.at(place)
	for _, s := range c.steps {
		n, _ = s.apply(n) // defined on all pieces
	}
	return n
}

// spans are the places of the base where the number compares so with a constant.
func (c computed) spans(op sqlgen.Op, k ast.Number) []span {
	switch op {
	case sqlgen.EQ:
		return intersection(c.spans(sqlgen.GE, k), c.spans(sqlgen.LE, k))
	case sqlgen.NE:
		return append(c.spans(sqlgen.LT, k), c.spans(sqlgen.GT, k)...)
	}
	var out []span
	for _, p := range c.pieces {
		compares := func(place *big.Int) bool { return holds(op, c.at(place).Compare(k)) }
		first, last := compares(p.from), compares(p.to)
		if first == last {
			if first {
				out = append(out, p)
			}
			continue
		}
		before, after := new(big.Int).Set(p.from), new(big.Int).Set(p.to) // the cut is between them
		for {
			middle := new(big.Int).Add(before, after)
			middle.Rsh(middle, 1)
			if middle.Cmp(before) == 0 {
				break
			}
			if compares(middle) == first {
				before = middle
			} else {
				after = middle
			}
		}
		c.checkPrecise(before, after)
		if first {
			out = append(out, span{p.from, before})
		} else {
			out = append(out, span{after, p.to})
		}
	}
	return out
}

// checkPrecise refuses a cut among numbers where the steps may not keep the order:
// integers stay exact there, and fractions between them are rounded.
func (c computed) checkPrecise(places ...*big.Int) {
	if c.whole != nil {
		return
	}
	limit := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), 60))
	for _, place := range places {
		n := c.base.at(place)
		for _, s := range c.steps {
			n, _ = s.apply(n)
			r, ok := rational(n)
			exact := s.name == "plus" || s.name == "minus" || s.name == "mul"
			if !ok || exact && r.Abs(r).Cmp(limit) > 0 {
				refuse(CodeBuiltin, "a computation that needs numbers with fractions above 2^60", "compute with smaller numbers, or with an int")
			}
		}
	}
}

// where is the condition under which the number compares so with a constant.
func (c computed) where(op sqlgen.Op, k ast.Number) sqlgen.Predicate {
	if op == sqlgen.NE {
		return sqlgen.Not{Of: c.where(sqlgen.EQ, k)}
	}
	strict := op == sqlgen.LT || op == sqlgen.GT
	var any []sqlgen.Predicate
	for _, s := range touching(c.spans(op, k)) {
		any = append(any, s.condition(c.base, strict))
	}
	return disjunction(any)
}

// condition is true of the base's values in the span.
func (s span) condition(d domain, strict bool) sqlgen.Predicate {
	least, greatest := d.ends()
	if s.from.Cmp(s.to) == 0 {
		if p, ok := d.equals(s.from); ok {
			return p
		}
	}
	var both []sqlgen.Predicate
	if s.from.Cmp(least) > 0 {
		both = append(both, d.from(s.from, strict))
	}
	if s.to.Cmp(greatest) < 0 {
		both = append(both, d.upTo(s.to, strict))
	}
	return conjunction(both...)
}

// touching are spans in their order, those that touch as one.
func touching(spans []span) []span {
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && next(out[n-1].to).Cmp(s.from) == 0 {
			out[n-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}

// intersection is what two lists of spans share; the pieces of one number are in the
// same order in both.
func intersection(a, b []span) []span {
	var out []span
	for _, x := range a {
		for _, y := range b {
			from, to := x.from, x.to
			if from.Cmp(y.from) < 0 {
				from = y.from
			}
			if to.Cmp(y.to) > 0 {
				to = y.to
			}
			if from.Cmp(to) <= 0 {
				out = append(out, span{from, to})
			}
		}
	}
	return out
}

func next(place *big.Int) *big.Int { return new(big.Int).Add(place, big.NewInt(1)) }
func prior(place *big.Int) *big.Int {
	return new(big.Int).Sub(place, big.NewInt(1))
}

// settled is a computed number as a column, for what takes numbers of any column.
func settled(op operand) operand {
	switch op := op.(type) {
	case computed:
		if op.whole == nil {
			refuse(CodeBuiltin, "a computed number that may have a fraction, used other than in a comparison with a constant", "compare it with a constant, or compute with fields of the type int")
		}
		return scalar{e: op.whole.numeric()}
	case extreme:
		refuse(CodeBuiltin, "the result of max or min, used other than in a comparison", "compare it, or loop over the collection")
	}
	return op
}

// compareComputed compares a computed number with another number.
func compareComputed(op sqlgen.Op, x computed, b operand) sqlgen.Predicate {
	if k, ok := b.(known); ok {
		n := k.v.(ast.Number)
		if x.whole == nil {
			checkMagnitude(n)
		} else if _, ok := rational(n); !ok {
			refuse(CodeLiteral, "the number "+string(n)+" is beyond what is computed with", "write a smaller number")
		}
		return x.where(op, n)
	}
	if x.whole == nil {
		refuse(CodeCompare, "a computed number that may have a fraction compared with "+describe(b), "compare it with a constant, or compute with fields of the type int")
	}
	return compareOperands(op, settled(x), settled(b))
}
