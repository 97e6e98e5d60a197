package rowfence

import (
	"context"
	"errors"

	"github.com/rowfence/rowfence/compiler"
)

// Template is what the subject's filter is made of before its values are known, and the
// input that has them: for those who write the condition elsewhere than in a query, such
// as package rls.
func (e *Engine) Template(ctx context.Context, subject *Subject, action, resource string) (t *compiler.Template, input any, err error) {
	defer func() { err = describe(err, resource) }()
	if subject == nil {
		return nil, nil, errors.New("a template is for a Subject, made by NewSubject, and there is none")
	}
	s, err := e.state()
	if err != nil {
		return nil, nil, err
	}
	plan, err := e.plan(s, resource)
	if err != nil {
		return nil, nil, err
	}
	given, err := e.input(subject, action)
	if err != nil {
		return nil, nil, err
	}
	if s.asksTime {
		t, err = plan.At(s.query.At(e.config.Now())).Template(ctx, given)
	} else {
		t, err = e.template(ctx, s, plan, given, resource)
	}
	if err != nil {
		return nil, nil, err
	}
	return t, given, nil
}

// Plan is how the filters of a resource are made, until the policies are reloaded.
func (e *Engine) Plan(resource string) (*compiler.Plan, error) {
	s, err := e.state()
	if err != nil {
		return nil, err
	}
	return e.plan(s, resource)
}
