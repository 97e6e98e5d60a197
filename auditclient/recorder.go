package auditclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	defaultMost  = 10_000
	defaultBatch = 500
	defaultDelay = time.Second

	maxBatchBytes = 4 << 20 // the server takes twice as much
)

// RecorderConfig bounds a recorder; zeros are the defaults.
type RecorderConfig struct {
	Most  int           // events that are held: 10,000
	Batch int           // events that are sent at once: 500
	Delay time.Duration // how long an event waits for others: 1 second
	// OnLost is told of the events that are not written. It is called from the
	// goroutine that sends, or from the one that records. Nil is none: then
	// [Recorder.Close] alone tells.
	OnLost func(Lost)
}

// Lost is events that are not known to be written.
type Lost struct {
	Connections bool              // of the connection log; else of the audit log
	Events      []json.RawMessage // as the API takes them
	Err         error             // an *Error, or that of the context of Close
}

// Recorder takes events and sends them later, in batches and in their order. It
// tries to send for as long as it is open; meanwhile events gather, up to its bound.
// It is safe for concurrent use.
type Recorder struct {
	client *Client
	config RecorderConfig

	sending context.Context // ends when what is left is given up
	giveUp  context.CancelFunc
	wake    chan struct{} // has room for one
	ended   chan struct{}

	mu     sync.Mutex
	wait   []item
	held   int // that wait or are being sent
	closed bool
	lost   []error
}

type item struct {
	connection bool
	raw        json.RawMessage
}

// NewRecorder is a recorder that sends by the client, until it is closed.
func (c *Client) NewRecorder(config RecorderConfig) *Recorder {
	if config.Most <= 0 {
		config.Most = defaultMost
	}
	if config.Batch <= 0 {
		config.Batch = defaultBatch
	}
	if config.Delay <= 0 {
		config.Delay = defaultDelay
	}
	r := &Recorder{client: c, config: config, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	r.sending, r.giveUp = context.WithCancel(context.Background())
	go r.run()
	return r
}

// Record takes an event for the audit log, and does not wait. After an error, which
// is [ErrFull], [ErrClosed] or one of encoding, it was not taken.
func (r *Recorder) Record(e Event) error {
	raw, err := encodeEvent(e)
	if err != nil {
		return err
	}
	return r.add(item{false, raw})
}

// RecordConnection takes an event for the connection log, as [Recorder.Record] does.
func (r *Recorder) RecordConnection(e Connection) error {
	raw, err := encodeConnection(e)
	if err != nil {
		return err
	}
	return r.add(item{true, raw})
}

func (r *Recorder) add(i item) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if r.held >= r.config.Most {
		return ErrFull
	}
	r.held++
	r.wait = append(r.wait, i)
	if n := len(r.wait); n == 1 || n == r.config.Batch {
		r.signal()
	}
	return nil
}

func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run sends batches until the recorder is closed and empty.
func (r *Recorder) run() {
	defer close(r.ended)
	for {
		first, closed := r.gathered()
		if first == 0 {
			if closed {
				return
			}
			<-r.wake
			continue
		}
		if !closed && first < r.config.Batch {
			r.gather()
		}
		r.send(r.take())
	}
}

func (r *Recorder) gathered() (n int, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.wait), r.closed
}

// gather waits for a batch to be full, or for the delay.
func (r *Recorder) gather() {
	timer := time.NewTimer(r.config.Delay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-r.wake:
			if n, closed := r.gathered(); closed || n >= r.config.Batch {
				return
			}
		}
	}
}

// take is the next batch, all of one log.
func (r *Recorder) take() []item {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, bytes := 0, 0
	for n < len(r.wait) && n < r.config.Batch && r.wait[n].connection == r.wait[0].connection {
		bytes += len(r.wait[n].raw)
		if n > 0 && bytes > maxBatchBytes {
			break
		}
		n++
	}
	batch := r.wait[:n:n]
	r.wait = r.wait[n:]
	return batch
}

// send sends the batch. Events that the server refuses are taken out and lost, and
// the others sent without them.
func (r *Recorder) send(batch []item) {
	url, n := r.client.audit, len(batch)
	connection := batch[0].connection
	if connection {
		url = r.client.conn
	}
	events := make([]json.RawMessage, n)
	for i, b := range batch {
		events[i] = b.raw
	}
	for len(events) > 0 {
		_, err := r.client.send(r.sending, url, events, 0)
		if err == nil {
			break
		}
		var refused *Error
		var blamed map[int]bool
		if errors.As(err, &refused) && !refused.Temporary() {
			blamed = refused.events()
		}
		var bad, good []json.RawMessage
		for i, e := range events {
			if blamed[i] {
				bad = append(bad, e)
			} else {
				good = append(good, e)
			}
		}
		if len(bad) == 0 {
			bad, good = events, nil
		}
		r.lose(Lost{connection, bad, err})
		events = good
	}
	r.mu.Lock()
	r.held -= n
	r.mu.Unlock()
}

func (r *Recorder) lose(l Lost) {
	r.mu.Lock()
	const most = 10
	if len(r.lost) < most {
		r.lost = append(r.lost, fmt.Errorf("auditclient: %d events are lost: %w", len(l.Events), l.Err))
	}
	r.mu.Unlock()
	if r.config.OnLost != nil {
		r.config.OnLost(l)
	}
}

// Close takes no more events, and sends those that it holds. When ctx ends first it
// gives up what is left. It returns what was lost since the recorder was made.
func (r *Recorder) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.signal()
	defer r.giveUp()
	select {
	case <-r.ended:
	case <-ctx.Done():
		r.giveUp()
		<-r.ended
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.lost...)
}
