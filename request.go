package rowfence

import (
	"context"
	"errors"

	"github.com/rowfence/rowfence/sqlgen"
)

// Request is who asks for what: a subject, an action, and the engine that decides. In a
// context it reaches the statements that need its filters.
type Request struct {
	Engine  *Engine
	Subject *Subject
	Action  string
}

// To is the request for another action.
func (r Request) To(action string) Request {
	r.Action = action
	return r
}

// Filter is the engine's filter for the request. On an error it selects no row.
func (r Request) Filter(ctx context.Context, resource string) (Filter, error) {
	if r.Engine == nil {
		return sqlgen.Never(), errors.New("the request has no engine")
	}
	return r.Engine.Filter(ctx, r.Subject, r.Action, resource)
}

type requestKey struct{}

// NewContext is a context with a request.
func NewContext(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// ErrNoRequest is a context without a request.
var ErrNoRequest = errors.New("the context has no authorization request: rowfence.NewContext, or httpfilter's middleware, puts it there")

// FromContext is the request of a context, or ErrNoRequest.
func FromContext(ctx context.Context) (Request, error) {
	r, ok := ctx.Value(requestKey{}).(Request)
	if !ok {
		return Request{}, ErrNoRequest
	}
	return r, nil
}

// FilterFrom is the filter of a resource for the request of a context. Without one, and
// on any other error, it selects no row.
func FilterFrom(ctx context.Context, resource string) (Filter, error) {
	r, err := FromContext(ctx)
	if err != nil {
		return sqlgen.Never(), err
	}
	return r.Filter(ctx, resource)
}
