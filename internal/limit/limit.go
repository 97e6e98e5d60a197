// Package limit bounds the time and the memory of work on what strangers wrote.
package limit

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"time"
)

// ErrMemory is why work was stopped that took too much memory.
var ErrMemory = errors.New("it takes too much memory")

const (
	// interval is how often the heap is looked at: little can be allocated in it.
	interval = 10 * time.Millisecond
	// grace is how long work may go on that was told to stop.
	grace = 2 * time.Second
)

// Run calls work, tells it to stop when ctx ends or the program's heap grows beyond
// heap bytes, and returns its error then. Work that does not listen is left behind
// after a grace of 2 s: the caller should end the program.
func Run(ctx context.Context, heap uint64, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
		case <-ticks.C:
			if used := heapBytes(); used > heap {
				cancel(fmt.Errorf("%w: %d MiB, and may take %d", ErrMemory, used>>20, heap>>20))
			}
		}
	}
	select {
	case err := <-done:
		if cause := context.Cause(ctx); errors.Is(cause, ErrMemory) && err != nil {
			return cause
		}
		return err
	case <-time.After(grace):
		return context.Cause(ctx)
	}
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
