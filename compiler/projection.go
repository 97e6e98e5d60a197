package compiler

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// DocumentSQL is the SQL, over the resource's table, of a row's document as jsonb: what
// the policy sees below the resource's root.
func (r *Resource) DocumentSQL() (string, error) {
	parts := make([]sqlgen.Part, len(r.Fields))
	for i, f := range r.Fields {
		part, err := f.part()
		if err != nil {
			return "", err
		}
		parts[i] = part
	}
	return sqlgen.Document(parts), nil
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
	switch f.Null {
	case nil:
		part.Absent = !f.Column.NotNull
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
