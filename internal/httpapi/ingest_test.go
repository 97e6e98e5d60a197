package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/internal/ingest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/policies"
)

const (
	auditEvents      = "/api/v2/audit/events"
	connectionEvents = "/api/v2/connectionlog/events"

	templateCreated = `{"resource_type": "template", "action": "create", "status_code": 201, "resource_target": "web", "organization_id": "00000000-0000-0000-0000-0000000000a1"}`
	ofOrgB          = `{"resource_type": "template", "action": "create", "status_code": 201, "organization_id": "00000000-0000-0000-0000-0000000000b1"}`
	ofTheSite       = `{"resource_type": "license", "action": "create", "status_code": 201}`
	connected       = `{"action": "connect", "type": "ssh", "connection_id": "00000000-0000-0000-0000-0000000000d1",
		"organization_id": "00000000-0000-0000-0000-0000000000a1", "workspace_owner_id": "00000000-0000-0000-0000-000000000001",
		"workspace_id": "00000000-0000-0000-0000-0000000000c1", "workspace_name": "dev", "agent_name": "main"}`
)

// store is what the server has.
type store struct {
	*postgres.DB
	*ingest.Queue
}

// newIngestAPI is newAPI with the routes that write: bob is an owner, writer may
// write all logs, and orgwriter those of the organization a.
func newIngestAPI(t *testing.T) api {
	t.Helper()
	a := newAPI(t)
	engine, err := rowfence.New(t.Context(), rowfence.Config{Policies: policies.FS, Schema: policies.Schema(), Query: policies.Entrypoint})
	require.NoError(t, err)
	db := postgres.NewDB(a.pool)
	queue := ingest.NewQueue(db, ingest.Options{})
	t.Cleanup(func() { require.NoError(t, queue.Close(context.Background())) })
	a.config.Decider, a.config.Ingester = engine, store{db, queue}
	a.Handler = httpapi.New(a.config)
	a.exec(t, "INSERT INTO users (id, username, roles) VALUES ($1, 'writer', '{member,audit-writer}'), ($2, 'orgwriter', '{member}')", id(4), id(5))
	a.exec(t, "INSERT INTO organization_members (organization_id, user_id, roles) VALUES ($1, $2, '{organization-audit-writer}')", orgA, id(5))
	for token, user := range map[string]uuid.UUID{"writer": id(4), "orgwriter": id(5)} {
		a.exec(t, "INSERT INTO sessions (token_hash, user_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')", audit.TokenHash(token), user)
	}
	return a
}

func post(h http.Handler, target, token, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, strings.NewReader(body))
	r.Header.Set("Coder-Session-Token", token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (a api) rows(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, a.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, s)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

func TestEventsAreWrittenAndRead(t *testing.T) {
	a := newIngestAPI(t)
	a.purge(t, "DELETE FROM audit_logs")
	written := 0
	for _, c := range []struct {
		body    string
		events  int
		headers []string
	}{
		{templateCreated, 1, nil},
		{"[" + templateCreated + "," + ofTheSite + "]", 2, []string{"Content-Type", "application/json; charset=UTF-8"}},
		{templateCreated + "\n" + ofOrgB + "\n", 2, []string{"Content-Type", "application/x-ndjson"}},
		{gzipped(t, "["+templateCreated+"]"), 1, []string{"Content-Encoding", "gzip"}},
		{gzipped(t, templateCreated+"\n"+templateCreated), 2, []string{"Content-Encoding", "GZIP", "Content-Type", "application/jsonl"}},
	} {
		w := post(a, auditEvents, "writer", c.body, c.headers...)
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
		var out struct {
			Count int
			IDs   []uuid.UUID
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
		require.Equal(t, c.events, out.Count)
		require.Equal(t, c.events, a.rows(t, "SELECT count(*) FROM audit_logs WHERE id = ANY($1)", out.IDs))
		written += c.events
	}
	require.Equal(t, written, a.list(t, "bob", "").Count)

	w := post(a, connectionEvents, "writer", connected)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.Equal(t, 1, a.rows(t, "SELECT count(*) FROM connection_logs"))
}

func TestWhoMayWrite(t *testing.T) {
	a := newIngestAPI(t)
	for _, c := range []struct {
		token, target, body string
		status              int
		fields              []string
	}{
		{"bob", auditEvents, "[" + ofTheSite + "," + ofOrgB + "]", 201, nil},
		{"writer", auditEvents, "[" + ofTheSite + "," + ofOrgB + "]", 201, nil},
		{"orgwriter", auditEvents, templateCreated, 201, nil},
		{"orgwriter", connectionEvents, connected, 201, nil},
		{"orgwriter", auditEvents, "[" + templateCreated + "," + ofTheSite + "," + ofOrgB + "]", 403, []string{"[1].organization_id", "[2].organization_id"}},
		{"orgwriter", auditEvents, ofOrgB, 403, []string{"organization_id"}},
		// An auditor reads, and what is not allowed is not even looked at.
		{"ann", auditEvents, templateCreated, 403, nil},
		{"ann", auditEvents, "{", 403, nil},
		{"plain", auditEvents, templateCreated, 403, nil},
		{"plain", connectionEvents, connected, 403, nil},
		// A token that is limited to some ids has none for what has no id yet.
		{"two", auditEvents, templateCreated, 403, []string{"organization_id"}},
		{"old", auditEvents, templateCreated, 401, nil},
		{"", auditEvents, templateCreated, 401, nil},
	} {
		before := a.rows(t, "SELECT (SELECT count(*) FROM audit_logs) + (SELECT count(*) FROM connection_logs)")
		w := post(a, c.target, c.token, c.body)
		require.Equal(t, c.status, w.Code, "%s: %s", c.token, w.Body)
		after := a.rows(t, "SELECT (SELECT count(*) FROM audit_logs) + (SELECT count(*) FROM connection_logs)")
		if c.status == 201 {
			require.Greater(t, after, before)
			continue
		}
		require.Equal(t, before, after, "all or nothing")
		var fields []string
		for _, v := range refused(t, w).Validations {
			fields = append(fields, v.Field)
		}
		require.Equal(t, c.fields, fields)
	}
	// Who writes does not read.
	require.Empty(t, a.list(t, "writer", "").Logs)
}

func TestBadEvents(t *testing.T) {
	a := newIngestAPI(t)
	before := a.rows(t, "SELECT count(*) FROM audit_logs")
	large := `{"resource_type": "template", "action": "create", "status_code": 201, "additional_fields": {"x": "` + strings.Repeat("x", 9<<20) + `"}}`
	for _, c := range []struct {
		body    string
		status  int
		message string
		headers []string
	}{
		{templateCreated, 415, "Content-Type", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{templateCreated, 415, "Content-Type", []string{"Content-Type", ""}},
		{templateCreated, 415, "Content-Type", []string{"Content-Type", "application/json; charset=latin1"}},
		{templateCreated, 415, "Content-Encoding", []string{"Content-Encoding", "br"}},
		{templateCreated, 400, "ends early", []string{"Content-Encoding", "gzip"}},
		{gzipped(t, templateCreated)[:40], 400, "ends early", []string{"Content-Encoding", "gzip"}},
		{"", 400, "ends early", []string{"Content-Encoding", "gzip"}},
		{templateCreated, 400, "Idempotency-Key", []string{"Idempotency-Key", ""}},
		{templateCreated, 400, "Idempotency-Key", []string{"Idempotency-Key", "a b"}},
		{templateCreated, 400, "Idempotency-Key", []string{"Idempotency-Key", strings.Repeat("x", 256)}},
		{"", 400, "it is empty", nil},
		{"{", 400, "unexpected end of JSON input at byte 1", nil},
		{large, 413, "at most 8388608 bytes", nil},
		{gzipped(t, large), 413, "at most 8388608 bytes", []string{"Content-Encoding", "gzip"}},
		{"[" + strings.Repeat("1,", 10_000) + "1]", 413, "at most 10000 events", nil},
		{"[" + templateCreated + ",{}]", 422, "Invalid audit events.", nil},
	} {
		w := post(a, auditEvents, "writer", c.body, c.headers...)
		require.Equal(t, c.status, w.Code, "%.60s %s", c.body, w.Body)
		require.Contains(t, refused(t, w).Message, c.message)
	}
	w := post(a, auditEvents+"?x=1", "writer", templateCreated)
	require.Equal(t, http.StatusBadRequest, w.Code)
	w = post(a, auditEvents, "writer", "["+templateCreated+`,{"action": "crate", "resource_type": "template"}]`)
	require.JSONEq(t, `{"message": "Invalid audit events.", "validations": [
		{"field": "[1].action", "detail": "has invalid value: \"crate\" is not a valid value; did you mean \"create\"?"},
		{"field": "[1].status_code", "detail": "is required"}]}`, w.Body.String())
	w = post(a, connectionEvents, "writer", "{}")
	require.Equal(t, "Invalid connection events.", refused(t, w).Message)
	require.Equal(t, before, a.rows(t, "SELECT count(*) FROM audit_logs"))

	for _, target := range []string{auditEvents, connectionEvents} {
		w := request(a, http.MethodGet, target, "writer")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code)
		require.Equal(t, "POST", w.Header().Get("Allow"))
	}
}

func TestIdempotencyKey(t *testing.T) {
	a := newIngestAPI(t)
	before := a.rows(t, "SELECT count(*) FROM audit_logs")
	first := post(a, auditEvents, "writer", templateCreated, "Idempotency-Key", "k1")
	require.Equal(t, http.StatusCreated, first.Code)
	require.Empty(t, first.Header().Get("Idempotency-Replayed"))
	again := post(a, auditEvents, "writer", gzipped(t, templateCreated), "Idempotency-Key", "k1", "Content-Encoding", "gzip")
	require.Equal(t, first.Code, again.Code)
	require.Equal(t, first.Body.String(), again.Body.String())
	require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
	other := post(a, auditEvents, "writer", ofTheSite, "Idempotency-Key", "k1")
	require.Equal(t, http.StatusUnprocessableEntity, other.Code)
	require.Contains(t, refused(t, other).Message, "used for other events")
	require.Equal(t, before+1, a.rows(t, "SELECT count(*) FROM audit_logs"))
	// What was refused did not use up its key.
	require.Equal(t, http.StatusUnprocessableEntity, post(a, auditEvents, "writer", "{}", "Idempotency-Key", "k2").Code)
	require.Equal(t, http.StatusCreated, post(a, auditEvents, "writer", ofTheSite, "Idempotency-Key", "k2").Code)
	// Without a key each is another.
	post(a, auditEvents, "writer", templateCreated)
	post(a, auditEvents, "writer", templateCreated)
	require.Equal(t, before+4, a.rows(t, "SELECT count(*) FROM audit_logs"))
}

func TestSecretsAreNotStored(t *testing.T) {
	a := newIngestAPI(t)
	w := post(a, auditEvents, "writer", `{"resource_type": "user", "action": "update", "status_code": 200, "resource_target": "x",
		"diff": {"password": {"old": "hunter1", "new": "hunter2", "secret": true}, "name": {"old": "a", "new": "b", "secret": false}}}`)
	require.Equal(t, http.StatusCreated, w.Code)
	require.Equal(t, 1, a.rows(t, `SELECT count(*) FROM audit_logs WHERE diff = '{"password": {"old": "", "new": "", "secret": true},
		"name": {"old": "a", "new": "b", "secret": false}}'`))
	require.NotContains(t, a.log.String(), "hunter")
}

func TestServicesAddKinds(t *testing.T) {
	a := newIngestAPI(t)
	const invoice = `{"resource_type": "invoice", "action": "create", "status_code": 201}`
	w := post(a, auditEvents, "writer", invoice)
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	a.exec(t, "INSERT INTO resource_kinds (name, display_name) VALUES ('invoice', 'invoice')")
	require.Equal(t, http.StatusCreated, post(a, auditEvents, "writer", invoice).Code)
}

func TestPagesAreDescribed(t *testing.T) {
	a := newIngestAPI(t)
	a.purge(t, "DELETE FROM audit_logs")
	body := fmt.Sprintf(`[
		{"time": "2026-04-01T00:00:00Z", "resource_type": "workspace", "action": "create", "status_code": 201, "resource_id": "%[1]s", "resource_target": "old", "resource_owner_id": "%[2]s"},
		{"time": "2026-04-02T00:00:00Z", "resource_type": "workspace", "action": "update", "status_code": 200, "resource_id": "%[1]s", "resource_target": "new name"},
		{"time": "2026-04-03T00:00:00Z", "resource_type": "workspace", "action": "delete", "status_code": 403, "resource_id": "%[1]s", "resource_target": "new name"},
		{"time": "2026-04-04T00:00:00Z", "resource_type": "document", "action": "delete", "status_code": 204, "resource_id": "%[1]s", "resource_target": "d"},
		{"time": "2026-04-05T00:00:00Z", "resource_type": "invoice", "action": "open", "status_code": 200, "resource_id": "%[1]s"}]`, id(9), id(1))
	a.exec(t, "INSERT INTO resource_kinds (name, display_name, link_template, icon) VALUES ('invoice', 'tax invoice', '/invoices/{id}', '/i.svg')")
	w := post(a, auditEvents, "writer", body)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	var page struct {
		Logs []struct {
			ResourceLink string `json:"resource_link"`
			ResourceIcon string `json:"resource_icon"`
			IsDeleted    bool   `json:"is_deleted"`
			Description  string
		} `json:"audit_logs"`
	}
	w = request(a, http.MethodGet, "/api/v2/audit", "bob")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
	require.Len(t, page.Logs, 5)
	require.Equal(t, "{user} opened the tax invoice {target}", page.Logs[0].Description)
	require.Equal(t, "/invoices/"+id(9).String(), page.Logs[0].ResourceLink)
	require.Equal(t, "/i.svg", page.Logs[0].ResourceIcon)
	require.True(t, page.Logs[1].IsDeleted)
	require.Empty(t, page.Logs[1].ResourceLink)
	require.Equal(t, "{user} unsuccessfully attempted to delete the workspace {target}", page.Logs[2].Description)
	for _, l := range page.Logs[2:] {
		require.False(t, l.IsDeleted)
		require.Equal(t, "/@ann/new%20name", l.ResourceLink, "what it is called now")
	}
}

// failing refuses what is submitted.
type failing struct{ err error }

func (f failing) Submit(ctx context.Context, _ audit.Batch) (audit.Receipt, error) {
	if f.err == nil {
		<-ctx.Done()
		return audit.Receipt{}, ctx.Err()
	}
	return audit.Receipt{}, f.err
}

func (f failing) ResourceKinds(context.Context, []string) ([]string, error) { return nil, f.err }

type decides struct {
	allowed bool
	err     error
}

func (d decides) AllowEach(_ context.Context, _ *rowfence.Subject, _ string, objects []rowfence.Object) ([]bool, error) {
	out := make([]bool, len(objects))
	for i := range out {
		out[i] = d.allowed
	}
	return out, d.err
}

func TestEventsThatCantBeWritten(t *testing.T) {
	broken := errors.New("hunter2")
	for _, c := range []struct {
		ingester httpapi.Ingester
		decider  decides
		status   int
		retry    bool
	}{
		{failing{ingest.ErrBusy}, decides{true, nil}, 429, true},
		{failing{ingest.ErrClosed}, decides{true, nil}, 503, true},
		{failing{ingest.ErrUnknown}, decides{true, nil}, 503, true},
		{failing{nil}, decides{true, nil}, 503, true},
		{failing{broken}, decides{true, nil}, 500, false},
		{failing{broken}, decides{true, broken}, 500, false},
		{failing{broken}, decides{false, nil}, 403, false},
	} {
		h := httpapi.New(httpapi.Config{Store: stub{}, Authorizer: always{}, Log: slog.New(slog.DiscardHandler), Timeout: 20 * time.Millisecond,
			Ingester: c.ingester, Decider: c.decider})
		w := post(h, auditEvents, "t", ofTheSite)
		require.Equal(t, c.status, w.Code, fmt.Sprint(c))
		refused(t, w)
		require.NotContains(t, w.Body.String(), "hunter2")
		require.Equal(t, c.retry, w.Header().Get("Retry-After") != "")
	}
	// Without an ingester there are no such routes.
	require.Equal(t, http.StatusNotFound, post(newHandler(stub{}, always{}, io.Discard), auditEvents, "t", ofTheSite).Code)
}

// Bodies that are in memory are bounded together.
func TestManyLargeBodies(t *testing.T) {
	h := httpapi.New(httpapi.Config{Store: stub{}, Authorizer: always{}, Log: slog.New(slog.DiscardHandler), Timeout: time.Minute,
		Ingester: failing{ingest.ErrClosed}, Decider: decides{allowed: true}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 9)
	for range 9 {
		go func() {
			// The body stays open after its 8 MB.
			body := io.MultiReader(strings.NewReader(strings.Repeat(" ", 8<<20)), wait{ctx})
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, auditEvents, body)
			r.Header.Set("Coder-Session-Token", "t")
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			ended <- w.Code
		}()
	}
	require.Equal(t, http.StatusTooManyRequests, <-ended)
	cancel()
	read := 0 // several may meet the bound at once
	for range 8 {
		if code := <-ended; code != http.StatusTooManyRequests {
			require.Equal(t, http.StatusBadRequest, code)
			read++
		}
	}
	require.Positive(t, read)
	require.Equal(t, http.StatusServiceUnavailable, post(h, auditEvents, "t", ofTheSite).Code, "the bytes are given back")
}

// wait is a reader that ends with its context.
type wait struct{ ctx context.Context }

func (w wait) Read([]byte) (int, error) {
	<-w.ctx.Done()
	return 0, io.EOF
}
