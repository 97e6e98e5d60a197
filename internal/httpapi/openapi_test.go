package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/httpapi"
)

// A description of the API, as a server serves it.
type description struct {
	validator.Validator
	paths map[string]map[string]struct {
		Responses map[string]struct{ Content map[string]any }
	}
}

func describe(t *testing.T, base string) description {
	t.Helper()
	resp := open(t, base+"/api/v2/openapi.json", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var d description
	require.NoError(t, json.Unmarshal(text, &struct{ Paths any }{&d.paths}))
	var whole map[string]any
	require.NoError(t, json.Unmarshal(text, &whole))
	closeObjects(whole["components"].(map[string]any)["schemas"])
	text, err = json.Marshal(whole)
	require.NoError(t, err)
	document, err := libopenapi.NewDocument(text)
	require.NoError(t, err)
	var problems []error
	d.Validator, problems = validator.NewValidator(document, config.WithFormatAssertions())
	require.Empty(t, problems)
	valid, wrong := d.ValidateDocument()
	require.True(t, valid, "%v", wrong)
	return d
}

// closeObjects makes a field wrong that is not described. To clients it is not: fields
// may be added.
func closeObjects(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if _, open := s["additionalProperties"]; s["type"] == "object" && s["properties"] != nil && !open {
			s["additionalProperties"] = false
		}
		for _, part := range s {
			closeObjects(part)
		}
	case []any:
		for _, part := range s {
			closeObjects(part)
		}
	}
}

// The description has the routes that there are, and no others.
func TestRoutesAreDescribed(t *testing.T) {
	a := newIngestAPI(t)
	d := describe(t, listen(t, a.config))
	var described []string
	for path, methods := range d.paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	require.ElementsMatch(t, httpapi.Routes(a.config), described)
}

// What a running server answers is what the description says, for each route and for
// each status that can be brought about.
func TestAnswersAreAsDescribed(t *testing.T) {
	a := newIngestAPI(t)
	a.addConnections(t)
	base := listen(t, a.config)
	broken := a.config
	broken.Store, broken.Authorizer = stub{ready: io.ErrNoProgress, list: io.ErrNoProgress}, always{}
	brokenBase := listen(t, broken)
	slow := a.config
	slow.Store, slow.Authorizer, slow.Timeout = stub{hang: true}, always{}, time.Millisecond
	slowBase := listen(t, slow)
	d := describe(t, base)
	seen := map[string][]string{} // statuses by method and path

	type asked struct {
		base, method, target, token, body, contentType string
		header                                         []string
		status                                         int
	}
	ask := func(t *testing.T, c asked) {
		t.Helper()
		if c.base == "" {
			c.base = base
		}
		request := func() *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), c.method, c.base+c.target, strings.NewReader(c.body))
			require.NoError(t, err)
			if c.token != "" {
				r.Header.Set("Coder-Session-Token", c.token)
			}
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			return r
		}
		r := request()
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		what := c.method + " " + c.target
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			resp.Body = io.NopCloser(strings.NewReader("")) // it has no end
		}
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, c.status, resp.StatusCode, "%s: %s", what, body)
		path, _, _ := strings.Cut(c.target, "?")
		responses := d.paths[path][strings.ToLower(c.method)].Responses
		if c.status == http.StatusMethodNotAllowed { // described beside the method that there is
			for method, other := range d.paths[path] {
				responses, r.Method = other.Responses, strings.ToUpper(method)
			}
		}
		require.Contains(t, responses, fmt.Sprint(c.status), what)
		seen[r.Method+" "+path] = append(seen[r.Method+" "+path], fmt.Sprint(c.status))
		if c.status < 300 {
			valid, wrong := d.ValidateHttpRequestSync(request())
			require.True(t, valid, "%s: %v", what, wrong)
		}
		media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		if media != "application/json" {
			// Its rows are the bytes of the list's: the tests of exports and tails see to it.
			require.Contains(t, responses[fmt.Sprint(c.status)].Content, media)
			return
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		valid, wrong := d.ValidateHttpResponse(r, resp)
		require.True(t, valid, "%s: %v: %s", what, wrong, body)
	}
	get := func(status int, target, token string, header ...string) {
		t.Helper()
		ask(t, asked{method: http.MethodGet, target: target, token: token, status: status, header: header})
	}

	get(200, "/healthz", "")
	get(200, "/readyz", "")
	ask(t, asked{base: brokenBase, method: http.MethodGet, target: "/readyz", status: 503})
	get(200, "/api/v2/openapi.json", "")
	for _, target := range []string{"/healthz", "/readyz", "/api/v2/openapi.json"} {
		ask(t, asked{method: http.MethodPost, target: target, status: 405})
	}
	for _, log := range []string{"/api/v2/audit", "/api/v2/connectionlog"} {
		for _, token := range []string{"bob", "ann", "plain", "two"} {
			for _, query := range []string{"", "?limit=1", "?limit=2&offset=1&count=none", "?count=exact", "?q=-action:create&limit=1"} {
				if strings.Contains(query, "action") && strings.Contains(log, "connection") {
					query = "?q=-type:ssh&limit=1"
				}
				get(200, log+query, token)
			}
		}
		for _, query := range []string{"?q=a:b:c+%22x&limit=x", "?cursor=x", "?foo=1", "?q=%ff"} {
			get(400, log+query, "bob")
		}
		for _, format := range []string{"csv", "ndjson"} {
			get(200, log+"/export?format="+format, "bob", "Accept-Encoding", "identity")
			get(200, log+"/export?q=web&format="+format, "plain", "Accept-Encoding", "identity")
		}
		get(400, log+"/export", "bob")
		get(400, log+"/tail?limit=1", "bob")
		get(400, log+"/tail", "bob", "Last-Event-ID", "x")
		get(200, log+"/tail", "bob")
		for _, route := range []string{"", "/export?format=csv", "/tail"} {
			get(401, log+route, "")
			get(401, log+route, "old")
			ask(t, asked{method: http.MethodDelete, target: log + route, status: 405})
			ask(t, asked{base: brokenBase, method: http.MethodGet, target: log + route, token: "t", status: 500})
		}
		ask(t, asked{base: slowBase, method: http.MethodGet, target: "/api/v2/audit", token: "t", status: 503})

		event, events := templateCreated, log+"/events"
		if strings.Contains(log, "connection") {
			event = connected
		}
		post := func(status int, token, contentType, body string, header ...string) {
			t.Helper()
			ask(t, asked{method: http.MethodPost, target: events, token: token, contentType: contentType, body: body, header: header, status: status})
		}
		const json = "application/json"
		post(201, "writer", json, event)
		post(201, "writer", json, "["+event+","+event+"]", "Idempotency-Key", "k")
		post(201, "writer", json, "["+event+","+event+"]", "Idempotency-Key", "k") // replayed
		post(400, "writer", json, "{")
		post(401, "", json, event)
		post(403, "ann", json, event)
		post(413, "writer", json, "["+strings.Repeat("{},", 10_000)+"{}]")
		post(415, "writer", "text/plain", event)
		post(422, "writer", json, "[{}]")
		ask(t, asked{method: http.MethodGet, target: events, status: 405})

		// An export that waits, and a tail, are as many as there may be.
		full := a.config
		full.MaxExports, full.MaxTails = 1, 1
		fullBase := listen(t, full)
		tx, err := a.pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "LOCK TABLE audit_logs, connection_logs IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, fullBase+log+"/export?format=csv", nil)
			r.Header.Set("Coder-Session-Token", "bob")
			if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
		require.Eventually(t, func() bool {
			var waiting int
			err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting)
			return err == nil && waiting > 0
		}, 10*time.Second, 5*time.Millisecond)
		ask(t, asked{base: fullBase, method: http.MethodGet, target: log + "/export?format=csv", token: "ann", status: 429})
		require.NoError(t, tx.Rollback(t.Context()))
		<-done
		tail := open(t, fullBase+log+"/tail", "bob")
		require.Equal(t, http.StatusOK, tail.StatusCode)
		ask(t, asked{base: fullBase, method: http.MethodGet, target: log + "/tail", token: "ann", status: 429})
		require.NoError(t, tail.Body.Close())
	}
	// Of those that are described, these can't be brought about here: failures of a
	// database that was well a moment before, and a full queue.
	rare := map[string][]string{"GET": {"500", "503"}, "POST": {"429", "500", "503"}}
	for path, methods := range d.paths {
		for method, operation := range methods {
			method = strings.ToUpper(method)
			for status := range operation.Responses {
				if !slices.Contains(rare[method], status) {
					require.Contains(t, seen[method+" "+path], status, "%s %s", method, path)
				}
			}
		}
	}
}
