package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/oracle"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/serve"
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
	require.Len(t, people, 5)

	sees := map[string]map[string]int{}
	for _, person := range people {
		session, err := postgres.NewDB(pool).Session(ctx, person.Token)
		require.NoError(t, err)
		input := session.Subject.Input()
		sees[person.Name] = map[string]int{}
		for name, resource := range schema.Resources {
			allowed := allowedByOPA(t, pool, query, resource, input)
			sees[person.Name][name] = len(allowed)
			compiled, err := compiler.Compile(ctx, query, resource, input)
			require.NoError(t, err)
			where, args := compiled.Filter.SQL(1)
			rows, err := pool.Query(ctx, "SELECT id::text FROM "+resource.Table+" WHERE "+where, args...)
			require.NoError(t, err)
			selected, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.ElementsMatch(t, allowed, selected, "%s, %s: %s", person.Name, name, compiled.Filter)
			if name == "audit_log" {
				require.ElementsMatch(t, allowed, answered(t, server, person.Token), "%s, over HTTP", person.Name)
			}
		}
	}
	t.Log(sees)
	require.Equal(t, demoRows, sees["owner"]["audit_log"])
	require.Equal(t, demoRows, sees["site-auditor"]["audit_log"])
	require.Zero(t, sees["site-auditor"]["document"])
	require.Equal(t, 2, sees["scoped-token"]["audit_log"])
	require.Zero(t, sees["member"]["audit_log"])
	require.NotZero(t, sees["member"]["document"], "a member has documents, or nothing was shown of them")
	require.NotZero(t, sees["org-auditor"]["audit_log"])
	require.Less(t, sees["org-auditor"]["audit_log"], demoRows)
}

// allowedByOPA are the ids of the rows that a full evaluation allows.
func allowedByOPA(t *testing.T, pool *pgxpool.Pool, query *rego.Query, r *compiler.Resource, input map[string]any) []string {
	ctx := context.Background()
	rows, err := pool.Query(ctx, "SELECT to_jsonb(t) FROM "+r.Table+" AS t")
	require.NoError(t, err)
	tuples, err := pgx.CollectRows(rows, pgx.RowTo[map[string]any])
	require.NoError(t, err)
	allowed := []string{}
	for _, tuple := range tuples {
		doc := map[string]any{}
		for _, f := range r.Fields {
			require.Len(t, f.Path, 1)
			switch value := tuple[f.Column.Name]; {
			case f.Const != nil:
				plain, err := ast.JSON(f.Const)
				require.NoError(t, err)
				doc[f.Path[0]] = plain
			case value == nil:
				plain, err := ast.JSON(f.Null)
				require.NoError(t, err)
				doc[f.Path[0]] = plain
			default: // uuids and jsonb look the same to PostgreSQL and to the policy
				doc[f.Path[0]] = value
			}
		}
		full, err := oracle.Input(r, input, doc)
		require.NoError(t, err)
		ok, err := query.Eval(ctx, full)
		require.NoError(t, err)
		if ok {
			allowed = append(allowed, tuple["id"].(string))
		}
	}
	return allowed
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
