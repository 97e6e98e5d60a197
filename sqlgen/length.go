package sqlgen

// Length is the number of characters of a text, of elements of an array or of a
// jsonb array. Of other jsonb values it is NULL.
type Length struct{ Of Expr }

func (Length) expr() {}

// String prints the expression for golden files and explain.
func (e Length) String() string { return printedExpr(e) }

func (r *renderer) length(e Length) {
	switch t := TypeOf(e.Of); {
	case t.Array:
		r.call("cardinality", func() { r.inner(e.Of) })
	case t.Kind == KindJSONB:
		r.WriteString("jsonb_array_length(CASE jsonb_typeof(")
		r.expr(e.Of)
		r.WriteString(") WHEN 'array' THEN ")
		r.inner(e.Of)
		r.WriteString(" END)")
	default:
		r.call("char_length", func() { r.inner(e.Of) })
	}
}
