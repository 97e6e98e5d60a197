package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/serve"
)

// A contract is what clients of the API rely on, asked of the demo.
type contract struct {
	at     string
	tokens map[string]string
}

// What clients of the API expect, key by key and field by field, holds of the demo.
func TestContract(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	m := launch(t, serve.Config{DatabaseURL: pgtest.URL(t), DataDir: dir, Demo: true, Rows: demoRows}).ready(t)
	text, err := os.ReadFile(filepath.Join(dir, "demo-tokens.json"))
	require.NoError(t, err)
	var people []struct{ Name, Token string }
	require.NoError(t, json.Unmarshal(text, &people))
	c := contract{"http://" + m.Addr() + "/api/v2/", map[string]string{}}
	for _, p := range people {
		c.tokens[p.Name] = p.Token
	}
	t.Run("asking", c.asking)
	t.Run("keys", c.keys)
	t.Run("rows", c.rows)
	t.Run("bad input", c.badInput)
}

// ask is the status and the answer.
func (c contract) ask(t *testing.T, path string, params url.Values, header ...string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.at+path+"?"+params.Encode(), nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(body, &answer), string(body))
	return resp.StatusCode, answer
}

// search is the answer to a search by somebody, and its rows.
func (c contract) search(t *testing.T, who, path string, params url.Values) (answer map[string]any, rows []map[string]any) {
	t.Helper()
	status, answer := c.ask(t, path, params, "Coder-Session-Token", c.tokens[who])
	require.Equal(t, http.StatusOK, status, "%s %v: %v", path, params, answer)
	all, ok := answer[map[string]string{"audit": "audit_logs", "connectionlog": "connection_logs"}[path]].([]any)
	require.True(t, ok, "the array is never null")
	for _, row := range all {
		rows = append(rows, row.(map[string]any))
	}
	return answer, rows
}

func q(search string) url.Values { return url.Values{"q": {search}} }

// at is a value within a row.
func at(row map[string]any, path string) any {
	var v any = row
	for _, key := range strings.Split(path, ".") {
		object, _ := v.(map[string]any)
		v = object[key]
	}
	return v
}

func (c contract) asking(t *testing.T) {
	token := c.tokens["owner"]
	for _, header := range [][]string{{"Coder-Session-Token", token}, {"Authorization", "Bearer " + token}} {
		status, _ := c.ask(t, "audit", nil, header...)
		require.Equal(t, http.StatusOK, status)
	}
	for _, header := range [][]string{nil, {"Coder-Session-Token", "x"}, {"Authorization", "Bearer x"}} {
		for _, path := range []string{"audit", "connectionlog"} {
			status, _ := c.ask(t, path, nil, header...)
			require.Equal(t, http.StatusUnauthorized, status)
		}
	}
	for _, path := range []string{"audit", "connectionlog"} {
		answer, first := c.search(t, "owner", path, nil)
		require.Len(t, first, 100)
		require.EqualValues(t, 2000, answer["count_cap"])
		require.NotEmpty(t, answer["next_cursor"])
		require.Nil(t, answer["prev_cursor"])
		_, rows := c.search(t, "owner", path, url.Values{"limit": {"0"}})
		require.Equal(t, first, rows)
		_, rows = c.search(t, "owner", path, url.Values{"limit": {"10"}, "offset": {"10"}})
		require.Equal(t, first[10:20], rows)
		answer, rows = c.search(t, "owner", path, url.Values{"limit": {"10"}, "count": {"none"}})
		require.Equal(t, first[:10], rows)
		require.NotContains(t, answer, "count")
		_, rows = c.search(t, "owner", path, url.Values{"limit": {"10"}, "cursor": {answer["next_cursor"].(string)}})
		require.Equal(t, first[10:20], rows)
		status, _ := c.ask(t, path, url.Values{"q": {"organization:x"}, "cursor": {answer["next_cursor"].(string)}}, "Coder-Session-Token", token)
		require.Equal(t, http.StatusBadRequest, status, "a cursor of another search")
		answer, _ = c.search(t, "owner", path, url.Values{"count": {"exact"}})
		require.EqualValues(t, 0, answer["count_cap"])
		require.Greater(t, answer["count"], 1.0)
		answer, rows = c.search(t, "member", path, nil)
		require.Empty(t, rows)
		require.EqualValues(t, 0, answer["count"])
	}
	answer, rows := c.search(t, "owner", "audit", url.Values{"limit": {"1000"}})
	require.Len(t, rows, 1000)
	require.EqualValues(t, 2001, answer["count"], "there are more than 2,000")
}

// Each key finds the rows that have the value, those of the demo.
func (c contract) keys(t *testing.T) {
	for _, log := range []struct {
		path string
		keys []struct{ key, value, column string }
	}{
		{"audit", []struct{ key, value, column string }{
			{"resource_type", "", "resource_type"}, {"action", "", "action"}, {"build_reason", "autostart", "additional_fields.build_reason"},
			{"resource_id", "", "resource_id"}, {"request_id", "", "request_id"}, {"resource_target", "", "resource_target"},
			{"username", "", "user.username"}, {"email", "", "user.email"}, {"organization", "", "organization.name"}, {"organization", "", "organization.id"},
		}},
		{"connectionlog", []struct{ key, value, column string }{
			{"organization", "", "organization.name"}, {"organization", "", "organization.id"}, {"workspace_owner", "", "workspace_owner_username"},
			{"username", "", "web_info.user.username"}, {"user_email", "", "web_info.user.email"}, {"type", "", "type"},
			{"workspace_id", "", "workspace_id"}, {"connection_id", "", "ssh_info.connection_id"},
		}},
	} {
		_, rows := c.search(t, "owner", log.path, url.Values{"limit": {"1000"}})
		for _, key := range log.keys {
			value := key.value
			for _, row := range rows {
				if value == "" {
					value, _ = at(row, key.column).(string)
				}
				if value == "00000000-0000-0000-0000-000000000000" {
					value = ""
				}
			}
			require.NotEmpty(t, value, key)
			search := fmt.Sprintf("%s:%q", key.key, value)
			_, found := c.search(t, "owner", log.path, q(search))
			require.NotEmpty(t, found, search)
			for _, row := range found {
				require.Equal(t, value, at(row, key.column), search)
			}
			_, others := c.search(t, "owner", log.path, q("-"+search))
			require.NotEmpty(t, others, search)
			for _, row := range others {
				require.NotEqual(t, value, at(row, key.column), search)
			}
		}
	}
	finds := func(path, search string, has func(row map[string]any) bool) {
		t.Helper()
		_, rows := c.search(t, "owner", path, q(search))
		require.NotEmpty(t, rows, search)
		for _, row := range rows {
			require.True(t, has(row), "%s: %v", search, row)
		}
	}
	is := func(column string, values ...any) func(map[string]any) bool {
		return func(row map[string]any) bool {
			for _, v := range values {
				if at(row, column) == v {
					return true
				}
			}
			return false
		}
	}
	_, rows := c.search(t, "owner", "audit", q("-username:x"))
	day := rows[len(rows)-1]["time"].(string)[:len(time.DateOnly)]
	finds("audit", "date_from:"+day+" date_to:"+day, func(row map[string]any) bool { return strings.HasPrefix(row["time"].(string), day) })
	finds("audit", `date_from:"`+day+`T00:00:00Z"`, func(row map[string]any) bool { return row["time"].(string) >= day })
	// Nobody works at weekends, so there may be nothing of the last day.
	_, ofDay := c.search(t, "owner", "audit", q("since:24h"))
	for _, row := range ofDay {
		when, err := time.Parse(time.RFC3339, row["time"].(string))
		require.NoError(t, err)
		require.Less(t, time.Since(when), 25*time.Hour)
	}
	finds("audit", "since:96h", func(row map[string]any) bool {
		when, err := time.Parse(time.RFC3339, row["time"].(string))
		return err == nil && time.Since(when) < 97*time.Hour
	})
	finds("audit", "username:me", is("user.username", "owner"))
	finds("audit", "USERNAME:Owner", is("user.username", "owner"))
	finds("audit", "workspace", is("resource_type", "workspace"))
	finds("audit", "action:login action:logout", is("action", "login", "logout"))
	finds("audit", "status_code:>=400", func(row map[string]any) bool { return row["status_code"].(float64) >= 400 })
	finds("audit", "ip:10.0.0.0/8", func(row map[string]any) bool { return strings.HasPrefix(row["ip"].(string), "10.") })
	target := rows[0]["resource_target"].(string)
	finds("audit", fmt.Sprintf("%q", target), func(row map[string]any) bool {
		user, _ := at(row, "user.username").(string)
		return strings.Contains(strings.ToLower(row["resource_target"].(string)+"\n"+user), strings.ToLower(target))
	})
	finds("connectionlog", "status:ongoing", func(row map[string]any) bool {
		return row["ssh_info"] != nil && at(row, "ssh_info.disconnect_time") == nil
	})
	finds("connectionlog", "status:completed", func(row map[string]any) bool { return at(row, "ssh_info.disconnect_time") != nil })
	_, rows = c.search(t, "owner", "connectionlog", nil)
	middle := rows[len(rows)/2]["connect_time"].(string)
	finds("connectionlog", `connected_after:"`+middle+`"`, func(row map[string]any) bool { return row["connect_time"].(string) >= middle })
	finds("connectionlog", `connected_before:"`+middle+`"`, func(row map[string]any) bool { return row["connect_time"].(string) <= middle })
	name := rows[0]["workspace_name"].(string)
	finds("connectionlog", name, func(row map[string]any) bool {
		text, err := json.Marshal(row)
		return err == nil && strings.Contains(strings.ToLower(string(text)), strings.ToLower(name))
	})
	owner := rows[0]["workspace_owner_username"].(string)
	_, users := c.search(t, "owner", "audit", q("username:"+owner))
	require.NotEmpty(t, users)
	finds("connectionlog", "workspace_owner_email:"+at(users[0], "user.email").(string), is("workspace_owner_username", owner))
	_, rows = c.search(t, "owner", "connectionlog", q("workspace_owner:me"))
	for _, row := range rows {
		require.Equal(t, "owner", row["workspace_owner_username"])
	}
}

func (c contract) rows(t *testing.T) {
	_, rows := c.search(t, "owner", "audit", q("action:create resource_type:template status_code:<400"))
	require.NotEmpty(t, rows)
	require.Equal(t, "{user} created the template {target}", rows[0]["description"])
	for _, field := range []string{"id", "request_id", "time", "organization_id", "ip", "user_agent", "resource_type", "resource_id", "resource_target",
		"resource_icon", "resource_link", "is_deleted", "action", "diff", "status_code", "additional_fields", "description", "user"} {
		require.Contains(t, rows[0], field)
	}
	for _, field := range []string{"id", "name", "display_name", "icon"} {
		require.Contains(t, rows[0]["organization"], field)
	}
	for _, field := range []string{"id", "username", "name", "email", "avatar_url", "created_at", "updated_at", "last_seen_at", "status",
		"login_type", "theme_preference", "organization_ids", "roles"} {
		require.Contains(t, rows[0]["user"], field)
	}
	_, rows = c.search(t, "owner", "audit", q("status_code:>=400 action:create"))
	require.NotEmpty(t, rows)
	require.Contains(t, rows[0]["description"], "{user} unsuccessfully attempted to create ")
	_, rows = c.search(t, "owner", "audit", q("action:login action:logout"))
	require.NotEmpty(t, rows)
	for _, row := range rows {
		require.NotContains(t, row["description"], "{target}")
	}
	_, rows = c.search(t, "owner", "audit", url.Values{"limit": {"1000"}})
	secrets := 0
	for _, row := range rows {
		for _, change := range row["diff"].(map[string]any) {
			change := change.(map[string]any)
			if change["secret"].(bool) {
				secrets++
				require.Equal(t, map[string]any{"old": "", "new": "", "secret": true}, change)
			}
		}
	}
	require.Positive(t, secrets)

	_, rows = c.search(t, "owner", "connectionlog", url.Values{"limit": {"1000"}})
	web, sessions := 0, 0
	for _, row := range rows {
		for _, field := range []string{"id", "connect_time", "organization", "workspace_owner_id", "workspace_owner_username", "workspace_id",
			"workspace_name", "agent_name", "ip", "type"} {
			require.Contains(t, row, field)
		}
		switch row["type"] {
		case "ssh", "vscode", "jetbrains", "reconnecting_pty":
			sessions++
			require.NotContains(t, row, "web_info")
			require.Contains(t, row["ssh_info"], "connection_id")
		case "workspace_app", "port_forwarding":
			web++
			require.NotContains(t, row, "ssh_info")
			for _, field := range []string{"user_agent", "user", "slug_or_port", "status_code"} {
				require.Contains(t, row["web_info"], field)
			}
		default:
			require.Fail(t, "an unknown type", row["type"])
		}
	}
	require.Positive(t, web)
	require.Positive(t, sessions)
}

func (c contract) badInput(t *testing.T) {
	refused := func(path, message string, params url.Values, field, detail string) {
		t.Helper()
		status, answer := c.ask(t, path, params, "Coder-Session-Token", c.tokens["owner"])
		require.Equal(t, http.StatusBadRequest, status)
		require.Equal(t, message, answer["message"])
		first := answer["validations"].([]any)[0].(map[string]any)
		require.Equal(t, field, first["field"])
		require.True(t, strings.HasPrefix(first["detail"].(string), detail), first["detail"])
	}
	for path, message := range map[string]string{"audit": "Invalid audit search query.", "connectionlog": "Invalid connection search query."} {
		for search, detail := range map[string]string{
			"a:b:c":                      `Query element "a:b:c" can only contain 1 ':'`,
			":x":                         `Query element ":x" cannot start or end with ':'`,
			"foo:x":                      `"foo" is not a valid query param`,
			"organization:a\x00":         "",
			`organization:"a`:            "",
			strings.Repeat("x", 100_000): "",
			"\xff":                       "",
		} {
			refused(path, message, q(search), "q", detail)
		}
		const numbers = "Query parameters have invalid values."
		refused(path, numbers, url.Values{"limit": {"x"}}, "limit", `Query param "limit" must be a valid 32-bit positive integer: `)
		refused(path, numbers, url.Values{"limit": {"-1"}}, "limit", `Query param "limit" must be a valid 32-bit positive integer: `)
		refused(path, numbers, url.Values{"offset": {"99999999999"}}, "offset", `Query param "offset" must be a valid 32-bit positive integer: `)
		status, answer := c.ask(t, path, q("foo:x a:b:c :x"), "Coder-Session-Token", c.tokens["owner"])
		require.Equal(t, http.StatusBadRequest, status)
		require.Len(t, answer["validations"], 3, "all problems at once")
	}
	for search, detail := range map[string]string{
		"resource_id:x": `Query param "resource_id" must be a valid uuid`,
		"action:x":      `Query param "action" has invalid value: "x" is not a valid value`,
		"date_from:x":   `Query param "date_from" must be a valid date format (2006-01-02)`,
		"actoin:login":  `"actoin" is not a valid query param; did you mean "action"?`,
	} {
		refused("audit", "Invalid audit search query.", q(search), "q", detail)
	}
	refused("audit", "Invalid audit search query.", q(strings.Repeat("x", 1<<20)), "q", "Query must be at most 65536 bytes long")
}
