// Package httpapi answers the server's HTTP requests.
//
//	request ─▶ id, log, recovery, bounds, deadline ─▶ mux ─▶ session ─▶ handler
//
// Every answer is JSON, errors too: {"message", "validations"?}; but for what
// net/http answers by itself, which are requests that it can't read and OPTIONS *.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

// Store is where sessions and logs are kept.
type Store interface {
	// Session is the session of a token, or audit.ErrNoSession.
	Session(ctx context.Context, token string) (audit.Session, error)
	// Resolve looks up what the names of me's search stand for.
	Resolve(ctx context.Context, me uuid.UUID, names auditquery.Names) (auditquery.Resolved, error)
	// AllResourceKinds are the kinds of resources that services have registered.
	AllResourceKinds(ctx context.Context) ([]string, error)
	// AuditLogs are the page's rows that are authorized and found, newest first. Where
	// searched is not nil the page may not be full, and the next is behind that place.
	AuditLogs(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (rows []audit.Log, searched *auditquery.Stop, err error)
	// CountAuditLogs counts such rows.
	CountAuditLogs(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, how audit.Counting) (audit.Count, error)
	// Connections and CountConnections are the same of the connection log.
	Connections(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (rows []audit.Connection, searched *auditquery.Stop, err error)
	CountConnections(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, how audit.Counting) (audit.Count, error)
	// ExportAuditLogs gives all rows that are authorized and found to each, newest
	// first and in bounded batches, as they are at one instant.
	ExportAuditLogs(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, each func([]audit.Log) error) error
	ExportConnections(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, each func([]audit.Connection) error) error
	// Written is the position behind all rows that a tail which begins now leaves out.
	Written(ctx context.Context) (auditquery.Position, error)
	// AuditLogsWritten are rows that are authorized and found, and were written behind
	// a position: none can come before the end of them any more.
	AuditLogsWritten(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, after auditquery.Position) (audit.Written[audit.Log], error)
	ConnectionsWritten(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, after auditquery.Position) (audit.Written[audit.Connection], error)
	// Ready is nil when requests can be answered.
	Ready(ctx context.Context) error
}

// Authorizer says on which rows of a resource the policy allows a subject an action.
type Authorizer interface {
	Filter(ctx context.Context, subject *rowfence.Subject, action, resource string) (sqlgen.Filter, error)
}

const (
	defaultTimeout      = 15 * time.Second
	defaultCountTimeout = time.Second
	readyTimeout        = 2 * time.Second
	// No request of the API has a body, but those that write events.
	maxBodyBytes = 64 << 10
)

// Config is what a handler needs. All but the timeouts and what takes events is required.
type Config struct {
	Store      Store
	Authorizer Authorizer
	Cursors    auditquery.Cursors // the zero Cursors writes some that it does not read
	Log        *slog.Logger
	Timeout    time.Duration // for a request; 0 means 15 seconds

	// CountTimeout is for a count, which is a lower bound then; 0 means a second. A
	// count to the end may take eight times as long.
	CountTimeout time.Duration

	// WriteTimeout is for the client of a streamed answer to take 64 KB; 0 means 30
	// seconds.
	WriteTimeout time.Duration
	// ExportTimeout is for an export as a whole, which is cut off then; 0 means six
	// hours. Partitions are not made or dropped while it runs.
	ExportTimeout time.Duration
	// MaxExports is how many exports run at a time; 0 means 4. A caller has at most
	// two of them.
	MaxExports int
	// MaxTails is how many tails there are at a time; 0 means 64. A caller has at most
	// eight of them.
	MaxTails int
	// TailInterval is how often a tail looks for new rows; 0 means a second.
	// TailHeartbeat is how long it is silent at most; 0 means 15 seconds.
	TailInterval, TailHeartbeat time.Duration
	// Closing is done when the server begins to shut down; nil never is. An export may
	// go on for CloseGrace then; 0 means 10 seconds.
	Closing    context.Context
	CloseGrace time.Duration

	// Ingester takes the events that clients may write, as Decider decides. Without
	// one there are no routes for them.
	Ingester Ingester
	Decider  Decider
}

type server struct {
	store         Store
	authorizer    Authorizer
	cursors       auditquery.Cursors
	log           *slog.Logger
	timeout       time.Duration
	countTimeout  time.Duration
	writeTimeout  time.Duration
	exportTimeout time.Duration
	closing       context.Context
	closeGrace    time.Duration
	exports       *gate
	tails         *gate
	tailing       tailing
	auditParser   *auditParser
	subjects      *subjects
}

// New is the handler of all the server's routes.
func New(c Config) http.Handler {
	if c.Closing == nil {
		c.Closing = context.Background()
	}
	s := &server{
		store: c.Store, authorizer: c.Authorizer, cursors: c.Cursors, log: c.Log,
		timeout:       orDefault(c.Timeout, defaultTimeout),
		countTimeout:  orDefault(c.CountTimeout, defaultCountTimeout),
		writeTimeout:  orDefault(c.WriteTimeout, defaultWriteTimeout),
		exportTimeout: orDefault(c.ExportTimeout, defaultExportTimeout),
		closing:       c.Closing,
		closeGrace:    orDefault(c.CloseGrace, defaultCloseGrace),
		exports:       newGate(orDefault(c.MaxExports, defaultMaxExports), exportsOfCaller),
		tails:         newGate(orDefault(c.MaxTails, defaultMaxTails), tailsOfCaller),
		subjects:      newSubjects(),
		auditParser:   &auditParser{kinds: c.Store.AllResourceKinds},
		tailing:       tailing{orDefault(c.TailInterval, defaultTailInterval), orDefault(c.TailHeartbeat, defaultTailHeartbeat)},
	}
	mux := http.NewServeMux()
	for _, r := range s.routes(c) {
		mux.Handle(r.method+" "+r.path, s.handle(r.handler))
		other := methodNotAllowed
		if r.method == http.MethodPost {
			other = postOnly
		}
		mux.Handle(r.path, s.handle(other))
	}
	mux.Handle("/", s.handle(notFound))
	return s.identified(s.logged(s.recovered(s.bounded(s.routed(mux)))))
}

// A route answers one method at a path.
type route struct {
	method, path string
	handler      handler
}

func (s *server) routes(c Config) []route {
	routes := []route{
		{http.MethodGet, "/healthz", healthy},
		{http.MethodGet, "/readyz", s.ready},
		{http.MethodGet, "/api/v2/openapi.json", described},
		{http.MethodGet, "/api/v2/audit", s.authenticated(search(s, s.auditLogs()))},
		{http.MethodGet, "/api/v2/audit/export", s.authenticated(export(s, s.exportedAuditLogs()))},
		{http.MethodGet, "/api/v2/audit/tail", s.authenticated(tail(s, s.tailedAuditLogs()))},
		{http.MethodGet, "/api/v2/connectionlog", s.authenticated(search(s, s.connectionLogs()))},
		{http.MethodGet, "/api/v2/connectionlog/export", s.authenticated(export(s, s.exportedConnectionLogs()))},
		{http.MethodGet, "/api/v2/connectionlog/tail", s.authenticated(tail(s, s.tailedConnectionLogs()))},
	}
	if c.Ingester != nil {
		routes = append(routes, s.eventRoutes(&intake{ingester: c.Ingester, decider: c.Decider})...)
	}
	return routes
}

func orDefault[T int | time.Duration](n, otherwise T) T {
	if n <= 0 {
		return otherwise
	}
	return n
}

// NewHTTPServer is a server for the handler with bounds on what a client may
// send and how long it may take.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      45 * time.Second, // more than any request's deadline; streams set their own
		IdleTimeout:       2 * time.Minute,
		// A search of 1 MB, percent-encoded, is still read, so that it is
		// refused with an explanation. What is larger gets net/http's 431.
		MaxHeaderBytes: 4 << 20,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// handler answers a request or says why it can't.
type handler func(w http.ResponseWriter, r *http.Request) error

func (s *server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

func healthy(w http.ResponseWriter, _ *http.Request) error {
	return respond(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.store.Ready(ctx); err != nil {
		s.log.WarnContext(ctx, "not ready", "request_id", requestID(ctx), "error", err)
		return &apiError{Status: http.StatusServiceUnavailable, Message: "The database is not ready."}
	}
	return respond(w, http.StatusOK, map[string]string{"status": "ready"})
}

// routed keeps from the mux the paths that it would redirect to a cleaner one or
// refuse, neither of them in JSON. None is a route.
func (s *server) routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := r.URL.EscapedPath()
		clean := path.Clean(at)
		if strings.HasSuffix(at, "/") && clean != "/" {
			clean += "/"
		}
		if at != clean || !strings.HasPrefix(at, "/") {
			s.handle(notFound).ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func notFound(http.ResponseWriter, *http.Request) error {
	return &apiError{Status: http.StatusNotFound, Message: "Route not found."}
}

func methodNotAllowed(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Allow", "GET, HEAD")
	return &apiError{Status: http.StatusMethodNotAllowed, Message: "Method not allowed."}
}
