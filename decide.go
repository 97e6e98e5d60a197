package rowfence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
)

// Object is one row of a resource, as the policy sees it.
type Object struct {
	Resource string
	// Document is what stands at the resource's root: anything that marshals to a JSON
	// object. The schema's constants are laid over it.
	Document any
}

// Allow says whether the policy allows the subject to take the action on the object: a
// full evaluation, of what [Engine.Filter] says for all rows. On an error it is false.
func (e *Engine) Allow(ctx context.Context, subject *Subject, action string, object Object) (bool, error) {
	allowed, err := e.AllowEach(ctx, subject, action, []Object{object})
	if err != nil {
		return false, err
	}
	return allowed[0], nil
}

// AllowEach is [Engine.Allow] for each of the objects, by one policy and at one instant.
// What the policy derives from the subject alone is evaluated once. On an error there
// are no answers.
func (e *Engine) AllowEach(ctx context.Context, subject *Subject, action string, objects []Object) (allowed []bool, err error) {
	s, err := e.state()
	if err != nil {
		return nil, err
	}
	if subject == nil {
		return nil, errors.New("a decision is for a Subject, made by NewSubject, and there is none")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	input, err := e.input(subject, action)
	if err != nil {
		return nil, err
	}
	query := s.query.At(e.config.Now())
	allowed = make([]bool, len(objects))
	byResource := map[string][]int{}
	for i, o := range objects {
		byResource[o.Resource] = append(byResource[o.Resource], i)
	}
	for resource, places := range byResource {
		documents := make([]any, len(places))
		for i, at := range places {
			documents[i] = objects[at].Document
		}
		some, err := e.decide(ctx, s, query, input, resource, documents)
		if err != nil {
			return nil, fmt.Errorf("deciding on %s: %w", resource, err)
		}
		for i, at := range places {
			allowed[at] = some[i]
		}
	}
	return allowed, nil
}

// decide decides on objects of one resource.
func (e *Engine) decide(ctx context.Context, s *state, query *rego.Query, input ast.Object, resource string, documents []any) (allowed []bool, err error) {
	ctx, end := span(ctx, "rowfence.decide", resource)
	start := time.Now()
	defer func() {
		end(err)
		e.config.Metrics.Decided(resource, len(documents), time.Since(start), err)
	}()
	plan, err := e.plan(s, resource)
	if err != nil {
		return nil, err
	}
	return plan.At(query).Decide(ctx, input, documents)
}
