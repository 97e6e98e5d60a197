package compiler

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
)

// Decide evaluates the policy in full for each of the documents of a resource's rows,
// which may be anything that marshals to a JSON object. The schema's constants are laid
// over them. What the policy derives from the input alone is evaluated once.
func (p *Plan) Decide(ctx context.Context, input any, documents []any) ([]bool, error) {
	given, err := toInput(input)
	if err != nil {
		return nil, err
	}
	var known rego.Known
	if len(documents) > 1 {
		if known, err = p.derivedValues(ctx, given); err != nil {
			return nil, err
		}
	}
	allowed := make([]bool, len(documents))
	for i, d := range documents {
		whole, err := p.withDocument(given, d)
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
		if allowed[i], err = p.query.EvalWith(ctx, whole, known); err != nil {
			return nil, evalError(err)
		}
	}
	return allowed, nil
}

// derivedValues are those of the derived parameters that the objects have in common; none
// where the policy can't be evaluated for one of them, which an object may not need.
func (p *Plan) derivedValues(ctx context.Context, given ast.Object) (known rego.Known, err error) {
	if len(p.ofInput) == 0 {
		return known, nil
	}
	all := &node{known: given}
	if err := all.placeFields(p.resource); err != nil {
		return known, err
	}
	d := p.query.Derive(p.ofInput)
	known.Values, err = d.Eval(ctx, all.value())
	if err != nil {
		return rego.Known{}, ctx.Err()
	}
	known.Params = p.ofInput
	return known, nil
}

// withDocument is the input with a document at the resource's root.
func (p *Plan) withDocument(given ast.Object, document any) (ast.Value, error) {
	doc, err := toInput(document)
	if err != nil {
		return nil, err
	}
	root := &node{known: given}
	if err := root.place(p.resource.Root, &node{known: doc}, CodeInput); err != nil {
		return nil, err
	}
	for i := range p.resource.Fields {
		f := &p.resource.Fields[i]
		if f.Const == nil {
			continue
		}
		if err := root.place(p.resource.fieldRef(f), &node{known: f.Const}, CodeInput); err != nil {
			return nil, err
		}
	}
	return root.value(), nil
}
