package httpapi

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/ingest"
	"github.com/rowfence/rowfence/sqlgen"
)

const (
	auditEventsRoute      = "/api/v2/audit/events"
	connectionEventsRoute = "/api/v2/connectionlog/events"

	// maxEventBytes bounds a batch, as it is sent and as it is inflated.
	maxEventBytes = 8 << 20
	// maxHeldBytes bounds the bodies that are in memory at a time.
	maxHeldBytes = 64 << 20
	maxKeyBytes  = 255

	retryAfter = "1" // seconds: a full queue is written in less
)

// Decider says whether the policy allows a subject an action on each of the objects.
type Decider interface {
	AllowEach(ctx context.Context, subject *rowfence.Subject, action string, objects []rowfence.Object) ([]bool, error)
}

// Ingester takes events.
type Ingester interface {
	// Submit writes a batch. When it returns a receipt, the batch is on disk. The
	// errors are those of package ingest and audit.ErrKeyReused.
	Submit(ctx context.Context, batch audit.Batch) (audit.Receipt, error)
	// ResourceKinds are those of the names that a service has registered.
	ResourceKinds(ctx context.Context, names []string) ([]string, error)
}

// intake is what the routes of events need beside the server.
type intake struct {
	ingester Ingester
	decider  Decider
	held     atomic.Int64 // bytes of bodies
}

// bodyLimit is how large a request's body may be.
func bodyLimit(r *http.Request) int64 {
	if r.Method == http.MethodPost && (r.URL.Path == auditEventsRoute || r.URL.Path == connectionEventsRoute) {
		return maxEventBytes
	}
	return maxBodyBytes
}

// eventRoutes are the routes of events.
func (s *server) eventRoutes(in *intake) []route {
	var routes []route
	for path, log := range map[string]eventLog{auditEventsRoute: auditEvents{in}, connectionEventsRoute: connectionEvents{}} {
		routes = append(routes, route{http.MethodPost, path, s.authenticated(func(w http.ResponseWriter, r *http.Request, subject audit.Subject) error {
			return s.createEvents(w, r, in, log, subject)
		})})
	}
	return routes
}

func postOnly(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Allow", http.MethodPost)
	return &apiError{Status: http.StatusMethodNotAllowed, Message: "Method not allowed."}
}

// eventLog is what the two logs differ in.
type eventLog interface {
	resource() string
	name() string // in a sentence
	read(ctx context.Context, body []byte, format ingest.Format) (audit.Batch, error)
	// organizations are those of the events, in their order; the zero UUID is none.
	organizations(audit.Batch) []uuid.UUID
}

type auditEvents struct{ in *intake }

func (auditEvents) resource() string { return "audit_log" }
func (auditEvents) name() string     { return "audit" }

func (l auditEvents) read(ctx context.Context, body []byte, format ingest.Format) (audit.Batch, error) {
	events, err := ingest.Audit(body, format, time.Now(), func(names []string) ([]string, error) {
		return l.in.ingester.ResourceKinds(ctx, names)
	})
	return audit.Batch{Audit: events}, err
}

func (auditEvents) organizations(b audit.Batch) []uuid.UUID {
	out := make([]uuid.UUID, len(b.Audit))
	for i := range b.Audit {
		out[i] = b.Audit[i].OrganizationID
	}
	return out
}

type connectionEvents struct{}

func (connectionEvents) resource() string { return "connection_log" }
func (connectionEvents) name() string     { return "connection" }

func (connectionEvents) read(_ context.Context, body []byte, format ingest.Format) (audit.Batch, error) {
	events, err := ingest.Connections(body, format, time.Now())
	return audit.Batch{Connections: events}, err
}

func (connectionEvents) organizations(b audit.Batch) []uuid.UUID {
	out := make([]uuid.UUID, len(b.Connections))
	for i := range b.Connections {
		out[i] = b.Connections[i].Place.OrganizationID
	}
	return out
}

// createdEvents is the answer to events that were written.
type createdEvents struct {
	Count int         `json:"count"`
	IDs   []uuid.UUID `json:"ids"` // of the rows, in the order of the events
}

// createEvents answers POST …/events.
func (s *server) createEvents(w http.ResponseWriter, r *http.Request, in *intake, log eventLog, subject audit.Subject) error {
	ctx := r.Context()
	who, err := s.subjects.of(subject)
	if err != nil {
		return err
	}
	// Who may write none at all is refused before the body is read.
	filter, err := s.authorizer.Filter(ctx, who, "create", log.resource())
	if err != nil {
		return fmt.Errorf("authorizing %s: %w", log.resource(), err)
	}
	if filter.Result() == sqlgen.ResultNever {
		return &apiError{Status: http.StatusForbidden, Message: "This session may not write " + log.name() + " events."}
	}
	if r.URL.RawQuery != "" {
		return &apiError{Status: http.StatusBadRequest, Message: "There are no query parameters here."}
	}
	format, err := bodyFormat(w, r)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	body, release, err := in.readBody(w, r)
	defer release()
	if err != nil {
		return err
	}
	batch, err := log.read(ctx, body, format)
	if err != nil {
		return refusedEvents(log, err)
	}
	if err := in.authorize(ctx, who, log, batch); err != nil {
		return err
	}
	if key != "" {
		batch.Once = &audit.Once{UserID: subject.ID, Key: key, Fingerprint: sha256.Sum256(body)}
	}
	receipt, err := in.ingester.Submit(ctx, batch)
	if err != nil {
		return s.notWritten(w, r, err)
	}
	if receipt.Repeated {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	return respond(w, http.StatusCreated, createdEvents{len(receipt.IDs), receipt.IDs})
}

// bodyFormat reads the headers that say what the body is.
func bodyFormat(w http.ResponseWriter, r *http.Request) (ingest.Format, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		media = ""
	}
	switch media {
	case "application/json":
		return ingest.JSON, nil
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return ingest.NDJSON, nil
	}
	w.Header().Set("Accept", "application/json, application/x-ndjson")
	return 0, &apiError{
		Status:  http.StatusUnsupportedMediaType,
		Message: "The Content-Type must be application/json (an event, or an array of them) or application/x-ndjson (an event a line), in UTF-8.",
	}
}

func idempotencyKey(r *http.Request) (string, error) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return "", nil
	}
	bad := len(keys) > 1 || keys[0] == "" || len(keys[0]) > maxKeyBytes
	for _, c := range []byte(keys[0]) {
		bad = bad || c < '!' || c > '~'
	}
	if bad {
		return "", &apiError{Status: http.StatusBadRequest, Message: fmt.Sprintf(
			"The Idempotency-Key must be given once, and be 1 to %d visible ASCII characters without spaces.", maxKeyBytes)}
	}
	return keys[0], nil
}

// readBody reads the body, inflated, and holds its bytes until they are released.
func (in *intake) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	held := &holding{in: in}
	release = held.release
	var from io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
	case "gzip":
		inflated, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, release, unreadable(err)
		}
		from = inflated
	default:
		w.Header().Set("Accept-Encoding", "gzip")
		return nil, release, &apiError{Status: http.StatusUnsupportedMediaType, Message: "The Content-Encoding must be gzip, or none."}
	}
	held.from = io.LimitReader(from, maxEventBytes+1)
	body, err = io.ReadAll(held)
	if err == nil && len(body) > maxEventBytes {
		err = &http.MaxBytesError{Limit: maxEventBytes}
	}
	if errors.Is(err, ingest.ErrBusy) {
		return nil, release, busy(w)
	}
	if err != nil {
		return nil, release, unreadable(err)
	}
	return body, release, nil
}

// unreadable is the answer to a body that can't be read.
func unreadable(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &apiError{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf(
			"The body must be at most %d bytes, inflated. Send the events in several batches.", maxEventBytes)}
	}
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		strings.HasPrefix(err.Error(), "flate:") {
		return &apiError{Status: http.StatusBadRequest, Message: "The body can't be read: it ends early, or is not what its Content-Encoding says."}
	}
	return fmt.Errorf("reading the body: %w", err)
}

// holding reads, as long as not too many bytes are held.
type holding struct {
	in   *intake
	from io.Reader
	n    int64
}

func (h *holding) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	h.n += int64(n)
	if h.in.held.Add(int64(n)) > maxHeldBytes {
		return n, ingest.ErrBusy
	}
	return n, err
}

func (h *holding) release() { h.in.held.Add(-h.n) }

func busy(w http.ResponseWriter) error {
	w.Header().Set("Retry-After", retryAfter)
	return &apiError{Status: http.StatusTooManyRequests, Message: "Too many events are waiting to be written. Nothing of this batch was: send it again later."}
}

// refusedEvents is the answer to events that can't be read.
func refusedEvents(log eventLog, err error) error {
	var problems ingest.Problems
	switch {
	case errors.As(err, &problems):
		refused := &apiError{Status: http.StatusUnprocessableEntity, Message: "Invalid " + log.name() + " events."}
		for _, p := range problems {
			refused.Validations = append(refused.Validations, validation{Field: p.Field, Detail: p.Detail})
		}
		return refused
	case errors.Is(err, ingest.ErrTooMany):
		return &apiError{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf(
			"There must be at most %d events in a batch.", ingest.MaxEvents)}
	case errors.Is(err, ingest.ErrMalformed):
		return &apiError{Status: http.StatusBadRequest, Message: "The body can't be read as events: " + err.Error() + "."}
	}
	return fmt.Errorf("reading events: %w", err)
}

// authorize refuses the batch unless the policy allows each of its events. An event
// has no id yet, so those of one organization are one to the policy.
func (in *intake) authorize(ctx context.Context, who *rowfence.Subject, log eventLog, batch audit.Batch) error {
	events := log.organizations(batch)
	place := map[uuid.UUID]int{}
	var objects []rowfence.Object
	for _, org := range events {
		if _, ok := place[org]; ok {
			continue
		}
		place[org] = len(objects)
		owner := ""
		if org != uuid.Nil {
			owner = org.String()
		}
		objects = append(objects, rowfence.Object{Resource: log.resource(), Document: map[string]any{"id": "", "org_owner": owner}})
	}
	allowed, err := in.decider.AllowEach(ctx, who, "create", objects)
	if err != nil {
		return fmt.Errorf("authorizing %s: %w", log.resource(), err)
	}
	refused := &apiError{Status: http.StatusForbidden, Message: "This session may not write some of the " + log.name() + " events. None was written."}
	const mostTold = 100
	for i, org := range events {
		if allowed[place[org]] {
			continue
		}
		detail := "may not be written to"
		if org == uuid.Nil {
			detail = "must be one that may be written to"
		}
		field := "organization_id"
		if len(events) > 1 {
			field = fmt.Sprintf("[%d].organization_id", i)
		}
		if refused.Validations = append(refused.Validations, validation{Field: field, Detail: detail}); len(refused.Validations) == mostTold {
			break
		}
	}
	if refused.Validations != nil {
		return refused
	}
	return nil
}

// notWritten is the answer when a batch is not known to be written.
func (s *server) notWritten(w http.ResponseWriter, r *http.Request, err error) error {
	unavailable := func(message string) error {
		w.Header().Set("Retry-After", retryAfter)
		return &apiError{Status: http.StatusServiceUnavailable, Message: message}
	}
	switch {
	case errors.Is(err, audit.ErrKeyReused):
		return &apiError{Status: http.StatusUnprocessableEntity, Message: "The Idempotency-Key was used for other events. Nothing was written.",
			Validations: []validation{{Field: "Idempotency-Key", Detail: "must be another one for other events"}}}
	case errors.Is(err, ingest.ErrBusy):
		return busy(w)
	case errors.Is(err, ingest.ErrClosed):
		return unavailable("The server is shutting down. Nothing was written.")
	case errors.Is(err, ingest.ErrUnknown):
		s.log.WarnContext(r.Context(), "writing events timed out", "request_id", requestID(r.Context()), "error", err)
		return unavailable("It took too long, and whether the events were written is not known. Send them again with the same Idempotency-Key.")
	case r.Context().Err() != nil:
		return unavailable("It took too long. Nothing was written.")
	}
	return err
}
