package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/policies"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

// id makes uuids that are easy to read and order.
func id(n byte) uuid.UUID { return uuid.UUID{15: n} }

var (
	ann, bob   = id(1), id(2)
	orgA, orgB = id(0xa1), id(0xa2)
)

// api is the handler on a database with two organizations, four logs, and a
// session for each of several people, whose tokens are their names.
type api struct {
	http.Handler
	config httpapi.Config
	pool   *pgxpool.Pool
	log    *bytes.Buffer
}

func newAPI(t *testing.T) api {
	t.Helper()
	pool, err := postgres.Open(t.Context(), pgtest.URL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)))
	engine, err := rowfence.New(t.Context(), rowfence.Config{Policies: policies.FS, Schema: policies.Schema(), Query: policies.Entrypoint})
	require.NoError(t, err)
	a := api{pool: pool, log: new(bytes.Buffer)}
	cursors, err := auditquery.NewCursors(bytes.Repeat([]byte("k"), auditquery.MinCursorKeyBytes))
	require.NoError(t, err)
	a.config = httpapi.Config{Store: postgres.NewDB(pool), Authorizer: engine, Cursors: cursors, Log: slog.New(slog.NewTextHandler(a.log, nil))}
	a.Handler = httpapi.New(a.config)

	a.exec(t, `INSERT INTO users (id, username, email, name, roles, created_at, updated_at) VALUES
		($1, 'ann', 'ann@example.com', 'Ann', '{member}', '2026-01-01Z', '2026-01-02Z'),
		($2, 'bob', '', '', '{owner}', '2026-01-01Z', '2026-01-01Z')`, ann, bob)
	a.exec(t, `INSERT INTO organizations (id, name, display_name, icon) VALUES ($1, 'a', 'Org A', '/a.png'), ($2, 'b', '', '')`, orgA, orgB)
	a.exec(t, `INSERT INTO organization_members (organization_id, user_id, roles) VALUES ($1, $2, '{organization-auditor}')`, orgA, ann)
	a.exec(t, `INSERT INTO users (id, username) VALUES ($1, 'plain')`, id(3))
	for token, user := range map[string]uuid.UUID{"ann": ann, "bob": bob, "plain": id(3)} {
		a.exec(t, `INSERT INTO sessions (token_hash, user_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')`, audit.TokenHash(token), user)
	}
	a.exec(t, `INSERT INTO sessions (token_hash, user_id, expires_at, scope) VALUES ($1, $2, now() + interval '1 hour', $3)`,
		audit.TokenHash("two"), bob, `{"site": [{"negate": false, "resource_type": "*", "action": "*"}],
		"allow_list": [{"type": "audit_log", "id": "00000000-0000-0000-0000-000000000001"},
			{"type": "audit_log", "id": "00000000-0000-0000-0000-000000000004"}]}`)
	a.exec(t, `INSERT INTO sessions (token_hash, user_id, expires_at) VALUES ($1, $2, now() - interval '1 second')`, audit.TokenHash("old"), bob)
	a.exec(t, `INSERT INTO audit_logs (id, time, organization_id, user_id, resource_type, resource_id, resource_target, action,
			status_code, ip, user_agent, request_id, diff, additional_fields, resource_icon, resource_link) VALUES
		($1, '2026-04-09T12:00:00.5Z', $5, $7, 'template', $8, 'web', 'create', 201, '10.1.2.3', 'curl', $9,
			'{"name": {"old": "", "new": "web", "secret": false}, "key": {"old": "hunter1", "new": "hunter2", "secret": true}}', '{"a": 1}', '/t.png', '/templates/web'),
		($2, '2026-04-10Z', $5, NULL, 'user', NULL, 'ann', 'login', 401, NULL, NULL, NULL, '{}', '{}', '', ''),
		($3, '2026-04-11Z', $6, $7, 'workspace', NULL, 'dev', 'delete', 200, '10.0.0.0/8', NULL, NULL, '{}', '{}', '', ''),
		($4, '2026-04-12Z', NULL, $7, 'license', NULL, 'l', 'create', 200, NULL, NULL, NULL, '{}', '{}', '', '')`,
		id(1), id(2), id(3), id(4), orgA, orgB, ann, id(0x10), id(0x11))
	return a
}

func (a api) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := a.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// purge deletes rows of a log, as retention does.
func (a api) purge(t *testing.T, sql string, args ...any) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL rowfence.maintenance = 'on'"); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), sql, args...)
		return err
	}))
}

type answer struct {
	Logs []struct {
		ID          uuid.UUID
		Description string
	} `json:"audit_logs"`
	Count    int
	CountCap int `json:"count_cap"`
}

func (a answer) ids() []byte {
	out := []byte{}
	for _, l := range a.Logs {
		out = append(out, l.ID[15])
	}
	return out
}

func request(h http.Handler, method, target, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, nil)
	if token != "" {
		r.Header.Set("Coder-Session-Token", token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (a api) list(t *testing.T, token, query string) answer {
	t.Helper()
	w := request(a, http.MethodGet, "/api/v2/audit?"+query, token)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var out answer
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	require.NotNil(t, out.Logs)
	require.Equal(t, 2000, out.CountCap)
	return out
}

func TestWhoSeesWhat(t *testing.T) {
	a := newAPI(t)
	for _, c := range []struct {
		token, query string
		want         []byte
		count        int
	}{
		{"bob", "", []byte{4, 3, 2, 1}, 4},
		{"ann", "", []byte{2, 1}, 2},
		{"plain", "", []byte{}, 0},
		{"two", "", []byte{4, 1}, 2},
		{"bob", "limit=2", []byte{4, 3}, 4},
		{"bob", "limit=2&offset=3", []byte{1}, 4},
		{"bob", "limit=0&offset=0", []byte{4, 3, 2, 1}, 4},
		{"bob", "limit=1000&offset=2147483647", []byte{}, 4},
		{"bob", "q=username:ANN", []byte{4, 3, 1}, 3},
		{"ann", "q=username:me", []byte{1}, 1},
		{"bob", "q=username:nobody", []byte{}, 0},
		{"bob", "q=organization:b", []byte{3}, 1},
		{"ann", "q=organization:b", []byte{}, 0},
		{"plain", "q=organization:a", []byte{}, 0},
		{"bob", "q=email:Ann@Example.com+action:create", []byte{4, 1}, 2},
		{"bob", "q=status_code:%3E%3D400", []byte{2}, 1},
		{"bob", "q=ip:10.1.0.0/16", []byte{1}, 1},
		{"bob", "q=date_to:2026-04-09", []byte{1}, 1},
	} {
		got := a.list(t, c.token, c.query)
		require.Equal(t, c.want, got.ids(), "%s asks %s", c.token, c.query)
		require.Equal(t, c.count, got.Count, "%s asks %s", c.token, c.query)
	}
}

func TestCountIsCapped(t *testing.T) {
	a := newAPI(t)
	a.exec(t, `INSERT INTO audit_logs (organization_id, resource_type, resource_target, action, status_code)
		SELECT $1, 'user', '', 'create', 200 FROM generate_series(1, 2500)`, orgB)
	require.Equal(t, 2001, a.list(t, "bob", "limit=1").Count)
	require.Equal(t, 2, a.list(t, "ann", "limit=1").Count)
	require.Len(t, a.list(t, "bob", "").Logs, 100)
	require.Len(t, a.list(t, "bob", "limit=1000&offset=1000").Logs, 1000)
}

func TestShape(t *testing.T) {
	a := newAPI(t)
	w := request(a, http.MethodGet, "/api/v2/audit", "ann")
	require.Equal(t, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	require.JSONEq(t, `{
		"audit_logs": [{
			"id": "00000000-0000-0000-0000-000000000002",
			"request_id": "00000000-0000-0000-0000-000000000000",
			"time": "2026-04-10T00:00:00Z",
			"organization_id": "00000000-0000-0000-0000-0000000000a1",
			"organization": {"id": "00000000-0000-0000-0000-0000000000a1", "name": "a", "display_name": "Org A", "icon": "/a.png"},
			"ip": "",
			"user_agent": "",
			"resource_type": "user",
			"resource_id": "00000000-0000-0000-0000-000000000000",
			"resource_target": "ann",
			"resource_icon": "",
			"resource_link": "",
			"is_deleted": false,
			"action": "login",
			"diff": {},
			"status_code": 401,
			"additional_fields": {},
			"description": "{user} unsuccessfully attempted to login",
			"user": null
		}, {
			"id": "00000000-0000-0000-0000-000000000001",
			"request_id": "00000000-0000-0000-0000-000000000011",
			"time": "2026-04-09T12:00:00.5Z",
			"organization_id": "00000000-0000-0000-0000-0000000000a1",
			"organization": {"id": "00000000-0000-0000-0000-0000000000a1", "name": "a", "display_name": "Org A", "icon": "/a.png"},
			"ip": "10.1.2.3",
			"user_agent": "curl",
			"resource_type": "template",
			"resource_id": "00000000-0000-0000-0000-000000000010",
			"resource_target": "web",
			"resource_icon": "/t.png",
			"resource_link": "/templates/web",
			"is_deleted": false,
			"action": "create",
			"diff": {
				"name": {"old": "", "new": "web", "secret": false},
				"key": {"old": "", "new": "", "secret": true}
			},
			"status_code": 201,
			"additional_fields": {"a": 1},
			"description": "{user} created the template {target}",
			"user": {
				"id": "00000000-0000-0000-0000-000000000001",
				"username": "ann",
				"name": "Ann",
				"email": "ann@example.com",
				"avatar_url": "",
				"created_at": "2026-01-01T00:00:00Z",
				"updated_at": "2026-01-02T00:00:00Z",
				"last_seen_at": "0001-01-01T00:00:00Z",
				"status": "active",
				"login_type": "password",
				"theme_preference": "",
				"organization_ids": ["00000000-0000-0000-0000-0000000000a1"],
				"roles": [{"name": "member", "display_name": "Member", "organization_id": ""}]
			}
		}],
		"count": 2,
		"count_cap": 2000
	}`, w.Body.String())

	w = request(a, http.MethodGet, "/api/v2/audit?offset=2", "bob")
	require.NotContains(t, w.Body.String(), "hunter")
	w = request(a, http.MethodGet, "/api/v2/audit", "plain")
	require.JSONEq(t, `{"audit_logs": [], "count": 0, "count_cap": 2000}`, w.Body.String())
	// A row outside all organizations has none.
	w = request(a, http.MethodGet, "/api/v2/audit?limit=1", "bob")
	require.NotContains(t, w.Body.String(), `"organization":`)
}

func TestTokens(t *testing.T) {
	a := newAPI(t)
	ask := func(set func(http.Header)) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/api/v2/audit", nil)
		set(r.Header)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	for _, authorization := range []string{"Bearer ann", "bearer ann", "Bearer  ann "} {
		require.Equal(t, http.StatusOK, ask(func(h http.Header) { h.Set("Authorization", authorization) }).Code)
	}
	for _, authorization := range []string{"", "ann", "Basic ann", "Bearer", "Bearer ", "Bearer old", "Bearer nobody", "Bearer ann\x00"} {
		w := ask(func(h http.Header) { h.Set("Authorization", authorization) })
		require.Equal(t, http.StatusUnauthorized, w.Code, authorization)
		require.Contains(t, w.Body.String(), `"message":"`)
		require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
	}
	// A bad token is not made good by another header.
	w := ask(func(h http.Header) {
		h.Set("Coder-Session-Token", "old")
		h.Set("Authorization", "Bearer bob")
	})
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.NotContains(t, a.log.String(), "nobody", "a token in the log")
}
