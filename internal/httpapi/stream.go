package httpapi

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	defaultWriteTimeout = 30 * time.Second
	// streamBytes are written at once, and have a deadline of their own.
	streamBytes = 64 << 10
	// lastWrite is for a write that waits, or the end of the answer, when its context
	// is done.
	lastWrite = time.Second
)

type wholeKey struct{}

// whole is the context of the request without its deadline, for answers that take
// as long as their client reads.
func whole(ctx context.Context) context.Context {
	if parent, ok := ctx.Value(wholeKey{}).(context.Context); ok {
		return parent
	}
	return ctx
}

// A stream is an answer of unknown length, in bounded memory. Each write has a
// deadline, in the place of the server's for the whole. Until the first one there is
// no answer, and there can be another.
type stream struct {
	start    func(http.Header) // sets the header
	started  bool
	response http.ResponseWriter
	control  *http.ResponseController
	timeout  time.Duration
	text     *bufio.Writer
	zipped   *gzip.Writer  // what text writes to; nil if it writes to out
	out      *bufio.Writer // writes to the response

	ctx context.Context
	mu  sync.Mutex // of the deadline
}

// newStream is an answer whose writes fail once ctx is done.
func newStream(ctx context.Context, w http.ResponseWriter, timeout time.Duration, zipped bool, start func(http.Header)) *stream {
	s := &stream{ctx: ctx, start: start, response: w, control: http.NewResponseController(w), timeout: timeout}
	s.out = bufio.NewWriterSize(deadlined{s}, streamBytes)
	s.text = s.out
	if zipped {
		s.zipped, _ = gzip.NewWriterLevel(s.out, gzip.BestSpeed) // the level is right
		s.text = bufio.NewWriterSize(s.zipped, streamBytes)
	}
	return s
}

// cutting ends a write that waits soon after the context is done, until its result
// is called.
func (s *stream) cutting() (stop func()) {
	cut := make(chan struct{})
	uncut := context.AfterFunc(s.ctx, func() {
		defer close(cut)
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.control.SetWriteDeadline(time.Now().Add(lastWrite)) // what can't be cut has a deadline
	})
	return func() {
		if !uncut() {
			<-cut // the connection may be another request's after this
		}
	}
}

func (s *stream) setDeadline() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// begin sends the header.
func (s *stream) begin() error {
	if s.started {
		return nil
	}
	s.started = true
	// When the deadline for reading the request passes, net/http takes the client
	// for gone.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	h := s.response.Header()
	s.start(h)
	if s.zipped != nil {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	s.response.WriteHeader(http.StatusOK)
	return nil
}

// deadlined writes to the stream's response.
type deadlined struct{ *stream }

func (d deadlined) Write(b []byte) (n int, err error) {
	if err := d.begin(); err != nil {
		return 0, err
	}
	for len(b) > 0 {
		if err := d.setDeadline(); err != nil {
			return n, err
		}
		written, err := d.response.Write(b[:min(len(b), streamBytes)])
		n += written
		if err != nil {
			return n, err
		}
		b = b[written:]
	}
	return n, nil
}

// Write adds to the answer.
func (s *stream) Write(b []byte) (int, error) { return s.text.Write(b) }

// flush sends what was written so far.
func (s *stream) flush() error {
	if err := s.text.Flush(); err != nil {
		return err
	}
	if s.zipped != nil {
		if err := s.zipped.Flush(); err != nil {
			return err
		}
	}
	if err := s.out.Flush(); err != nil {
		return err
	}
	return s.control.Flush()
}

// end completes the answer.
func (s *stream) end() error {
	if err := s.text.Flush(); err != nil {
		return err
	}
	if s.zipped != nil {
		if err := s.zipped.Close(); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

var _ io.Writer = (*stream)(nil)

// acceptsGzip reports whether the client takes an answer in gzip.
func acceptsGzip(h http.Header) bool {
	accepted := false
	for _, coding := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(coding, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "gzip" && name != "x-gzip" && name != "*" {
			continue
		}
		weight := 1.0
		if key, value, ok := strings.Cut(strings.TrimSpace(params), "="); ok && strings.EqualFold(strings.TrimSpace(key), "q") {
			var err error
			if weight, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil {
				weight = 0
			}
		}
		if name != "*" {
			return weight > 0 // it says more than *
		}
		accepted = weight > 0
	}
	return accepted
}
