package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/sqlgen"
)

type refusal struct {
	Message     string
	Validations []struct{ Field, Detail string }
}

func refused(t *testing.T, w *httptest.ResponseRecorder) refusal {
	t.Helper()
	var out refusal
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body)
	require.NotEmpty(t, out.Message)
	return out
}

func TestBadParameters(t *testing.T) {
	h := newHandler(stub{}, always{}, io.Discard)
	for _, c := range []struct{ query, message, field, detail string }{
		{"q=a:b:c", "Invalid audit search query.", "q", `Query element "a:b:c" can only contain 1 ':'`},
		{"q=foo:x", "Invalid audit search query.", "q", `"foo" is not a valid query param`},
		{"q=%22open", "Invalid audit search query.", "q", "unclosed quote"},
		{"q=a%00b", "Invalid audit search query.", "q", "NUL"},
		{"q=%ff", "Invalid audit search query.", "q", "UTF-8"},
		{"q=" + strings.Repeat("x", 1<<20), "Invalid audit search query.", "q", "at most"},
		{"q=web&q=bob", "Query parameters have invalid values.", "q", `Query param "q" must be given once`},
		{"limit=x", "Query parameters have invalid values.", "limit", `Query param "limit" must be a valid 32-bit positive integer: parsing "x": invalid syntax`},
		{"limit=-1", "Query parameters have invalid values.", "limit", `Query param "limit" must be a valid 32-bit positive integer: -1 is negative`},
		{"limit=1001", "Query parameters have invalid values.", "limit", `Query param "limit" must be a valid 32-bit positive integer: 1001 is more than 1000`},
		{"limit=1&limit=2", "Query parameters have invalid values.", "limit", "once"},
		{"offset=2147483648", "Query parameters have invalid values.", "offset", "value out of range"},
		{"offset=1e3", "Query parameters have invalid values.", "offset", "invalid syntax"},
		{"offset=%00", "Query parameters have invalid values.", "offset", "invalid syntax"},
		{"cursor=x", "Query parameters have invalid values.", "cursor", `Query param "cursor" is not a cursor`},
		{"cursor=" + strings.Repeat("A", 88), "Query parameters have invalid values.", "cursor", `Query param "cursor" is not a cursor of this search and caller`},
		{"count=all", "Query parameters have invalid values.", "count", `Query param "count" has invalid value: "all" is not capped, none or exact`},
		{"count=none&count=none", "Query parameters have invalid values.", "count", "once"},
		{"cursr=x", "Query parameters have invalid values.", "cursr", `"cursr" is not a valid query param`},
		{"%ff=x", "Query parameters have invalid values.", "\uFFFD", "is not a valid query param"},
	} {
		w := request(h, http.MethodGet, "/api/v2/audit?"+c.query, "t")
		require.Equal(t, http.StatusBadRequest, w.Code, clip(c.query))
		got := refused(t, w)
		require.Equal(t, c.message, got.Message, clip(c.query))
		require.Len(t, got.Validations, 1, clip(c.query))
		require.Equal(t, c.field, got.Validations[0].Field)
		require.Contains(t, got.Validations[0].Detail, c.detail)
		require.Less(t, w.Body.Len(), 1000)
	}
	for _, query := range []string{"q=%zz", "q=a;b", "%"} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/api/v2/audit", nil)
		r.URL.RawQuery = query
		r.Header.Set("Coder-Session-Token", "t")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusBadRequest, w.Code)
		require.Contains(t, refused(t, w).Message, "can't be read")
	}
	all := refused(t, request(h, http.MethodGet, "/api/v2/audit?q="+url.QueryEscape("foo:x bar:y")+"&limit=x&offset=y", "t"))
	require.Len(t, all.Validations, 4, "everything that is wrong is told at once")
	require.Equal(t, "Invalid audit search query.", all.Message)
}

func clip(s string) string { return s[:min(len(s), 50)] }

func TestRoutes(t *testing.T) {
	h := newHandler(stub{}, always{}, io.Discard)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/healthz", 200},
		{http.MethodHead, "/healthz", 200},
		{http.MethodGet, "/readyz", 200},
		{http.MethodGet, "/api/v2/audit", 200},
		{http.MethodGet, "/api/v2/connectionlog", 200},
		{http.MethodGet, "/", 404},
		{http.MethodGet, "/api/v2/audit/", 404},
		{http.MethodGet, "//api/v2/audit", 404},
		{http.MethodGet, "//", 404},
		{http.MethodGet, "/api/./v2//audit", 404},
		{http.MethodGet, "/api/../api/v2/audit?q=x", 404},
		{http.MethodGet, "/api%2Fv2/%2E%2E/v2/audit", 404},
		{http.MethodGet, "*", 404},
		{http.MethodConnect, "example.com:80", 404},
		{http.MethodOptions, "/api/v2/audit", 405},
		{http.MethodPost, "/api/v2/audit", 405},
		{http.MethodDelete, "/healthz", 405},
	} {
		w := request(h, c.method, c.path, "t")
		require.Equal(t, c.status, w.Code, c)
		require.True(t, json.Valid(w.Body.Bytes()), w.Body)
		if c.status == 405 {
			require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		}
	}
}

func TestFailuresFailClosed(t *testing.T) {
	broken := errors.New("hunter2")
	for _, c := range []struct {
		name   string
		store  stub
		authz  httpapi.Authorizer
		status int
	}{
		{"session", stub{session: broken}, always{}, 500},
		{"no session", stub{session: audit.ErrNoSession}, always{}, 401},
		{"policy", stub{}, always{broken}, 500},
		{"names", stub{resolve: broken}, always{}, 500},
		{"list", stub{list: broken}, always{}, 500},
		{"count", stub{count: broken}, always{}, 500},
		{"list times out", stub{list: context.DeadlineExceeded}, always{}, 503},
	} {
		for _, route := range []string{"/api/v2/audit", "/api/v2/connectionlog"} {
			w := request(newHandler(c.store, c.authz, io.Discard), http.MethodGet, route, "t")
			require.Equal(t, c.status, w.Code, c.name)
			refused(t, w)
			require.NotContains(t, w.Body.String(), "hunter2")
			require.NotContains(t, w.Body.String(), "_logs")
		}
	}
	w := request(newHandler(stub{kinds: broken}, always{}, io.Discard), http.MethodGet, "/api/v2/audit", "t")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.NotContains(t, w.Body.String(), "hunter2")
	w = request(newHandler(stub{ready: broken}, always{}, io.Discard), http.MethodGet, "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotContains(t, w.Body.String(), "hunter2")
}

func TestDeadline(t *testing.T) {
	h := httpapi.New(httpapi.Config{Store: stub{hang: true}, Authorizer: always{}, Log: slog.New(slog.DiscardHandler), Timeout: 20 * time.Millisecond})
	w := request(h, http.MethodGet, "/api/v2/audit", "t")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, refused(t, w).Message, "longer than 20ms")
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	w := request(newHandler(stub{panics: true}, always{}, &log), http.MethodGet, "/api/v2/audit", "t")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, "Internal error.", refused(t, w).Message)
	require.Contains(t, log.String(), "level=ERROR msg=panic")
	require.Contains(t, log.String(), "status=500")
}

func TestRequestID(t *testing.T) {
	var log bytes.Buffer
	h := newHandler(stub{}, always{}, &log)
	ask := func(sent string) string {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/api/v2/audit?q=hunter2", nil)
		r.Header.Set("X-Request-Id", sent)
		r.Header.Set("Coder-Session-Token", "s3cret")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Header().Get("X-Request-Id")
	}
	require.Equal(t, "my-id_1.2", ask("my-id_1.2"))
	require.Contains(t, log.String(), "request_id=my-id_1.2")
	for _, bad := range []string{"", "a b", "a\nb", "é", strings.Repeat("x", 65)} {
		_, err := uuid.Parse(ask(bad))
		require.NoError(t, err, "another id is made in place of %q", bad)
	}
	require.NotContains(t, log.String(), "hunter2")
	require.NotContains(t, log.String(), "s3cret")
}

// A client that sends too much gets an answer, not a reset.
func TestBigRequests(t *testing.T) {
	server := httpapi.NewHTTPServer(newHandler(stub{}, always{}, io.Discard), slog.New(slog.DiscardHandler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go server.Serve(listener) //nolint:errcheck // ends with Close
	defer server.Close()
	for _, c := range []struct{ size, status int }{
		{1 << 20, http.StatusBadRequest},
		{3 << 20, http.StatusBadRequest},
		{6 << 20, http.StatusRequestHeaderFieldsTooLarge},
	} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+listener.Addr().String()+"/api/v2/audit?q="+strings.Repeat("x", c.size), nil)
		require.NoError(t, err)
		r.Header.Set("Coder-Session-Token", "t")
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.status, resp.StatusCode)
		require.NotEmpty(t, body)
	}
}

func newHandler(store httpapi.Store, authz httpapi.Authorizer, log io.Writer) http.Handler {
	return httpapi.New(httpapi.Config{Store: store, Authorizer: authz, Log: slog.New(slog.NewTextHandler(log, nil))})
}

// stub is a store whose parts can fail, for what HTTP makes of it.
type stub struct {
	session, kinds, resolve, list, count, ready error
	counted                                     audit.Count
	hang, panics                                bool
	exported                                    int // rows before the error of list
}

func (s stub) Session(context.Context, string) (audit.Session, error) {
	return audit.Session{}, s.session
}

func (s stub) Resolve(context.Context, uuid.UUID, auditquery.Names) (auditquery.Resolved, error) {
	if s.panics {
		panic("oh")
	}
	return auditquery.Resolved{}, s.resolve
}

func (s stub) AuditLogs(ctx context.Context, _ sqlgen.Filter, _ sqlgen.Predicate, _ auditquery.Page) ([]audit.Log, *auditquery.Stop, error) {
	if s.hang {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	return nil, nil, s.list
}

func (s stub) CountAuditLogs(context.Context, sqlgen.Filter, sqlgen.Predicate, audit.Counting) (audit.Count, error) {
	return s.counted, s.count
}

func (s stub) Connections(context.Context, sqlgen.Filter, sqlgen.Predicate, auditquery.Page) ([]audit.Connection, *auditquery.Stop, error) {
	return nil, nil, s.list
}

func (s stub) CountConnections(context.Context, sqlgen.Filter, sqlgen.Predicate, audit.Counting) (audit.Count, error) {
	return s.counted, s.count
}

func (s stub) ExportAuditLogs(_ context.Context, _ sqlgen.Filter, _ sqlgen.Predicate, each func([]audit.Log) error) error {
	for range s.exported {
		if err := each([]audit.Log{{}}); err != nil {
			return err
		}
	}
	return s.list
}

func (s stub) ExportConnections(context.Context, sqlgen.Filter, sqlgen.Predicate, func([]audit.Connection) error) error {
	return s.list
}

func (s stub) AllResourceKinds(context.Context) ([]string, error) { return nil, s.kinds }

func (s stub) Written(context.Context) (auditquery.Position, error) {
	return auditquery.Position{}, s.list
}

func (s stub) AuditLogsWritten(context.Context, sqlgen.Filter, sqlgen.Predicate, auditquery.Position) (audit.Written[audit.Log], error) {
	return audit.Written[audit.Log]{}, s.list
}

func (s stub) ConnectionsWritten(context.Context, sqlgen.Filter, sqlgen.Predicate, auditquery.Position) (audit.Written[audit.Connection], error) {
	return audit.Written[audit.Connection]{}, s.list
}

func (s stub) Ready(context.Context) error { return s.ready }

type always struct{ err error }

func (a always) Filter(context.Context, *rowfence.Subject, string, string) (sqlgen.Filter, error) {
	return sqlgen.Always(), a.err
}
