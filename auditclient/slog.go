package auditclient

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
)

// Attr is the event as an attribute of a log record, which a handler made by
// [NewHandler] records. Other handlers show it in brief.
func Attr(e Event) slog.Attr { return slog.Any("audit", e) }

// NewHandler is a handler that records the events of log records, and passes the
// records on to next:
//
//	logger.InfoContext(ctx, "template published", auditclient.Attr(event))
//
// An event without a time, status or actor gets the record's time, the status 200
// (500 from the level Error on), and who makes the request of ctx where there is a
// [Middleware]. Events are recorded from the level Info on, whatever next logs.
// Attributes of a logger (With) are not events.
func NewHandler(next slog.Handler, recorder *Recorder) slog.Handler {
	return &logHandler{next, recorder}
}

type logHandler struct {
	next     slog.Handler
	recorder *Recorder
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, record slog.Record) error {
	var errs []error
	record.Attrs(func(a slog.Attr) bool {
		e, ok := a.Value.Any().(Event)
		if !ok {
			return true
		}
		set(&e.Time, record.Time)
		if t := trailOf(ctx); t != nil {
			t.mu.Lock()
			t.actor.fill(&e)
			t.mu.Unlock()
		}
		status := http.StatusOK
		if record.Level >= slog.LevelError {
			status = http.StatusInternalServerError
		}
		set(&e.StatusCode, status)
		errs = append(errs, h.recorder.Record(e))
		return true
	})
	if h.next.Enabled(ctx, record.Level) {
		errs = append(errs, h.next.Handle(ctx, record))
	}
	return errors.Join(errs...)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.next.WithAttrs(attrs), h.recorder}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.next.WithGroup(name), h.recorder}
}
