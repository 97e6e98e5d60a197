package sqlgen

import (
	"math"
	"strconv"
)

// ArrayGet is an array's element, counted from 0; NULL where there is none.
type ArrayGet struct {
	Of    Expr
	Index int64
}

func (ArrayGet) expr() {}

// String prints the expression for golden files and explain.
func (e ArrayGet) String() string { return printedExpr(e) }

// arrayGet counts from the array's lower bound, which need not be 1 but in what a
// function makes, and in arguments. The index is no argument: one of the same value elsewhere may be of
// another type.
func (r *renderer) arrayGet(e ArrayGet) {
	r.WriteByte('(')
	r.inner(e.Of)
	if _, made := e.Of.(Call); made || isArg(e.Of) && e.Index < math.MaxInt32 {
		r.WriteString(")[" + strconv.FormatInt(e.Index+1, 10) + "]")
		return
	}
	r.WriteString(")[array_lower(")
	r.inner(e.Of)
	r.WriteString(", 1)")
	if e.Index > 0 { // no further than one place behind the last, which is an integer whatever the bound
		r.WriteString(" + LEAST(" + strconv.FormatInt(e.Index, 10) + ", cardinality(")
		r.inner(e.Of)
		r.WriteString("))")
	}
	r.WriteByte(']')
}
