package compiler

import (
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
)

// Code identifies a kind of error. Codes are stable: a code is never renumbered
// or reused.
type Code string

// The codes. RF1 is about the schema, RF2 about the policy and its evaluation,
// RF3 about what has no exact translation, RF4 about the input.
const (
	// CodeSchemaSyntax: the schema is no YAML, or has an unknown key.
	CodeSchemaSyntax Code = "RF1001"
	// CodeSchemaType: a type that is not one of those of a schema, such as "string".
	CodeSchemaType Code = "RF1002"
	// CodeSchemaColumn: two fields for one column, or a field without one.
	CodeSchemaColumn Code = "RF1003"
	// CodeSchemaName: a name that can't be a table, column or path.
	CodeSchemaName Code = "RF1004"
	// CodeSchemaNull: a NULL convention that contradicts itself, such as not_null
	// beside absent.
	CodeSchemaNull Code = "RF1005"
	// CodeSchemaResource: a resource that the schema does not have.
	CodeSchemaResource Code = "RF1006"
	// CodeSchemaRoot: a root that is no path into the input, or that the policy
	// never reads.
	CodeSchemaRoot Code = "RF1007"
	// CodeSchemaRelation: a relation without a table or a join, or with a key that only
	// columns have.
	CodeSchemaRelation Code = "RF1008"
	// CodeSchemaDerived: a parameter that is a rule, and that the policy does not have or
	// that depends on the row.
	CodeSchemaDerived Code = "RF1009"

	// CodePolicy: the policy does not parse, does not compile, or lacks the rule
	// that the query asks for.
	CodePolicy Code = "RF2001"
	// CodeEval: OPA stopped with an error, such as two values of a complete rule.
	CodeEval Code = "RF2002"

	// CodeBuiltin: a builtin function of an unknown value that has no translation
	// yet, such as crypto.md5(input.object.name).
	CodeBuiltin Code = "RF3001"
	// CodeIteration: a value that a loop over the row brings out of the loop, such as
	// first := x if some x in input.object.tags.
	CodeIteration Code = "RF3002"
	// RF3003 was a comprehension that reads a variable from outside of it, which is
	// translated now.

	// CodeWith: a with modifier, on an expression that depends on the row, that puts
	// something of the row into the data, or that replaces a part of a jsonb value, a
	// rule or a function.
	CodeWith Code = "RF3004"
	// CodeConflict: a rule that may have two values for one row; OPA stops there
	// with an error, which no SQL can say.
	CodeConflict Code = "RF3005"
	// CodeCompare: a comparison that SQL can't make exactly, such as the order of
	// two sets.
	CodeCompare Code = "RF3006"
	// CodeReference: a reference that can't be followed, such as the element of an
	// array comprehension at a place.
	CodeReference Code = "RF3007"
	// CodeExpression: any other form of expression, such as an object with a key that
	// the row says, {input.object.name: 1}.
	CodeExpression Code = "RF3008"
	// CodeLiteral: a constant that PostgreSQL can't hold, such as 1e200000, or that OPA
	// looks for by its text, such as 1e400.
	CodeLiteral Code = "RF3009"

	// CodeInput: the input is no JSON object, or has something else where the
	// schema's root or a parameter stands.
	CodeInput Code = "RF4001"
	// CodeParam: a parameter's value that is missing or of another type.
	CodeParam Code = "RF4002"
)

// Position is a place in a policy, as file:row:column, counted from 1. The zero
// Position is unknown.
type Position struct {
	File string `json:"file"`
	Row  int    `json:"row"`
	Col  int    `json:"col"`
}

// String is file:row:column, or empty.
func (p Position) String() string {
	if p.Row == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Row, p.Col)
}

func positionOf(loc *ast.Location) Position {
	if loc == nil {
		return Position{}
	}
	return Position{loc.File, loc.Row, loc.Col}
}

// Error says why something can't be compiled.
type Error struct {
	Code       Code      `json:"code"`
	Position   *Position `json:"position,omitempty"` // nil where there is none
	Expression string    `json:"expression,omitempty"`
	Reason     string    `json:"reason"`
	Hint       string    `json:"hint,omitempty"` // a way out
}

// Error is the error in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Position != nil {
		fmt.Fprintf(&b, "%v: ", *e.Position)
	}
	fmt.Fprintf(&b, "%s: %s", e.Code, e.Reason)
	if e.Expression != "" {
		fmt.Fprintf(&b, ": %s", e.Expression)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// Errors are several errors at once.
type Errors []*Error

// Error is an error a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// AsErrors reads any error of loading, evaluating or compiling as coded errors.
func AsErrors(err error) Errors {
	var many Errors
	var one *Error
	var opa ast.Errors
	var opaOne *ast.Error
	var files loader.Errors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &many):
		return many
	case errors.As(err, &one):
		return Errors{one}
	case errors.As(err, &opa):
		for _, e := range opa {
			one := &Error{Code: CodePolicy, Reason: e.Message}
			if strings.Contains(e.Message, "keyword is required") { // by Rego 1.0
				one.Hint = "a policy written before Rego 1.0 is rewritten by opa fmt --write --v0-v1"
			}
			if at := positionOf(e.Location); at != (Position{}) {
				one.Position = &at
			}
			many = append(many, one)
		}
		return many
	case errors.As(err, &opaOne):
		return AsErrors(ast.Errors{opaOne})
	case errors.As(err, &files):
		for _, e := range files {
			many = append(many, AsErrors(e)...)
		}
		return many
	default:
		return Errors{{Code: CodePolicy, Reason: err.Error()}}
	}
}
