package limit_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/limit"
)

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	want := errors.New("of the work")
	require.NoError(t, limit.Run(ctx, 1<<40, func(context.Context) error { return nil }))
	require.ErrorIs(t, limit.Run(ctx, 1<<40, func(context.Context) error { return want }), want)
	err := limit.Run(ctx, 1<<40, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
}

// Work that takes too much memory is told so; work that does not listen is left.
func TestMemory(t *testing.T) {
	const heap = 256 << 20
	var kept [][]byte
	err := limit.Run(t.Context(), heap, func(ctx context.Context) error {
		for ctx.Err() == nil {
			kept = append(kept, make([]byte, 1<<20))
			runtime.Gosched()
		}
		return ctx.Err()
	})
	require.ErrorIs(t, err, limit.ErrMemory)
	require.Less(t, len(kept), 1<<14, "it was stopped long after it should have been")
	kept = nil
	runtime.GC()

	stop := make(chan struct{})
	defer close(stop)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, limit.Run(ctx, heap, func(context.Context) error { <-stop; return nil }), context.Canceled)
}
