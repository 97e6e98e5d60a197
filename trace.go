package rowfence

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// span starts a span below the caller's, where it has one that is recorded.
func span(ctx context.Context, name, resource string) (context.Context, func(error)) {
	caller := trace.SpanFromContext(ctx)
	if !caller.IsRecording() {
		return ctx, func(error) {}
	}
	ctx, s := caller.TracerProvider().Tracer("github.com/rowfence/rowfence").Start(ctx, name,
		trace.WithAttributes(attribute.String("rowfence.resource", resource)))
	return ctx, func(err error) {
		if err != nil {
			s.RecordError(err)
			s.SetStatus(codes.Error, "no filter")
		}
		s.End()
	}
}
