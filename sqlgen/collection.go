package sqlgen

import (
	"slices"
	"strings"
)

// Functions of collections.
var (
	// ConcatArrays is the jsonb array of the elements of two.
	ConcatArrays = &Function{name: "concat-arrays", template: "$1 || $2", result: Type{Kind: KindJSONB}}

	// ReverseArray is the jsonb array from its end; of anything else, an empty one.
	ReverseArray = &Function{
		name: "reverse-array", result: Type{Kind: KindJSONB}, nulls: never,
		template: "coalesce((SELECT jsonb_agg(item.value ORDER BY item.place DESC) FROM jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 ELSE '[]' END) WITH ORDINALITY AS item(value, place)), '[]')",
	}

	// SliceArray is the part of a jsonb array behind as many elements as the second
	// argument says, up to the place of the third; both are literals.
	SliceArray = &Function{
		name: "slice-array", result: Type{Kind: KindJSONB}, nulls: never,
		template: "coalesce((SELECT jsonb_agg(item.value ORDER BY item.place) FROM jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 ELSE '[]' END) WITH ORDINALITY AS item(value, place) WHERE item.place > $2 AND item.place <= $3), '[]')",
	}

	// JSONElements is an array of the elements of a jsonb array; of anything else, an
	// empty one.
	JSONElements = &Function{
		name: "elements", result: Type{Kind: KindJSONB, Array: true}, nulls: never,
		template: "ARRAY(SELECT jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 ELSE '[]' END))",
	}

	// OmitKeys is a jsonb object without the keys of a literal; NULL of anything else.
	OmitKeys = &Function{
		name: "omit-keys", result: Type{Kind: KindJSONB}, nulls: sometimes,
		template: "(CASE jsonb_typeof($1) WHEN 'object' THEN $1 - $2 END)",
	}

	// PickKeys is a jsonb object of the members whose keys a literal has; NULL of
	// anything else.
	PickKeys = &Function{
		name: "pick-keys", result: Type{Kind: KindJSONB}, nulls: sometimes,
		template: "(CASE jsonb_typeof($1) WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(item.key, item.value), '{}') FROM jsonb_each(CASE jsonb_typeof($1) WHEN 'object' THEN $1 END) AS item(key, value) WHERE item.key = ANY($2)) END)",
	}

	// PlaceOfInt is an integer as a place in an array, from 0; NULL where no array is
	// that long.
	PlaceOfInt = &Function{
		name: "place", result: Type{Kind: KindInt}, nulls: sometimes,
		template: "(CASE WHEN $1 BETWEEN 0 AND 2147483647 THEN $1::int END)",
	}

	// PlaceOfNumber is the same of a numeric, and NULL of one with a fraction. Of more
	// than 19 characters, 1.000 is no place to OPA.
	PlaceOfNumber = &Function{
		name: "place", result: Type{Kind: KindInt}, nulls: sometimes,
		template: "(CASE WHEN $1 BETWEEN 0 AND 2147483647 AND $1 = trunc($1) AND length($1::text) <= 19 THEN $1::int END)",
	}

	// PlaceOfJSON is the same of a jsonb number, and NULL of anything else.
	PlaceOfJSON = &Function{
		name: "place", result: Type{Kind: KindInt}, nulls: sometimes,
		template: "(CASE WHEN jsonb_typeof($1) = 'number' THEN CASE WHEN $1::numeric BETWEEN 0 AND 2147483647 AND $1::numeric = trunc($1::numeric) AND length($1::text) <= 19 THEN $1::int END END)",
	}

	// SortKey orders jsonb values as Rego does, which is not jsonb's own order: null,
	// booleans, numbers, strings by their bytes, arrays by their first elements that
	// differ, objects by their first members. It is a list of what is met on the way
	// through the value, with an end for each array and object, which is below all.
	SortKey = &Function{
		name: "sort-key", result: Type{Kind: KindJSONB}, nulls: never,
		template: strings.Join([]string{
			"(WITH RECURSIVE walk(path, v) AS (SELECT ARRAY[]::bigint[], $1 UNION ALL SELECT w.path || c.place, c.v FROM walk AS w, LATERAL (",
			"SELECT a.place, a.value FROM jsonb_array_elements(CASE jsonb_typeof(w.v) WHEN 'array' THEN w.v ELSE '[]' END) WITH ORDINALITY AS a(value, place) UNION ALL ",
			`SELECT 2 * dense_rank() OVER (ORDER BY o.key COLLATE "C") + s.side, CASE s.side WHEN 0 THEN to_jsonb(o.key) ELSE o.value END `,
			"FROM jsonb_each(CASE jsonb_typeof(w.v) WHEN 'object' THEN w.v ELSE '{}' END) AS o(key, value), generate_series(0, 1) AS s(side)) AS c(place, v)) ",
			"SELECT array_agg(ROW(t.rank, t.n, t.s) ORDER BY t.path) FROM (",
			"SELECT path, array_position(ARRAY['null', 'boolean', 'number', 'string', 'array', 'object'], jsonb_typeof(v)), ",
			"CASE jsonb_typeof(v) WHEN 'number' THEN v::numeric WHEN 'boolean' THEN v::boolean::int END, ",
			"CASE jsonb_typeof(v) WHEN 'string' THEN convert_to(v #>> '{}', 'UTF8') END FROM walk UNION ALL ",
			"SELECT path || 9223372036854775807, 0, NULL, NULL FROM walk WHERE jsonb_typeof(v) IN ('array', 'object')) AS t(path, rank, n, s))",
		}, ""),
	}
)

// JSONBuild is a jsonb array of values, or an object of them, each as its row document
// shows it; a NULL is null in it.
type JSONBuild struct {
	Keys   []string // of an object, as many as there are values; nil for an array
	Values []Expr
}

func (JSONBuild) expr() {}

// String prints the expression for golden files and explain.
func (e JSONBuild) String() string { return printedExpr(e) }

func (e JSONBuild) mapped(f func(Expr) Expr) JSONBuild {
	values := make([]Expr, len(e.Values))
	for i, v := range e.Values {
		values[i] = f(v)
	}
	return JSONBuild{e.Keys, values}
}

func (e JSONBuild) appendTo(b []byte) []byte {
	if e.Keys == nil {
		b = append(b, "(build"...)
	} else {
		b = append(b, "(build-object"...)
	}
	for i, v := range e.Values {
		b = append(b, ' ')
		if e.Keys != nil {
			b = append(String(e.Keys[i]).appendBare(b), ' ')
		}
		b = appendExpr(b, v)
	}
	return append(b, ')')
}

// whole reports whether the expression has all of its parts.
func (e JSONBuild) whole() bool {
	return (e.Keys == nil || len(e.Keys) == len(e.Values)) && !anyOf(e.Values, func(v Expr) bool { return !wholeExpr(v) })
}

// maxArguments is how many arguments a function of PostgreSQL takes.
const maxArguments = 100

// build writes an array or object, in parts where it has too many values for one call.
func (r *renderer) build(e JSONBuild) {
	size := maxArguments
	if e.Keys != nil {
		size /= 2
	}
	if len(e.Values) > size {
		r.WriteByte('(')
	}
	for i, first := 0, true; first || i < len(e.Values); i, first = i+size, false {
		if !first {
			r.WriteString(" || ")
		}
		part := min(i+size, len(e.Values))
		r.buildPart(e, i, part)
	}
	if len(e.Values) > size {
		r.WriteByte(')')
	}
}

func (r *renderer) buildPart(e JSONBuild, from, to int) {
	if e.Keys == nil {
		r.WriteString("jsonb_build_array(")
	} else {
		r.WriteString("jsonb_build_object(")
	}
	for i := from; i < to; i++ {
		if i > from {
			r.WriteString(", ")
		}
		if e.Keys != nil {
			r.typed(String(e.Keys[i]))
			r.WriteString(", ")
		}
		r.shown(e.Values[i])
	}
	r.WriteByte(')')
}

// JSONType is the JSON type of a jsonb value, where that does not depend on the row:
// array, object, or any other that jsonb_typeof answers; and else empty.
func JSONType(e Expr) string {
	switch e := e.(type) {
	case ToJSON:
		switch t := TypeOf(e.Of); {
		case t.Array:
			return "array"
		case t.Kind == KindJSONB:
			return JSONType(e.Of)
		case t.Kind == KindInt:
			return "number"
		case t.Numeric(): // NaN is a string
			return ""
		case t.Kind == KindBool:
			return "boolean"
		default:
			return "string"
		}
	case JSONArray, JSONValues:
		return "array"
	case JSONBuild:
		if e.Keys != nil {
			return "object"
		}
		return "array"
	case Call:
		switch e.Of {
		case ReverseArray, SliceArray:
			return "array"
		case OmitKeys, PickKeys:
			return "object"
		}
	}
	return ""
}

// jsonTypeKnown: the type of some jsonb values does not depend on the row.
func jsonTypeKnown(p Predicate) (Predicate, bool) {
	is, ok := p.(JSONTypeIs)
	if !ok {
		return nil, false
	}
	known := JSONType(is.Of)
	if known == "" {
		return nil, false
	}
	if !slices.Contains(is.Types, known) {
		return False, true
	}
	return notNull(is.Of), true
}
