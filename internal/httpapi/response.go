package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error that is the client's to read.
type apiError struct {
	Status      int          `json:"-"`
	Message     string       `json:"message"`
	Validations []validation `json:"validations,omitempty"`
}

// validation is one thing wrong with a request.
type validation struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
	*position
}

// position is where in a search something is wrong; bytes of UTF-8.
type position struct {
	Element string `json:"element"`
	Offset  int    `json:"offset"`
	Length  int    `json:"length"`
}

func (e *apiError) Error() string { return e.Message }

// fail answers with the error. What is not meant for the client is logged, and
// called internal.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	ctx := r.Context()
	var api *apiError
	switch {
	case errors.As(err, &api):
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.log.WarnContext(ctx, "request timed out", "request_id", requestID(ctx), "error", err)
		api = &apiError{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf(
			"The request took longer than %s and was stopped. Narrow the search, for example with date_from.", s.timeout)}
	case ctx.Err() != nil: // the client is gone: nobody reads the answer
		api = &apiError{Status: http.StatusServiceUnavailable, Message: "The request was cancelled."}
	default:
		s.log.ErrorContext(ctx, "request failed", "request_id", requestID(ctx), "error", err)
		api = &apiError{Status: http.StatusInternalServerError, Message: "Internal error."}
	}
	if err := respond(w, api.Status, api); err != nil {
		s.log.ErrorContext(ctx, "writing an error", "request_id", requestID(ctx), "error", err)
	}
}

// respond writes the value as JSON. On an error nothing has been written.
func respond(w http.ResponseWriter, status int, value any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("encoding the response: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone: nothing to do about it
	return nil
}
