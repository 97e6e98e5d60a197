package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rowfence/rowfence/internal/audit"
)

// Writer writes batches in one transaction, durably, and says what became of each.
type Writer interface {
	WriteBatches(ctx context.Context, batches []audit.Batch) []audit.Outcome
}

var (
	// ErrBusy says that the queue is full. Nothing was written.
	ErrBusy = errors.New("too many events are waiting to be written")
	// ErrClosed says that the queue takes no more. Nothing was written.
	ErrClosed = errors.New("no more events are taken")
	// ErrUnknown says that the wait was over while the batch was being written: it
	// may be written or not.
	ErrUnknown = errors.New("it is not known whether the events were written")
)

const (
	defaultMost    = 50_000
	defaultGroup   = 5_000
	defaultWriters = 2

	writeTimeout = 30 * time.Second
)

// Options bound a queue; zeros are the defaults.
type Options struct {
	Most    int // events that wait or are being written: 50,000
	Group   int // events of a transaction, if no batch has more: 5,000
	Writers int // transactions at a time: 2
}

// Queue writes what is submitted in groups: while one is being written the next
// gathers, so that there is no delay when there is little to do, and little to do
// for each event when there is much. It is safe for concurrent use.
type Queue struct {
	writer  Writer
	options Options
	writing context.Context // ends when what is left is given up
	giveUp  context.CancelFunc
	done    sync.WaitGroup

	mu     sync.Mutex
	wake   *sync.Cond
	wait   []*submission
	events int // that wait or are being written
	closed bool
}

type submission struct {
	batch   audit.Batch
	outcome chan audit.Outcome // with room for one
}

// NewQueue is a queue to the writer, which works until it is closed.
func NewQueue(writer Writer, options Options) *Queue {
	if options.Most <= 0 {
		options.Most = defaultMost
	}
	if options.Group <= 0 {
		options.Group = defaultGroup
	}
	if options.Writers <= 0 {
		options.Writers = defaultWriters
	}
	q := &Queue{writer: writer, options: options}
	q.wake = sync.NewCond(&q.mu)
	q.writing, q.giveUp = context.WithCancel(context.Background())
	for range options.Writers {
		q.done.Go(q.work)
	}
	return q
}

// Submit writes the batch, and returns when that is durable, or when it was not
// written. [ErrUnknown] leaves it open.
func (q *Queue) Submit(ctx context.Context, batch audit.Batch) (audit.Receipt, error) {
	s := &submission{batch: batch, outcome: make(chan audit.Outcome, 1)}
	if err := q.enter(s); err != nil {
		return audit.Receipt{}, err
	}
	select {
	case o := <-s.outcome:
		return o.Receipt, o.Err
	case <-ctx.Done():
	}
	if q.withdraw(s) {
		return audit.Receipt{}, context.Cause(ctx)
	}
	select {
	case o := <-s.outcome:
		return o.Receipt, o.Err
	default:
		return audit.Receipt{}, errors.Join(ErrUnknown, context.Cause(ctx))
	}
}

func (q *Queue) enter(s *submission) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	n := s.batch.Len()
	if q.events > 0 && q.events+n > q.options.Most {
		return ErrBusy
	}
	q.events += n
	q.wait = append(q.wait, s)
	q.wake.Signal()
	return nil
}

// Held is the number of events that wait or are being written.
func (q *Queue) Held() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events
}

// withdraw takes back what is not being written yet.
func (q *Queue) withdraw(s *submission) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range q.wait {
		if other == s {
			q.wait = append(q.wait[:i:i], q.wait[i+1:]...)
			q.events -= s.batch.Len()
			return true
		}
	}
	return false
}

// work writes groups until the queue is closed and empty.
func (q *Queue) work() {
	for {
		group := q.next()
		if group == nil {
			return
		}
		batches, n := make([]audit.Batch, len(group)), 0
		for i, s := range group {
			batches[i] = s.batch
			n += s.batch.Len()
		}
		ctx, cancel := context.WithTimeout(q.writing, writeTimeout)
		outcomes := q.writer.WriteBatches(ctx, batches)
		cancel()
		q.mu.Lock()
		q.events -= n
		q.mu.Unlock()
		for i, s := range group {
			s.outcome <- outcomes[i]
		}
	}
}

// next waits for a group; it is nil when there will be none.
func (q *Queue) next() []*submission {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.wait) == 0 {
		if q.closed {
			return nil
		}
		q.wake.Wait()
	}
	n, size := 1, q.wait[0].batch.Len()
	for n < len(q.wait) && size+q.wait[n].batch.Len() <= q.options.Group {
		size += q.wait[n].batch.Len()
		n++
	}
	group := q.wait[:n:n]
	q.wait = q.wait[n:]
	if len(q.wait) > 0 {
		q.wake.Signal()
	}
	return group
}

// Close takes no more batches and writes those that are there. When ctx ends first
// it gives up what is left, whose submitters get an error.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.wake.Broadcast()
	q.mu.Unlock()
	written := make(chan struct{})
	go func() {
		q.done.Wait()
		close(written)
	}()
	defer q.giveUp()
	select {
	case <-written:
		return nil
	case <-ctx.Done():
	}
	q.giveUp()
	<-written
	return context.Cause(ctx)
}
