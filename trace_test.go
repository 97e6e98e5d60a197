package rowfence_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rowfence/rowfence"
)

// A caller whose context has a span finds what the engine did below it.
func TestSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	e := newEngine(t, rowfence.Config{})
	ctx, caller := provider.Tracer("test").Start(t.Context(), "request")
	for _, action := range []string{"read", "read", "refused"} {
		_, err := e.Filter(ctx, member("a", orgA), action, "log")
		require.Equal(t, action == "refused", err != nil)
	}
	_, err := e.Allow(ctx, member("a"), "read", rowfence.Object{Resource: "log"})
	require.NoError(t, err)
	caller.End()

	var names []string
	for _, s := range recorder.Ended() {
		if s.Name() == "request" {
			continue
		}
		require.Equal(t, caller.SpanContext().TraceID(), s.SpanContext().TraceID())
		name := s.Name()
		if s.Status().Code == codes.Error {
			name += " error"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	require.Equal(t, []string{"rowfence.bind", "rowfence.compile", "rowfence.compile error", "rowfence.decide"}, names)

	_, err = e.Filter(t.Context(), member("b", orgA), "read", "log") // nobody looks
	require.NoError(t, err)
	require.Len(t, recorder.Ended(), 5)
}
