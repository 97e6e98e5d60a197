package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/serve"
	"github.com/rowfence/rowfence/oracle"
	"github.com/rowfence/rowfence/policies"
	"github.com/rowfence/rowfence/rego"
)

const demoRows = 5000

// TestPeopleSeeWhatThePolicySays starts the server on demo data and holds every row
// that each of the demo's people gets, of each resource, against OPA's own decision
// on every row of the table.
func TestPeopleSeeWhatThePolicySays(t *testing.T) {
	ctx := context.Background()
	url, dir := pgtest.URL(t), t.TempDir()
	server := launch(t, serve.Config{DatabaseURL: url, DataDir: dir, Demo: true, Rows: demoRows}).ready(t)
	pool := connect(t, url)
	policy, err := rego.Load(ctx, rego.FS(policies.FS))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, policies.Entrypoint)
	require.NoError(t, err)
	schema, err := compiler.ParseSchema(policies.Schema())
	require.NoError(t, err)

	text, err := os.ReadFile(filepath.Join(dir, "demo-tokens.json"))
	require.NoError(t, err)
	var people []struct{ Name, Token string }
	require.NoError(t, json.Unmarshal(text, &people))
	require.Len(t, people, 6)

	sees := map[string]map[string]int{}
	for _, person := range people {
		session, err := postgres.NewDB(pool).Session(ctx, person.Token)
		require.NoError(t, err)
		input := session.Subject.Input()
		sees[person.Name] = map[string]int{}
		for name, resource := range schema.Resources {
			c := oracle.Case{Query: query, Resource: resource, Input: input, Key: "id"}
			rows, err := oracle.Rows(ctx, pool, c, "")
			require.NoError(t, err)
			report, err := oracle.Check(ctx, pool, c, rows)
			require.NoError(t, err)
			require.NoError(t, report.Err())
			allowed := []string{}
			for _, row := range report.Allowed {
				allowed = append(allowed, row.Key)
			}
			sees[person.Name][name] = len(allowed)
			switch name {
			case "audit_log":
				require.ElementsMatch(t, allowed, answered(t, server, person.Token), "%s, over HTTP", person.Name)
				require.ElementsMatch(t, allowed, walked(t, server, "audit", person.Token), "%s, by cursors", person.Name)
			case "connection_log":
				require.ElementsMatch(t, allowed, walked(t, server, "connectionlog", person.Token), "%s, by cursors", person.Name)
			}
		}
	}
	t.Log(sees)
	require.Equal(t, demoRows, sees["owner"]["audit_log"])
	require.Equal(t, demoRows, sees["site-auditor"]["audit_log"])
	require.Zero(t, sees["site-auditor"]["document"])
	require.NotZero(t, sees["site-auditor"]["connection_log"])
	require.NotZero(t, sees["org-auditor"]["connection_log"])
	require.Zero(t, sees["member"]["connection_log"])
	require.Equal(t, 2, sees["scoped-token"]["audit_log"])
	require.Zero(t, sees["member"]["audit_log"])
	require.Zero(t, sees["ingester"]["audit_log"])
	require.NotZero(t, sees["member"]["document"], "a member has documents, or nothing was shown of them")
	require.NotZero(t, sees["org-auditor"]["audit_log"])
	require.Less(t, sees["org-auditor"]["audit_log"], demoRows)
}

// answered are the ids of all pages of the audit log, in order: a row that comes
// twice, or a page out of order, fails the test.
func answered(t *testing.T, server running, token string) []string {
	const limit = 1000
	ids := []string{}
	var last string
	for {
		status, body, err := get(server, fmt.Sprintf("/api/v2/audit?limit=%d&offset=%d", limit, len(ids)), token)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		var page struct {
			Logs     []struct{ ID, Time string } `json:"audit_logs"`
			Count    int                         `json:"count"`
			CountCap int                         `json:"count_cap"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &page))
		for _, l := range page.Logs {
			at := l.Time
			require.True(t, last == "" || at[:19] <= last[:19], "%s after %s", at, last)
			last = at
			ids = append(ids, l.ID)
		}
		require.Equal(t, 2000, page.CountCap)
		require.LessOrEqual(t, page.Count, page.CountCap+1)
		if len(page.Logs) < limit {
			require.True(t, page.Count == len(ids) || page.Count == page.CountCap+1 && len(ids) > page.CountCap)
			return ids
		}
	}
}

// walked are the ids of all pages of a log, in order, from cursor to cursor.
func walked(t *testing.T, server running, route, token string) []string {
	t.Helper()
	ids := []string{}
	target := "/api/v2/" + route + "?limit=1000&count=none"
	for cursor := ""; ; {
		status, body, err := get(server, target+cursor, token)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		var page struct {
			Audits      []struct{ ID string } `json:"audit_logs"`
			Connections []struct{ ID string } `json:"connection_logs"`
			Next        string                `json:"next_cursor"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &page))
		for _, l := range append(page.Audits, page.Connections...) {
			ids = append(ids, l.ID)
		}
		if page.Next == "" {
			return ids
		}
		cursor = "&cursor=" + page.Next
	}
}
