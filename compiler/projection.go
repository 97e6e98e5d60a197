package compiler

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// DocumentSQL is the SQL, over the resource's table, of a row's document as jsonb: what
// the policy sees below the resource's root.
func (r *Resource) DocumentSQL() (string, error) {
	parts, err := partsOf(r.Fields)
	if err != nil {
		return "", err
	}
	return sqlgen.Document(r.Table, parts), nil
}

func partsOf(fields []Field) ([]sqlgen.Part, error) {
	parts := make([]sqlgen.Part, len(fields))
	for i, f := range fields {
		part, err := f.part()
		if err != nil {
			return nil, err
		}
		parts[i] = part
	}
	return parts, nil
}

func (r *Relation) rows() (*sqlgen.Rows, error) {
	parts, err := partsOf(r.Fields)
	rows := &sqlgen.Rows{From: r.Table, Many: r.Many, Parts: parts}
	for _, j := range r.Join {
		rows.Join = append(rows.Join, [2]sqlgen.Expr{sqlgen.Column{Name: j.Child}, sqlgen.Column{Name: j.Parent}})
	}
	if r.Order != "" {
		rows.Order = sqlgen.Column{Name: r.Order}
	}
	return rows, err
}

func (f *Field) part() (part sqlgen.Part, err error) {
	part.Path = f.Path
	if f.Const != nil {
		lit, err := jsonText(f.Const)
		part.Of = lit
		return part, err
	}
	part.Of = f.Column
	if f.Nanos {
		part.Of = sqlgen.ToNumeric{Of: f.Column}
	}
	always := f.Column.NotNull
	if f.Relation != nil {
		always = f.Relation.Many || f.Relation.NotNull
		if part.Rows, err = f.Relation.rows(); err != nil {
			return part, err
		}
	}
	switch f.Null {
	case nil:
		part.Absent = !always
	case ast.NullValue:
	default:
		lit, err := jsonText(f.Null)
		part.Null = &lit
		return part, err
	}
	return part, nil
}

// jsonText is a value of the schema as jsonb.
func jsonText(v ast.Value) (lit sqlgen.Literal, err error) {
	defer caught(&err, func(e *Error) *Error { return e })
	lit, ok := jsonLiteral(v)
	if !ok {
		return lit, &Error{Code: CodeLiteral, Reason: "PostgreSQL can't hold the constant " + v.String() + " as jsonb"}
	}
	return lit, nil
}
