package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/httpapi"
)

// A paged answer, of either log.
type paged struct {
	Audits      []struct{ ID uuid.UUID } `json:"audit_logs"`
	Connections []struct{ ID uuid.UUID } `json:"connection_logs"`
	Count       *int
	CountCap    *int   `json:"count_cap"`
	LowerBound  bool   `json:"count_lower_bound"`
	Next        string `json:"next_cursor"`
	Prev        string `json:"prev_cursor"`
}

func (p paged) ids() []uuid.UUID {
	var out []uuid.UUID
	for _, l := range append(p.Audits, p.Connections...) {
		out = append(out, l.ID)
	}
	return out
}

func ask(t *testing.T, h http.Handler, target, token string) (paged, *httptest.ResponseRecorder) {
	t.Helper()
	w := request(h, http.MethodGet, target, token)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var out paged
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	return out, w
}

var relations = regexp.MustCompile(`<([^>]*)>; rel="([a-z]+)"`)

// linked are the references of the Link header by relation.
func linked(w *httptest.ResponseRecorder) map[string]string {
	out := map[string]string{}
	for _, m := range relations.FindAllStringSubmatch(w.Header().Get("Link"), -1) {
		out[m[2]] = m[1]
	}
	return out
}

// Pages of both logs are walked by their links to the end and back, while rows
// arrive at the new end: every row that was there comes once, and no other.
func TestPagesByCursor(t *testing.T) {
	a := newAPI(t)
	a.addConnections(t)
	a.exec(t, `INSERT INTO audit_logs (time, organization_id, resource_type, resource_target, action, status_code)
		SELECT '2026-03-01Z'::timestamptz + i / 3 * interval '1 hour', CASE WHEN i % 2 = 0 THEN $1 ELSE $2 END::uuid, 'user', 'paged', 'create', 200 FROM generate_series(1, 36) AS i`, orgA, orgB)
	a.exec(t, `INSERT INTO connection_logs (connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type)
		SELECT '2026-03-01Z'::timestamptz + i / 3 * interval '1 hour', CASE WHEN i % 2 = 0 THEN $1 ELSE $2 END::uuid, $3, $3, 'paged', '', 'ssh' FROM generate_series(1, 36) AS i`, orgA, orgB, ann)
	arrive := func() {
		a.exec(t, `INSERT INTO audit_logs (time, organization_id, resource_type, resource_target, action, status_code)
			SELECT '2090-01-01Z', $1, 'user', 'paged', 'create', 200 FROM generate_series(1, 5)`, orgA)
		a.exec(t, `INSERT INTO connection_logs (connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name, type)
			SELECT '2090-01-01Z', $1, $2, $2, 'paged', '', 'ssh' FROM generate_series(1, 5)`, orgA, ann)
	}
	for _, route := range []string{"/api/v2/audit", "/api/v2/connectionlog"} {
		for _, token := range []string{"ann", "bob"} { // of one organization, and of all
			for _, q := range []string{"", "paged", "organization:a organization:b"} {
				t.Run(route+" "+token+" "+q, func(t *testing.T) {
					a.purge(t, "DELETE FROM audit_logs WHERE time > '2089-01-01Z'")
					a.purge(t, "DELETE FROM connection_logs WHERE connect_time > '2089-01-01Z'")
					target := route + "?limit=7&count=none&q=" + url.QueryEscape(q)
					whole, _ := ask(t, a, route+"?limit=1000&q="+url.QueryEscape(q), token)
					want := whole.ids()
					require.Equal(t, len(want), *whole.Count)
					require.Empty(t, whole.Next+whole.Prev)
					var pages [][]uuid.UUID
					var page paged
					var w *httptest.ResponseRecorder
					for {
						page, w = ask(t, a, target, token)
						require.Nil(t, page.Count)
						require.Nil(t, page.CountCap)
						pages = append(pages, page.ids())
						links := linked(w)
						require.Equal(t, page.Next != "", links["next"] != "")
						require.Equal(t, page.Prev != "", links["prev"] != "")
						require.Equal(t, page.Prev != "", links["first"] != "")
						require.Equal(t, len(pages) > 1, page.Prev != "")
						if page.Next == "" {
							break
						}
						require.Len(t, page.ids(), 7)
						target = links["next"]
						require.Contains(t, target, "limit=7")
						arrive()
					}
					require.Greater(t, len(pages), 2)
					require.Equal(t, want, slices.Concat(pages...))
					for i := len(pages) - 2; i >= 0; i-- {
						page, w = ask(t, a, linked(w)["prev"], token)
						require.Equal(t, pages[i], page.ids())
						require.NotEmpty(t, page.Next)
					}
					// What arrived is newer than the first page was.
					require.NotEmpty(t, page.Prev)
					require.NotContains(t, linked(w)["first"], "cursor")
				})
			}
		}
	}
}

func TestCursorsAreOfTheirSearchAndCaller(t *testing.T) {
	a := newAPI(t)
	a.addConnections(t)
	first, _ := ask(t, a, "/api/v2/audit?limit=1&q=since:100000h", "bob")
	require.NotEmpty(t, first.Next)
	second, _ := ask(t, a, "/api/v2/audit?limit=2&q=SINCE:6000000m&cursor="+first.Next, "bob") // another page size and spelling
	require.Len(t, second.Audits, 2)
	refused := func(target, token string) {
		t.Helper()
		w := request(a, http.MethodGet, target, token)
		require.Equal(t, http.StatusBadRequest, w.Code, w.Body)
		require.JSONEq(t, `{"message": "Query parameters have invalid values.", "validations": [
			{"field": "cursor", "detail": "Query param \"cursor\" is not a cursor of this search and caller"}]}`, w.Body.String())
	}
	refused("/api/v2/audit?limit=1&cursor="+first.Next, "bob")
	refused("/api/v2/audit?limit=1&q=since:1h&cursor="+first.Next, "bob")
	refused("/api/v2/audit?limit=1&q=since:100000h&cursor="+first.Next, "ann")
	refused("/api/v2/connectionlog?limit=1&q=since:100000h&cursor="+first.Next, "bob")
	w := request(a, http.MethodGet, "/api/v2/audit?q=since:100000h&offset=1&cursor="+first.Next, "bob")
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), `"offset\" can not be given with a cursor`)

	// The rows are authorized anew: bob is no owner any more.
	a.exec(t, "UPDATE users SET roles = '{member}' WHERE id = $1", bob)
	none, _ := ask(t, a, "/api/v2/audit?limit=1&q=since:100000h&cursor="+first.Next, "bob")
	require.Empty(t, none.Audits)
	require.Zero(t, *none.Count)
	require.Empty(t, none.Next+none.Prev)
}

// The rows behind a cursor are purged: the way back is to the row that it names.
func TestCursorAtTheEnd(t *testing.T) {
	a := newAPI(t)
	page, _ := ask(t, a, "/api/v2/audit?limit=3", "bob")
	a.purge(t, "DELETE FROM audit_logs WHERE id = $1", id(1))
	page, _ = ask(t, a, "/api/v2/audit?limit=2&cursor="+page.Next, "bob")
	require.Empty(t, page.ids())
	require.Empty(t, page.Next)
	page, _ = ask(t, a, "/api/v2/audit?limit=2&cursor="+page.Prev, "bob")
	require.Equal(t, []uuid.UUID{id(3), id(2)}, page.ids())
	require.NotEmpty(t, page.Prev)
	require.NotEmpty(t, page.Next)
}

func TestCounts(t *testing.T) {
	a := newAPI(t)
	a.exec(t, `INSERT INTO audit_logs (organization_id, resource_type, resource_target, action, status_code)
		SELECT $1, 'user', '', 'create', 200 FROM generate_series(1, 2500)`, orgB)
	for _, c := range []struct {
		token, query string
		count, cap   int
	}{
		{"bob", "count=capped", 2001, 2000},
		{"bob", "count=", 2001, 2000},
		{"bob", "count=exact", 2504, 0},
		{"ann", "count=exact", 2, 0},
		{"plain", "count=exact", 0, 0},
		{"plain", "", 0, 2000},
		{"bob", "q=-action:login", 2001, 2000},
		{"bob", "q=-action:create", 2, 2000},
		{"ann", "q=status_code:<300", 1, 2000},
	} {
		got, _ := ask(t, a, "/api/v2/audit?limit=1&"+c.query, c.token)
		require.Equal(t, c.count, *got.Count, c)
		require.Equal(t, c.cap, *got.CountCap, c)
		require.False(t, got.LowerBound, c)
	}
	for _, token := range []string{"bob", "plain"} {
		got, w := ask(t, a, "/api/v2/audit?limit=1&count=none", token)
		require.Nil(t, got.Count)
		require.NotContains(t, w.Body.String(), "count")
	}
}

// A count that takes too long is a lower bound, and holds up nothing.
func TestCountTakesTooLong(t *testing.T) {
	a := newAPI(t)
	a.config.CountTimeout = time.Nanosecond
	a.Handler = httpapi.New(a.config)
	for query, want := range map[string]int{"": 4, "limit=2": 3, "limit=2&offset=1": 4, "count=exact": 4, "q=-action:login": 3, "q=username:nobody": 0} {
		got, _ := ask(t, a, "/api/v2/audit?"+query, "bob")
		require.Equal(t, want, *got.Count, query)
		require.True(t, got.LowerBound, query)
		require.Equal(t, 2000, *got.CountCap, query)
	}
}

func TestCountFailuresFailClosed(t *testing.T) {
	for _, counted := range []audit.Count{{Rows: 7, Cap: 2000, LowerBound: true}, {Rows: 2001, Cap: 2000, LowerBound: true}} {
		got, _ := ask(t, newHandler(stub{counted: counted}, always{}, io.Discard), "/api/v2/connectionlog", "t")
		require.Equal(t, counted, audit.Count{Rows: *got.Count, Cap: *got.CountCap, LowerBound: got.LowerBound})
	}
}

func TestLongSearchesHaveNoLink(t *testing.T) {
	a := newAPI(t)
	long := url.QueryEscape(strings.Repeat("-username:x ", 300))
	got, w := ask(t, a, "/api/v2/audit?limit=1&q="+long, "bob")
	require.NotEmpty(t, got.Next)
	require.Empty(t, w.Header().Get("Link"))
}

func TestWhereSearchesAreWrong(t *testing.T) {
	h := newHandler(stub{}, always{}, io.Discard)
	w := request(h, http.MethodGet, "/api/v2/connectionlog?limit=x&cursor=y&q="+url.QueryEscape("é typ:ssh"), "t")
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.JSONEq(t, `{"message": "Invalid connection search query.", "validations": [
		{"field": "q", "detail": "Query text \"é\" is too short to be searched for: it must have three letters or digits in a row", "element": "é", "offset": 0, "length": 2},
		{"field": "q", "detail": "\"typ\" is not a valid query param; did you mean \"type\"?", "element": "typ:ssh", "offset": 3, "length": 7},
		{"field": "limit", "detail": "Query param \"limit\" must be a valid 32-bit positive integer: parsing \"x\": invalid syntax"}]}`, w.Body.String())
}

// addConnections adds one session of each state, and web connections with a known
// and an unknown visitor.
func (a api) addConnections(t *testing.T) {
	t.Helper()
	a.exec(t, `INSERT INTO connection_logs (id, connect_time, organization_id, workspace_owner_id, workspace_id, workspace_name, agent_name,
			type, ip, code, user_agent, user_id, slug_or_port, connection_id, disconnect_time, disconnect_reason) VALUES
		($1, '2026-04-09T12:00:00.5Z', $6, $8, $9, 'dev', 'main', 'ssh', '10.1.2.3', 0, NULL, NULL, NULL, $10, '2026-04-09T13:00:00Z', 'bye'),
		($2, '2026-04-10Z', $6, $8, $9, 'dev', 'main', 'vscode', NULL, NULL, NULL, NULL, NULL, $10, NULL, NULL),
		($3, '2026-04-11Z', $6, $8, $9, 'dev', 'main', 'workspace_app', '10.1.2.3', 404, 'curl', $8, 'code-server', NULL, NULL, NULL),
		($4, '2026-04-12Z', $7, $11, $9, 'gpu', '', 'port_forwarding', NULL, NULL, NULL, NULL, '8080', NULL, NULL, NULL),
		($5, '2026-04-13Z', $12, $8, $9, 'gpu', '', 'reconnecting_pty', NULL, 130, NULL, NULL, NULL, $10, '2026-04-13T01:00:00Z', NULL)`,
		id(1), id(2), id(3), id(4), id(5), orgA, orgB, ann, id(0x20), id(0x21), id(99), id(0xaf))
}

func TestWhoSeesWhichConnections(t *testing.T) {
	a := newAPI(t)
	a.addConnections(t)
	for _, c := range []struct {
		token, q string
		want     []byte
	}{
		{"bob", "", []byte{5, 4, 3, 2, 1}},
		{"ann", "", []byte{3, 2, 1}},
		{"plain", "", nil},
		{"two", "", nil}, // a token of audit logs alone
		{"bob", "organization:b", []byte{4}},
		{"ann", "organization:b", nil},
		{"bob", "workspace_owner:ANN", []byte{5, 3, 2, 1}},
		{"ann", "workspace_owner:me", []byte{3, 2, 1}},
		{"bob", "workspace_owner_email:ann@EXAMPLE.com", []byte{5, 3, 2, 1}},
		{"bob", "username:ann", []byte{3}},
		{"bob", "user_email:ann@example.com", []byte{3}},
		{"bob", "status:ongoing", []byte{2}},
		{"bob", "status:completed", []byte{5, 1}},
		{"bob", "type:ssh type:workspace_app", []byte{3, 1}},
		{"bob", "exit_code:0", []byte{1}},
		{"bob", "status_code:>=400", []byte{3}},
		{"bob", `connected_after:"2026-04-11T00:00:00Z"`, []byte{5, 4, 3}},
		{"bob", `connected_before:"2026-04-10T00:00:00Z"`, []byte{2, 1}},
		{"bob", "workspace_id:" + id(0x20).String(), []byte{5, 4, 3, 2, 1}},
		{"bob", "connection_id:" + id(0x21).String(), []byte{5, 2, 1}},
		{"bob", "gpu", []byte{5, 4}},
		{"bob", "ann", []byte{5, 3, 2, 1}},
		{"bob", "-ann", []byte{4}},
		{"bob", "ip:10.1.0.0/16 -type:ssh", []byte{3}},
	} {
		for _, count := range []string{"", "&count=exact"} {
			got, _ := ask(t, a, "/api/v2/connectionlog?q="+url.QueryEscape(c.q)+count, c.token)
			var ids []byte
			for _, i := range got.ids() {
				ids = append(ids, i[15])
			}
			require.Equal(t, c.want, ids, "%s asks %s", c.token, c.q)
			require.Equal(t, len(c.want), *got.Count, "%s asks %s", c.token, c.q)
		}
	}
	w := request(a, http.MethodGet, "/api/v2/connectionlog", "plain")
	require.JSONEq(t, `{"connection_logs": [], "count": 0, "count_cap": 2000}`, w.Body.String())
}

func TestShapeOfConnections(t *testing.T) {
	a := newAPI(t)
	a.addConnections(t)
	w := request(a, http.MethodGet, "/api/v2/connectionlog", "bob")
	common := func(n int, at, org, owner, name, workspace, agent, ip, kind string) string {
		return fmt.Sprintf(`"id": "00000000-0000-0000-0000-00000000000%d", "connect_time": %q, "organization": %s,
			"workspace_owner_id": %q, "workspace_owner_username": %q, "workspace_id": "00000000-0000-0000-0000-000000000020",
			"workspace_name": %q, "agent_name": %q, "ip": %q, "type": %q`, n, at, org, owner, name, workspace, agent, ip, kind)
	}
	orgOf := func(id, name, display, icon string) string {
		return fmt.Sprintf(`{"id": "00000000-0000-0000-0000-0000000000%s", "name": %q, "display_name": %q, "icon": %q}`, id, name, display, icon)
	}
	inA, inB, gone := orgOf("a1", "a", "Org A", "/a.png"), orgOf("a2", "b", "", ""), orgOf("af", "", "", "")
	const annID, connectionID = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000021"
	require.JSONEq(t, `{"connection_logs": [
		{`+common(5, "2026-04-13T00:00:00Z", gone, annID, "ann", "gpu", "", "", "reconnecting_pty")+`,
			"ssh_info": {"connection_id": "`+connectionID+`", "disconnect_time": "2026-04-13T01:00:00Z", "exit_code": 130}},
		{`+common(4, "2026-04-12T00:00:00Z", inB, id(99).String(), "", "gpu", "", "", "port_forwarding")+`,
			"web_info": {"user_agent": "", "user": null, "slug_or_port": "8080", "status_code": 0}},
		{`+common(3, "2026-04-11T00:00:00Z", inA, annID, "ann", "dev", "main", "10.1.2.3", "workspace_app")+`,
			"web_info": {"user_agent": "curl", "slug_or_port": "code-server", "status_code": 404, "user": {
				"id": "`+annID+`", "username": "ann", "name": "Ann", "email": "ann@example.com", "avatar_url": "",
				"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z", "last_seen_at": "0001-01-01T00:00:00Z",
				"status": "active", "login_type": "password", "theme_preference": "", "organization_ids": ["00000000-0000-0000-0000-0000000000a1"],
				"roles": [{"name": "member", "display_name": "Member", "organization_id": ""}]}}},
		{`+common(2, "2026-04-10T00:00:00Z", inA, annID, "ann", "dev", "main", "", "vscode")+`,
			"ssh_info": {"connection_id": "`+connectionID+`"}},
		{`+common(1, "2026-04-09T12:00:00.5Z", inA, annID, "ann", "dev", "main", "10.1.2.3", "ssh")+`,
			"ssh_info": {"connection_id": "`+connectionID+`", "disconnect_time": "2026-04-09T13:00:00Z", "disconnect_reason": "bye", "exit_code": 0}}
		], "count": 5, "count_cap": 2000}`, w.Body.String())
}
