package auditclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditclient"
)

func newClient(t *testing.T, config auditclient.Config) *auditclient.Client {
	t.Helper()
	config.Token = token
	c, err := auditclient.New(config)
	require.NoError(t, err)
	return c
}

func created(target string) auditclient.Event {
	return auditclient.Event{Action: "create", ResourceType: "template", ResourceTarget: target, StatusCode: 201}
}

func TestRecord(t *testing.T) {
	s := newServer(t)
	c := newClient(t, auditclient.Config{URL: s.url() + "/"})
	full := created("full")
	full.Time = time.Date(2026, 4, 9, 12, 0, 0, 0, time.UTC)
	full.UserID, full.OrganizationID, full.ResourceID, full.RequestID = uuid.New(), uuid.New(), uuid.New(), uuid.New()
	full.IP, full.UserAgent, full.BuildReason = "10.0.0.1", "curl", "cli"
	full.Diff = map[string]auditclient.Change{"name": {Old: nil, New: "x"}, "key": {Old: "hunter1", New: "hunter2", Secret: true}}
	full.AdditionalFields = map[string]any{"n": 1}
	ids, err := c.Record(t.Context(), full, created("bare"))
	require.NoError(t, err)
	require.Len(t, ids, 2)
	require.Equal(t, 1, s.count(t, `SELECT count(*) FROM audit_logs WHERE id = $1 AND time = $2 AND user_id = $3 AND organization_id = $4 AND resource_id = $5
		AND request_id = $6 AND ip = '10.0.0.1' AND user_agent = 'curl' AND build_reason = 'cli' AND additional_fields = '{"n": 1}'
		AND diff = '{"name": {"old": null, "new": "x", "secret": false}, "key": {"old": "", "new": "", "secret": true}}'`,
		ids[0], full.Time, full.UserID, full.OrganizationID, full.ResourceID, full.RequestID))
	require.Equal(t, 1, s.count(t, "SELECT count(*) FROM audit_logs WHERE id = $1 AND time > now() - interval '1 minute' AND num_nulls(user_id, ip) = 2", ids[1]))

	connection := auditclient.Connection{Action: auditclient.Disconnect, Type: "ssh", ConnectionID: uuid.New(), OrganizationID: uuid.New(),
		WorkspaceOwnerID: uuid.New(), WorkspaceID: uuid.New(), WorkspaceName: "dev", AgentName: "main", ExitCode: new(0), DisconnectReason: "bye"}
	ids, err = c.RecordConnections(t.Context(), connection)
	require.NoError(t, err)
	connection.Action, connection.ExitCode, connection.DisconnectReason = auditclient.Connect, nil, ""
	again, err := c.RecordConnections(t.Context(), connection)
	require.NoError(t, err)
	require.Equal(t, ids, again)
	require.Equal(t, 1, s.count(t, "SELECT count(*) FROM connection_logs WHERE code = 0 AND disconnect_reason = 'bye'"))

	none, err := c.Record(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)

	_, err = c.Record(t.Context(), created("ok"), auditclient.Event{Action: "crate", ResourceType: "template", StatusCode: 201})
	var refused *auditclient.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusUnprocessableEntity, refused.Status)
	require.False(t, refused.Temporary())
	require.Equal(t, "[1].action", refused.Validations[0].Field)
	require.ErrorContains(t, err, "Invalid audit events.")
	bad, err := auditclient.New(auditclient.Config{URL: s.url(), Token: "nobody"})
	require.NoError(t, err)
	_, err = bad.Record(t.Context(), created("x"))
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusUnauthorized, refused.Status)
	require.Equal(t, 2, s.count(t, "SELECT count(*) FROM audit_logs"))
	_, err = c.Record(t.Context(), auditclient.Event{AdditionalFields: map[string]any{"f": func() {}}})
	require.ErrorContains(t, err, "encoding an event")

	for _, url := range []string{"", "audit.example.com", "ftp://x", "http://\x00"} {
		_, err := auditclient.New(auditclient.Config{URL: url, Token: "t"})
		require.Error(t, err, url)
	}
	_, err = auditclient.New(auditclient.Config{URL: "http://x"})
	require.ErrorContains(t, err, "token")
}

// unreliable loses every third request before the server has it, and every third
// answer after.
type unreliable struct{ n atomic.Int64 }

var errLost = errors.New("the network is down")

func (u *unreliable) RoundTrip(r *http.Request) (*http.Response, error) {
	n := u.n.Add(1) % 3
	if n == 0 {
		return nil, errLost
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && n == 1 {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return nil, errLost
	}
	return resp, err
}

// Recorders write everything once, over a bad network and while the server is
// restarted.
func TestNothingIsLostOrDoubled(t *testing.T) {
	s := newServer(t)
	const writers, each = 4, 1500
	c := newClient(t, auditclient.Config{URL: s.url(), HTTPClient: &http.Client{Transport: &unreliable{}, Timeout: 10 * time.Second}})
	var wg sync.WaitGroup
	half := make(chan struct{}, writers)
	restarted := make(chan struct{})
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			r := c.NewRecorder(auditclient.RecorderConfig{Batch: 40, Delay: 5 * time.Millisecond, Most: 200})
			for i := range each {
				if i == each/2 {
					half <- struct{}{}
				}
				for {
					err := r.Record(created(fmt.Sprintf("%d-%d", w, i)))
					if err == nil {
						break
					}
					if !errors.Is(err, auditclient.ErrFull) {
						errs[w] = err
						return
					}
					time.Sleep(time.Millisecond) // what a program does that must not lose any
				}
			}
			<-restarted
			errs[w] = r.Close(context.Background())
		})
	}
	for range writers {
		<-half
	}
	require.NoError(t, s.running.Close())
	require.Positive(t, s.count(t, "SELECT count(*) FROM audit_logs"))
	require.Less(t, s.count(t, "SELECT count(*) FROM audit_logs"), writers*each)
	require.NoError(t, s.start(t.Context()))
	close(restarted)
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, writers*each, s.count(t, "SELECT count(*) FROM audit_logs"), "none is doubled")
	require.Equal(t, writers*each, s.count(t, "SELECT count(DISTINCT resource_target) FROM audit_logs"), "none is lost")
}

func TestRefusedEventsAreTakenOut(t *testing.T) {
	s := newServer(t)
	lost := make(chan auditclient.Lost, 10)
	r := newClient(t, auditclient.Config{URL: s.url()}).NewRecorder(auditclient.RecorderConfig{
		Delay: time.Hour, OnLost: func(l auditclient.Lost) { lost <- l }})
	for i := range 10 {
		e := created(fmt.Sprint(i))
		if i%3 == 0 {
			e.Action = "unheard of"
		}
		require.NoError(t, r.Record(e))
	}
	require.NoError(t, r.RecordConnection(auditclient.Connection{}))
	require.ErrorContains(t, r.Close(t.Context()), "4 events are lost")
	require.ErrorIs(t, r.Record(created("x")), auditclient.ErrClosed)
	require.Equal(t, 6, s.count(t, "SELECT count(*) FROM audit_logs"))
	events := <-lost
	require.False(t, events.Connections)
	require.Len(t, events.Events, 4)
	require.Contains(t, string(events.Events[1]), `"resource_target":"3"`)
	require.True(t, (<-lost).Connections)
	require.Empty(t, lost)
}

func TestRecorderIsBounded(t *testing.T) {
	reached, ended := make(chan struct{}), make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(reached)
		<-ended
	}))
	defer h.Close()
	defer close(ended)
	var lost atomic.Int64
	r := newClient(t, auditclient.Config{URL: h.URL}).NewRecorder(auditclient.RecorderConfig{
		Most: 5, Batch: 2, OnLost: func(l auditclient.Lost) { lost.Add(int64(len(l.Events))) }})
	for range 5 {
		require.NoError(t, r.Record(created("x")))
	}
	<-reached
	require.ErrorIs(t, r.Record(created("x")), auditclient.ErrFull, "what is being sent is held too")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Close(ctx), context.Canceled)
	require.Equal(t, int64(5), lost.Load())
}

func TestRetries(t *testing.T) {
	var asked atomic.Int64
	keys := make(chan string, 10)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		switch asked.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html>")
		default:
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"ids": ["00000000-0000-0000-0000-000000000001"]}`)
		}
	}))
	defer h.Close()
	start := time.Now()
	ids, err := newClient(t, auditclient.Config{URL: h.URL}).Record(t.Context(), created("x"))
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{{15: 1}}, ids)
	require.GreaterOrEqual(t, time.Since(start), time.Second, "it waits as long as the server says")
	first := <-keys
	require.NotEmpty(t, first)
	require.Equal(t, first, <-keys)
	require.Equal(t, first, <-keys)

	asked.Store(1)
	_, err = newClient(t, auditclient.Config{URL: h.URL, RetryFor: -1}).Record(t.Context(), created("x"))
	var refused *auditclient.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusBadGateway, refused.Status)
	require.True(t, refused.Temporary())
	require.ErrorContains(t, err, "502: Bad Gateway")

	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, err = newClient(t, auditclient.Config{URL: "http://127.0.0.1:1"}).Record(ctx, created("x"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestMiddlewareAndLog(t *testing.T) {
	s := newServer(t)
	r := newClient(t, auditclient.Config{URL: s.url()}).NewRecorder(auditclient.RecorderConfig{})
	var log bytes.Buffer
	logger := slog.New(auditclient.NewHandler(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}), r))
	user, org, request := uuid.New(), uuid.New(), uuid.New()
	mux := http.NewServeMux()
	mux.HandleFunc("/create", func(w http.ResponseWriter, r *http.Request) {
		require.True(t, auditclient.Identify(r.Context(), func(a *auditclient.Actor) { a.UserID = user }))
		require.True(t, auditclient.Did(r.Context(), auditclient.Event{Action: "create", ResourceType: "template", ResourceTarget: "web"}))
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("/open", func(_ http.ResponseWriter, r *http.Request) {
		auditclient.Did(r.Context(), auditclient.Event{Action: "open", ResourceType: "template"})
	})
	mux.HandleFunc("/panic", func(_ http.ResponseWriter, r *http.Request) {
		auditclient.Did(r.Context(), auditclient.Event{Action: "delete", ResourceType: "template"})
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/log", func(_ http.ResponseWriter, r *http.Request) {
		logger.InfoContext(r.Context(), "quiet", auditclient.Attr(auditclient.Event{Action: "read", ResourceType: "document"}))
		logger.With("a", 1).WithGroup("g").ErrorContext(r.Context(), "loud", auditclient.Attr(auditclient.Event{
			Action: "write", ResourceType: "document", Diff: map[string]auditclient.Change{"x": {New: "hunter2"}}}))
	})
	h := auditclient.Middleware(r, func(_ *http.Request, a *auditclient.Actor) { a.OrganizationID = org })(mux)
	for path, panics := range map[string]bool{"/create": false, "/open": false, "/panic": true, "/log": false, "/nothing": false} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
		req.RemoteAddr = "10.1.2.3:55"
		req.Header.Set("User-Agent", strings.Repeat("\xff", 3000))
		req.Header.Set("X-Request-Id", request.String())
		if panics {
			require.Panics(t, func() { h.ServeHTTP(httptest.NewRecorder(), req) })
		} else {
			h.ServeHTTP(httptest.NewRecorder(), req)
		}
	}
	require.NoError(t, r.Close(t.Context()))
	require.Equal(t, 5, s.count(t, `SELECT count(*) FROM audit_logs WHERE organization_id = $1 AND request_id = $2 AND ip = '10.1.2.3'
		AND length(user_agent) > 0`, org, request))
	for action, status := range map[string]int{"create": 201, "open": 200, "delete": 500, "read": 200, "write": 500} {
		require.Equal(t, 1, s.count(t, "SELECT count(*) FROM audit_logs WHERE action = $1 AND status_code = $2", action, status), action)
	}
	require.Equal(t, 1, s.count(t, "SELECT count(*) FROM audit_logs WHERE user_id = $1 AND resource_target = 'web'", user))
	require.NotContains(t, log.String(), "quiet")
	require.NotContains(t, log.String(), "hunter2")
	var line struct {
		G struct {
			Audit struct{ Action string }
		}
	}
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	require.Equal(t, "write", line.G.Audit.Action)

	require.False(t, auditclient.Did(t.Context(), auditclient.Event{}))
	require.False(t, auditclient.Identify(t.Context(), func(*auditclient.Actor) {}))
}
