package compiler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// Compilation is a filter and how it came about.
type Compilation struct {
	Residual  *rego.Residual
	Template  sqlgen.Predicate // as translated, with parameters; nil where the schema has none
	Predicate sqlgen.Predicate // with the parameters' values, before simplification
	Filter    sqlgen.Filter
}

// Compile makes the filter that selects the rows of a resource for which the query
// is true with the given input. The input is a JSON object; where the schema's
// fields stand in it, the rows' documents take its place.
//
// To the policy, the time is that of [rego.Query.At], or the present: the filter of a
// policy that asks for it is for this instant.
//
// The error is an [Error] or [Errors] when something is refused.
func Compile(ctx context.Context, query *rego.Query, resource *Resource, input any) (*Compilation, error) {
	return Explain(ctx, query, resource, input, nil)
}

// Explain is [Compile] and reports each simplification that fired.
func Explain(ctx context.Context, query *rego.Query, resource *Resource, input any, trace func(sqlgen.Step)) (*Compilation, error) {
	plan, err := NewPlan(query.At(query.Now()), resource) // one instant for all of it
	if err != nil {
		return nil, err
	}
	return plan.Explain(ctx, input, trace)
}

// Explain is [Explain] of the plan's query and resource.
func (p *Plan) Explain(ctx context.Context, input any, trace func(sqlgen.Step)) (*Compilation, error) {
	given, err := toInput(input)
	if err != nil {
		return nil, err
	}
	t, err := p.template(ctx, given)
	if err != nil {
		return nil, err
	}
	value, err := t.values(ctx, given)
	if err != nil {
		return nil, err
	}
	pred, err := sqlgen.Bind(t.Predicate, value)
	if err != nil {
		return nil, err
	}
	filter := sqlgen.WhenContext(ctx, pred, trace)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("simplifying: %w", err)
	}
	out := &Compilation{Residual: t.Residual, Predicate: pred, Filter: filter}
	if len(p.resource.Params) > 0 {
		out.Template = t.Predicate
	}
	return out, nil
}

// Filter is the filter of [Plan.Explain], and none of the stages on the way to it.
func (p *Plan) Filter(ctx context.Context, input any) (sqlgen.Filter, error) {
	given, err := toInput(input)
	if err != nil {
		return sqlgen.Never(), err
	}
	t, err := p.template(ctx, given)
	if err != nil {
		return sqlgen.Never(), err
	}
	return t.filter(ctx, t.Predicate, given)
}

// unfaithfulErrors are how the refusals of package rego are told.
var unfaithfulErrors = map[rego.Unfaithful]struct {
	code Code
	hint string
}{
	rego.MayConflict:      {CodeConflict, "write its definitions as one, with else, or with different constants as arguments"},
	rego.RowKey:           {CodeExpression, "use constant keys, or an object comprehension"},
	rego.IndexedMember:    {CodeExpression, "compare with the constant first, and look for the variable in the document after that"},
	rego.ReplacedFunction: {CodeWith, "call the other function, or put the value into the input"},
	rego.ArrayIndex:       {CodeReference, "bind the element to a variable before the negation, or use an object"},
}

// evalError is why partial evaluation stopped.
func evalError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err // not the policy's fault
	}
	var unfaithful *rego.UnfaithfulError
	if errors.As(err, &unfaithful) {
		at, say := positionOf(unfaithful.Location), unfaithfulErrors[unfaithful.Kind]
		e := &Error{Code: say.code, Position: &at, Reason: unfaithful.Error(), Hint: say.hint}
		if unfaithful.Subject != nil {
			e.Expression = unfaithful.Subject.String()
		}
		return e
	}
	var stopped *topdown.Error
	if errors.As(err, &stopped) && stopped.Location != nil && stopped.Location.File != "" {
		at := positionOf(stopped.Location)
		e := &Error{Code: CodeEval, Position: &at, Reason: "OPA stopped with " + stopped.Code + ": " + stopped.Message}
		if stopped.Code == topdown.ConflictErr {
			e.Hint = "make the bodies exclude each other, or use else"
		}
		return e
	}
	return &Error{Code: CodeEval, Reason: err.Error()}
}

// checkRoot refuses a root that is likely a mistake: the policy, which never reads it,
// reads something that the input does not have, or that is called nearly so.
//
// It looks at what the templates' key is made of, and no further: what is refused is
// refused for all inputs of that key.
func (p *Plan) checkRoot(doc *document) error {
	if p.readsRoot {
		return nil
	}
	policy, r := p.query.Policy(), p.resource
	refused := func(hint string) error {
		return &Error{
			Code:   CodeSchemaRoot,
			Reason: fmt.Sprintf("resource %s has its root at %v, which the policy never reads", r.Name, r.Root),
			Hint:   hint,
		}
	}
	for _, ref := range policy.InputRefs() {
		if len(ref) >= len(r.Root) && nearMiss(ref[:len(r.Root)].String(), r.Root.String()) {
			return refused(fmt.Sprintf("the policy reads %v", ref[:len(r.Root)]))
		}
	}
	for _, ref := range p.reads {
		if !doc.has(ref) {
			return refused(fmt.Sprintf("the policy reads %v, which the input does not have", ref))
		}
	}
	return nil
}

// maxTypos is how many letters may differ for one name to be meant by another. It is
// not two: input.subject and input.object are two apart.
const maxTypos = 1

func nearMiss(a, b string) bool {
	return len(a) > len("input.")+maxTypos && levenshtein.ComputeDistance(a, b) <= maxTypos
}

// DecodeInput reads an input document, which must be a JSON object. Numbers keep
// all of their digits.
func DecodeInput(text []byte) (map[string]any, error) { return decodeObject(text) }

func decodeObject(text []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, &Error{Code: CodeInput, Reason: fmt.Sprintf("the input is not JSON: %v", err)}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &Error{Code: CodeInput, Reason: "the input has something after its JSON value"}
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return nil, &Error{Code: CodeInput, Reason: "the input is no JSON object"}
	}
	return obj, nil
}
