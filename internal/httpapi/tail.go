package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

const (
	defaultMaxTails = 64
	tailsOfCaller   = 8
	tailRetryAfter  = 10 // seconds

	defaultTailInterval  = time.Second
	defaultTailHeartbeat = 15 * time.Second

	// reconnectAfter is when clients come again that were cut off, in milliseconds.
	reconnectAfter = 2000

	positionHeader = "Last-Event-ID"
)

// tailing is how often tails do what.
type tailing struct{ interval, heartbeat time.Duration }

// tailed is a log as a route tails it.
type tailed[Row any] struct {
	searched[Row]
	written func(context.Context, sqlgen.Filter, sqlgen.Predicate, auditquery.Position) (audit.Written[Row], error)
	shape   func(Row) any
}

func (s *server) tailedAuditLogs() tailed[audit.Log] {
	return tailed[audit.Log]{s.auditLogs(), s.store.AuditLogsWritten, func(l audit.Log) any { return newAuditLog(l) }}
}

func (s *server) tailedConnectionLogs() tailed[audit.Connection] {
	return tailed[audit.Connection]{s.connectionLogs(), s.store.ConnectionsWritten, func(c audit.Connection) any { return newConnectionLog(c) }}
}

// tail answers with rows as they are written.
func tail[Row any](s *server, in tailed[Row]) func(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
	return func(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
		scope, err := parseTail(r, in.invalid, in.parse(r.Context()), auditquery.Scope{Log: in.log, Caller: subject.ID.String()})
		if err != nil {
			return err
		}
		leave, ok := s.tails.enter(subject.ID)
		if !ok {
			w.Header().Set("Retry-After", strconv.Itoa(tailRetryAfter))
			return &apiError{Status: http.StatusTooManyRequests, Message: "Too many tails are running. Try again later."}
		}
		defer leave()
		at, err := s.tailFrom(r, scope)
		if err != nil {
			return err
		}
		header := func(h http.Header) {
			h.Set("Content-Type", "text/event-stream; charset=utf-8")
			h.Set("X-Accel-Buffering", "no") // of proxies that would hold events back
		}
		if r.Method == http.MethodHead {
			header(w.Header())
			w.WriteHeader(http.StatusOK)
			return nil
		}
		ctx, cancel := s.streaming(r.Context(), 0)
		defer cancel()
		out := newStream(ctx, w, s.writeTimeout, false, header)
		defer out.cutting()()
		t := &tailOf[Row]{s: s, in: in, scope: scope, token: sessionToken(r), out: out, at: at}
		err = t.run(ctx)
		if errors.Is(err, errTailEnds) {
			err = t.end()
		}
		if err == nil || errors.Is(context.Cause(ctx), errClosing) {
			return nil
		}
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "tail cut off", "request_id", requestID(ctx), "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// parseTail reads the parameters of a tail within a scope that lacks its search.
func parseTail(r *http.Request, invalid string, parse func(q string) (auditquery.Search, error), scope auditquery.Scope) (auditquery.Scope, error) {
	params, err := readParams(r.URL.RawQuery)
	if err != nil {
		return scope, err
	}
	if scope.Search, err = params.search(invalid, parse); err != nil {
		return scope, err
	}
	return scope, params.check("q")
}

// tailFrom is the position that a tail goes on from: that of the last event that the
// client has, or what is written now.
func (s *server) tailFrom(r *http.Request, scope auditquery.Scope) (auditquery.Position, error) {
	text := r.Header.Get(positionHeader)
	if text == "" {
		return s.store.Written(r.Context())
	}
	at, err := s.cursors.DecodePosition(scope, text)
	if err != nil {
		return at, &apiError{
			Status:      http.StatusBadRequest,
			Message:     "Request headers have invalid values.",
			Validations: []validation{{Field: positionHeader, Detail: fmt.Sprintf("Header %q %s", positionHeader, err)}},
		}
	}
	return at, nil
}

// tailOf is one client's tail.
type tailOf[Row any] struct {
	s     *server
	in    tailed[Row]
	scope auditquery.Scope
	token string
	out   *stream
	at    auditquery.Position
}

// errTailEnds says that the caller's session is over.
var errTailEnds = errors.New("the session is not valid any more")

// run writes events until it fails, or ctx is done.
func (t *tailOf[Row]) run(ctx context.Context) error {
	if _, err := fmt.Fprintf(t.out, "retry: %d\n", reconnectAfter); err != nil {
		return err
	}
	if err := t.beat(); err != nil {
		return err
	}
	ticks := time.NewTicker(t.s.tailing.interval)
	defer ticks.Stop()
	for said := time.Now(); ; {
		events, more, err := t.poll(ctx)
		if err != nil {
			return err
		}
		switch {
		case events > 0:
			err = t.out.flush()
			said = time.Now()
		case time.Since(said) >= t.s.tailing.heartbeat:
			err = t.beat()
			said = time.Now()
		}
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticks.C:
		}
	}
}

// beat says that the tail goes on, and from where: a client that was sent no row for
// long need not go over what was none of it again.
func (t *tailOf[Row]) beat() error {
	if _, err := fmt.Fprintf(t.out, ": heartbeat\nid: %s\n\n", t.s.cursors.EncodePosition(t.scope, t.at)); err != nil {
		return err
	}
	return t.out.flush()
}

// event writes an event, with the position of a row. JSON is a line.
func (t *tailOf[Row]) event(name string, at *auditquery.Position, data any) error {
	if _, err := fmt.Fprintf(t.out, "event: %s\n", name); err != nil {
		return err
	}
	if at != nil {
		if _, err := fmt.Fprintf(t.out, "id: %s\n", t.s.cursors.EncodePosition(t.scope, *at)); err != nil {
			return err
		}
	}
	if _, err := t.out.Write([]byte("data: ")); err != nil {
		return err
	}
	encoder := json.NewEncoder(t.out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return err
	}
	_, err := t.out.Write([]byte("\n"))
	return err
}

// tailEnd is the data of the event that is the last one.
type tailEnd struct {
	Message string `json:"message"`
}

// end says that there is no use in coming again with the same token.
func (t *tailOf[Row]) end() error {
	if err := t.event("end", nil, tailEnd{"The session token is not valid, or has expired."}); err != nil {
		return err
	}
	return t.out.flush()
}

// poll writes what is new, as the caller may see it now.
func (t *tailOf[Row]) poll(ctx context.Context) (events int, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.s.timeout)
	defer cancel()
	session, err := t.s.store.Session(ctx, t.token)
	if errors.Is(err, audit.ErrNoSession) || err == nil && session.Subject.ID.String() != t.scope.Caller {
		return 0, false, errTailEnds
	}
	if err != nil {
		return 0, false, fmt.Errorf("authenticating: %w", err)
	}
	authorized, found, err := t.s.condition(ctx, session.Subject, t.in.resource, t.scope.Search, searchTime())
	if err != nil {
		return 0, false, err
	}
	written, err := t.in.written(ctx, authorized, found, t.at)
	if err != nil {
		return 0, false, err
	}
	for i, row := range written.Rows {
		if err := t.event(t.in.resource, &written.At[i], t.in.shape(row)); err != nil {
			return 0, false, err
		}
	}
	t.at = written.End
	return len(written.Rows), written.More, nil
}
