package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/httpapi"
)

// A name that stands for somebody whose rows the caller may not see, or for such an
// organization, is answered as one that stands for nothing: also where the answer tells
// how much of the log was looked at, because a count or a page takes too long.
func TestNamesOfOthersAreAsNone(t *testing.T) {
	a := newAPI(t)
	a.addConnections(t)
	a.exec(t, "INSERT INTO users (id, username, email) VALUES ($1, 'carl', 'carl@example.com')", id(4))
	a.exec(t, `INSERT INTO audit_logs (organization_id, user_id, resource_type, resource_target, action, status_code)
		SELECT CASE WHEN i % 2 = 0 THEN $1::uuid ELSE $2::uuid END, CASE WHEN i % 2 = 0 THEN $3::uuid ELSE $4::uuid END, 'user', 'x', 'create', 200
		FROM generate_series(1, 400) AS i`, orgA, orgB, ann, id(4))
	a.exec(t, `INSERT INTO connection_logs (organization_id, workspace_owner_id, user_id, workspace_id, workspace_name, agent_name, type)
		SELECT CASE WHEN i % 2 = 0 THEN $1::uuid ELSE $2::uuid END, $3, $3, $3, 'x', '', 'workspace_app' FROM generate_series(1, 400) AS i`, orgA, orgB, ann)
	hurried := a.config
	hurried.CountTimeout = time.Nanosecond
	for name, h := range map[string]http.Handler{"": a, "hurried": httpapi.New(hurried)} {
		for _, log := range []struct{ path, search, is, none string }{
			{"audit", "username:%s", "carl", "nobody"},
			{"audit", "email:%s", "carl@example.com", "nobody@example.com"},
			{"audit", "organization:%s", "b", "n"},
			{"audit", "%s", "carl", "nobody"},
			{"audit", "username:%s organization:a", "carl", "nobody"},
			{"audit", "username:%s username:ann", "carl", "nobody"},
			{"audit", "organization:%s organization:a", "b", "n"},
			{"connectionlog", "workspace_owner:%s", "carl", "nobody"},
			{"connectionlog", "username:%s", "carl", "nobody"},
			{"connectionlog", "user_email:%s", "carl@example.com", "nobody@example.com"},
			{"connectionlog", "organization:%s", "b", "n"},
			{"connectionlog", "%s", "carl", "nobody"},
		} {
			for _, exclude := range []string{"", "-"} {
				for _, params := range []string{"limit=10", "limit=10&count=exact", "limit=10&offset=300&count=none"} {
					ask := func(value string) (code int, body map[string]any, headers []string) {
						q := exclude + fmt.Sprintf(log.search, value)
						w := request(h, http.MethodGet, "/api/v2/"+log.path+"?"+params+"&q="+url.QueryEscape(q), "ann")
						require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
						for _, cursor := range []string{"next_cursor", "prev_cursor"} { // of another search
							if body[cursor] != nil {
								body[cursor] = len(body[cursor].(string))
							}
						}
						for key := range w.Header() {
							if key != "Content-Length" && w.Header().Get(key) != "" {
								headers = append(headers, key)
							}
						}
						return w.Code, body, headers
					}
					code, is, isHeaders := ask(log.is)
					require.Equal(t, http.StatusOK, code, is)
					_, none, noneHeaders := ask(log.none)
					require.Equal(t, none, is, "%s: %s%s %s", name, exclude, log.search, params)
					require.ElementsMatch(t, noneHeaders, isHeaders)
				}
			}
		}
	}
}
