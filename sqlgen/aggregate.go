package sqlgen

import "slices"

// Aggregate is a number or value made of many: a scalar subquery over the values that
// its loops yield.
type Aggregate struct {
	Fn       AggregateFn
	Distinct bool // equal values count once
	Of       []Yield
}

// AggregateFn is what an [Aggregate] makes of the values.
type AggregateFn uint8

// The functions.
const (
	Count AggregateFn = iota + 1 // how many there are
	Sum                          // of numbers; 0 of none
	Min                          // NULL of none
	Max                          // NULL of none
)

var aggregateNames = [...]string{Count: "count", Sum: "sum", Min: "min", Max: "max"}

// String is the function in SQL.
func (fn AggregateFn) String() string { return aggregateNames[fn] }

// Yield is a value for each combination of elements for which Where is true; without
// loops, for the row itself. It must not be NULL there. Those of one aggregate have
// the same type, but for the values of a count, and of a sum, which are any numbers.
type Yield struct {
	From  []Loop // each may read the elements of those before it
	Where Predicate
	Value Expr
}

// Loop is what a [Yield] goes through: the elements of a collection, or the rows of a
// table. It is an [ExistsElement] or [Exists], whose own Where is not read.
type Loop interface {
	Predicate
	table() string // what columns of the element are qualified with
	around(Predicate) Predicate
}

func (Aggregate) expr() {}

func (p ExistsElement) table() string { return p.Element.Table }
func (p Exists) table() string        { return p.alias() }

// around is the loop with a condition inside.
func (p ExistsElement) around(where Predicate) Predicate { p.Where = where; return p }
func (p Exists) around(where Predicate) Predicate        { p.Where = where; return p }

// String prints the expression for golden files and explain.
func (e Aggregate) String() string { return printedExpr(e) }

func (e Aggregate) typeOf() Type {
	switch {
	case e.Fn == Count:
		return Type{Kind: KindInt}
	case e.Fn == Sum || len(e.Of) == 0:
		return Type{Kind: KindNumeric}
	default:
		return TypeOf(e.Of[0].Value)
	}
}

func (e Aggregate) nullable() bool { return e.Fn == Min || e.Fn == Max }

// nested is the yield as a condition, of loops inside each other, so that what is done
// to a condition can be done to it.
func (y Yield) nested() Predicate {
	var p Predicate = And{y.Where, Null{y.Value}}
	for _, l := range slices.Backward(y.From) {
		p = l.around(p)
	}
	return p
}

// unnested is the yield that the condition was made of.
func unnested(p Predicate) Yield {
	var y Yield
	for {
		switch in := p.(type) {
		case ExistsElement:
			y.From, p = append(y.From, in.around(True).(Loop)), in.Where
		case Exists:
			y.From, p = append(y.From, in.around(True).(Loop)), in.Where
		default:
			both := p.(And)
			y.Where, y.Value = both[0], both[1].(Null).Of
			return y
		}
	}
}

// within is the aggregate with other yields: f changes them as conditions.
func (e Aggregate) within(f func(Predicate) Predicate) Aggregate {
	of := make([]Yield, len(e.Of))
	for i, y := range e.Of {
		of[i] = unnested(f(y.nested()))
	}
	return Aggregate{e.Fn, e.Distinct, of}
}

func (e Aggregate) appendTo(b []byte) []byte {
	b = append(append(b, '('), e.Fn.String()...)
	if e.Distinct {
		b = append(b, " distinct"...)
	}
	for _, y := range e.Of {
		b = append(appendPredicate(append(b, " (yield "...), y.nested()), ')')
	}
	return append(b, ')')
}

// whole reports whether the aggregate has all of its parts.
func (e Aggregate) whole() bool {
	if e.Fn < Count || e.Fn > Max {
		return false
	}
	for _, y := range e.Of {
		if y.Where == nil || y.Value == nil || !wellFormed(y.nested()) {
			return false
		}
	}
	return len(e.Of) > 0 || !e.nullable()
}

// simplifyExpr simplifies the conditions in an expression. A yield that can't be is
// left out.
func (s *simplifier) simplifyExpr(e Expr) Expr {
	a, ok := e.(Aggregate)
	if !ok {
		return e
	}
	var some []Yield
	for _, y := range a.Of {
		if y.Where = s.simplify(y.Where); y.Where != Predicate(False) {
			some = append(some, y)
		}
	}
	if len(some) == 0 && a.nullable() { // its type is that of a value
		some = a.Of[:1]
	}
	a.Of = some
	return a
}

// simplifyOperands simplifies the conditions in the expressions of a leaf.
func (s *simplifier) simplifyOperands(p Predicate) Predicate {
	if !anyOperand(p, holdsAggregate) {
		return p
	}
	return mapOperands(p, func(e Expr) Expr { return rewriteExpr(e, s.simplifyExpr) })
}

// holdsAggregate reports whether an aggregate stands in an expression.
func holdsAggregate(e Expr) bool {
	return anyPart(e, func(part Expr) bool {
		_, ok := part.(Aggregate)
		return ok
	})
}

// aggregate writes the subquery. Where equal values count once, those of several
// yields meet in a UNION; else each yield has its own subquery.
func (r *renderer) aggregate(e Aggregate) {
	switch {
	case len(e.Of) == 0:
		r.WriteByte('0')
	case len(e.Of) == 1:
		r.subquery(e, e.Of[0])
	case e.nullable():
		name := "least"
		if e.Fn == Max {
			name = "greatest"
		}
		r.WriteString(name)
		r.separated(e, "(", ", ")
	case !e.Distinct:
		r.separated(e, "(", " + ")
	default:
		r.union(e)
	}
}

func (r *renderer) separated(e Aggregate, before, between string) {
	for i, y := range e.Of {
		if i == 0 {
			r.WriteString(before)
		} else {
			r.WriteString(between)
		}
		r.subquery(e, y)
	}
	r.WriteByte(')')
}

// subquery writes the aggregate of one yield.
func (r *renderer) subquery(e Aggregate, y Yield) {
	r.WriteString("(SELECT ")
	if e.Fn == Count && !e.Distinct {
		r.WriteString("count(*)")
		r.yield(y)
		r.WriteByte(')')
		return
	}
	if e.Fn == Sum {
		r.WriteString("coalesce(")
	}
	r.WriteString(e.Fn.String() + "(")
	if e.Distinct && !e.nullable() {
		r.WriteString("DISTINCT ")
	}
	own := y.readsItself()
	if own {
		r.aggregated(e, y)
	} else {
		r.WriteString("value")
	}
	r.WriteByte(')')
	if e.Fn == Sum {
		r.WriteString(", 0)")
	}
	if own {
		r.yield(y)
	} else { // to PostgreSQL, an aggregate of outer columns is one of the outer query
		r.WriteString(" FROM (SELECT ")
		r.aggregated(e, y)
		r.yield(y)
		r.WriteString(") AS yields(value)")
	}
	r.WriteByte(')')
}

// readsItself reports whether the value reads an element of the yield's loops.
func (y Yield) readsItself() bool {
	return anyColumn(Null{y.Value}, func(c Column) bool {
		return slices.ContainsFunc(y.From, func(l Loop) bool { return l.table() == c.Table })
	})
}

func (r *renderer) aggregated(e Aggregate, y Yield) {
	switch {
	case e.Fn == Sum:
		r.numeric(y.Value)
	case TypeOf(y.Value) == Type{Kind: KindText}: // by bytes, whatever the column's collation
		r.typed(y.Value)
		r.WriteString(byBytes)
	default:
		r.typed(y.Value)
	}
}

// yield writes from where the values are, and which.
func (r *renderer) yield(y Yield) {
	outer, all, where := r.outer, y.nested(), y.Where
	for _, l := range y.From {
		if e, ok := l.(Exists); ok && e.Outer != "" {
			r.outer = baseName(e.Outer)
		}
	}
	for i, l := range y.From {
		if i == 0 {
			r.WriteString(" FROM ")
		} else {
			r.WriteString(", ")
		}
		switch l := l.(type) {
		case ExistsElement:
			r.elements(l, mentions(all, l.position()))
		case Exists:
			r.table(l)
			l.Where = where
			where = l.condition()
		}
	}
	if where != Predicate(True) {
		r.WriteString(" WHERE ")
		r.pred(where, looseOr)
	}
	r.outer = outer
}

// union writes the aggregate of the distinct values of several yields: numbers for a
// sum, jsonb values else, which compare whatever they were.
func (r *renderer) union(e Aggregate) {
	if e.Fn == Sum {
		r.WriteString("(SELECT coalesce(sum(value), 0) FROM (")
	} else {
		r.WriteString("(SELECT count(*) FROM (")
	}
	for i, y := range e.Of {
		if i > 0 {
			r.WriteString(" UNION ")
		}
		r.WriteString("SELECT ")
		if e.Fn == Sum {
			r.numeric(y.Value)
		} else {
			r.asJSON(y.Value)
		}
		r.yield(y)
	}
	r.WriteString(") AS yields(value))")
}

// asJSON writes a value as jsonb.
func (r *renderer) asJSON(e Expr) {
	if TypeOf(e) == (Type{Kind: KindJSONB}) {
		r.typed(e)
		return
	}
	r.expr(ToJSON{e})
}
