package ingest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/ingest"
)

// gate is a writer that waits until it is opened.
type gate struct {
	open    chan struct{}
	entered chan int // batches of each group

	mu     sync.Mutex
	groups [][]audit.Batch
}

func newGate() *gate { return &gate{open: make(chan struct{}), entered: make(chan int, 100)} }

func (g *gate) WriteBatches(ctx context.Context, batches []audit.Batch) []audit.Outcome {
	g.entered <- len(batches)
	outcomes := make([]audit.Outcome, len(batches))
	select {
	case <-g.open:
	case <-ctx.Done():
		for i := range outcomes {
			outcomes[i].Err = ctx.Err()
		}
		return outcomes
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups = append(g.groups, batches)
	for i, b := range batches {
		for _, e := range b.Audit {
			outcomes[i].Receipt.IDs = append(outcomes[i].Receipt.IDs, e.ID)
		}
	}
	return outcomes
}

func batchOf(n int) audit.Batch {
	b := audit.Batch{Audit: make([]audit.Event, n)}
	for i := range b.Audit {
		b.Audit[i].ID = uuid.New()
	}
	return b
}

type submitted struct {
	receipt audit.Receipt
	err     error
}

func submit(ctx context.Context, q *ingest.Queue, b audit.Batch) chan submitted {
	out := make(chan submitted, 1)
	go func() {
		receipt, err := q.Submit(ctx, b)
		out <- submitted{receipt, err}
	}()
	return out
}

func TestQueueGroups(t *testing.T) {
	g := newGate()
	q := ingest.NewQueue(g, ingest.Options{Most: 100, Group: 10, Writers: 1})
	first := submit(t.Context(), q, batchOf(1))
	require.Equal(t, 1, <-g.entered)
	// While it is written, others gather.
	var rest []chan submitted
	var batches []audit.Batch
	for range 33 {
		b := batchOf(3)
		batches = append(batches, b)
		rest = append(rest, submit(t.Context(), q, b))
	}
	require.Eventually(t, func() bool { return q.Held() == 100 }, 10*time.Second, time.Millisecond)
	_, err := q.Submit(t.Context(), batchOf(1))
	require.ErrorIs(t, err, ingest.ErrBusy)
	close(g.open)
	require.NoError(t, (<-first).err)
	for i, c := range rest {
		got := <-c
		require.NoError(t, got.err)
		var want []uuid.UUID
		for _, e := range batches[i].Audit {
			want = append(want, e.ID)
		}
		require.Equal(t, want, got.receipt.IDs, "each gets its own receipt")
	}
	for _, group := range g.groups {
		require.LessOrEqual(t, len(group), 3, "a group has at most 10 events")
	}
	_, err = q.Submit(t.Context(), batchOf(1000))
	require.NoError(t, err, "what is larger than the queue is taken when that is empty")
	require.NoError(t, q.Close(t.Context()))
	_, err = q.Submit(t.Context(), batchOf(1))
	require.ErrorIs(t, err, ingest.ErrClosed)
}

func TestQueueGivesBackWhatWaits(t *testing.T) {
	g := newGate()
	q := ingest.NewQueue(g, ingest.Options{Writers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	written := submit(ctx, q, batchOf(1))
	<-g.entered
	waiting := submit(ctx, q, batchOf(2))
	require.Eventually(t, func() bool { return q.Held() == 3 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, (<-written).err, ingest.ErrUnknown)
	err := (<-waiting).err
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ingest.ErrUnknown)
	close(g.open)
	require.NoError(t, q.Close(t.Context()))
	require.Len(t, g.groups, 1, "what was given back is not written")
}

func TestQueueIsFlushedWhenClosed(t *testing.T) {
	g := newGate()
	q := ingest.NewQueue(g, ingest.Options{Writers: 1, Group: 1})
	var all []chan submitted
	for range 5 {
		all = append(all, submit(t.Context(), q, batchOf(1)))
	}
	<-g.entered
	require.Eventually(t, func() bool { return q.Held() == 5 }, 10*time.Second, time.Millisecond)
	closed := make(chan error, 1)
	go func() { closed <- q.Close(context.Background()) }()
	require.Eventually(t, func() bool {
		_, err := q.Submit(t.Context(), batchOf(50_000))
		return errors.Is(err, ingest.ErrClosed)
	}, 10*time.Second, time.Millisecond)
	close(g.open)
	require.NoError(t, <-closed)
	for _, c := range all {
		require.NoError(t, (<-c).err)
	}

	stuck := newGate()
	q = ingest.NewQueue(stuck, ingest.Options{Writers: 1})
	left := submit(t.Context(), q, batchOf(1))
	<-stuck.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, q.Close(ctx), context.Canceled)
	require.ErrorIs(t, (<-left).err, context.Canceled)
}
