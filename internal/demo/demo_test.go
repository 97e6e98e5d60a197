package demo_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/demo"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const rows = 3000

var day = time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC)

// names are the people's, in their order.
var names = []string{"owner", "site-auditor", "org-auditor", "member", "scoped-token", "ingester"}

func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), pgtest.URL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)))
	return pool
}

func loaded(t *testing.T, opts demo.Options) (*pgxpool.Pool, demo.Result) {
	t.Helper()
	pool := migrated(t)
	result, err := demo.Load(t.Context(), pool, opts)
	require.NoError(t, err)
	require.True(t, result.Loaded)
	return pool, result
}

func query[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

var tables = []string{
	"users", "organizations", "organization_members", "groups", "group_members", "sessions", "documents", "connection_logs", "audit_logs",
}

// digest is a hash of all rows, as COPY writes them, in the order of insertion.
// The number of the transaction that wrote a log is of the database, not of the seed.
func digest(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	hash := sha256.New()
	for _, table := range append(tables, "(SELECT * FROM roles WHERE organization_id IS NOT NULL)") {
		if !strings.HasPrefix(table, "(") {
			table = "(SELECT to_jsonb(r) - 'written_in' FROM " + table + " AS r)"
		}
		_, err := conn.Conn().PgConn().CopyTo(t.Context(), hash, "COPY "+table+" TO STDOUT")
		require.NoError(t, err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func TestSameSeedSameRows(t *testing.T) {
	opts := demo.Options{Rows: rows, Seed: 7, Now: day.Add(13 * time.Hour)}
	one, first := loaded(t, opts)
	opts.Now = day.Add(20 * time.Hour) // of the same day
	other, second := loaded(t, opts)
	require.Equal(t, first.People, second.People)
	require.Equal(t, digest(t, one), digest(t, other))

	opts.Seed = 8
	third, result := loaded(t, opts)
	require.NotEqual(t, digest(t, one), digest(t, third))
	for i, p := range result.People {
		require.NotEqual(t, first.People[i].Token, p.Token)
	}
}

func TestCounts(t *testing.T) {
	pool, result := loaded(t, demo.Options{Rows: rows, Seed: 1, Now: day})
	require.Equal(t, rows, result.Rows)
	require.Positive(t, result.Duration)
	for table, want := range map[string]int{
		"organizations": 50, "users": 501, "sessions": 6, "audit_logs": rows, "connection_logs": 10_000, "documents": 800,
	} {
		require.Equal(t, want, query[int](t, pool, "SELECT count(*) FROM "+table), table)
	}
	require.Equal(t, 50, query[int](t, pool, "SELECT count(DISTINCT organization_id) FROM organization_members"))
	require.Equal(t, 50, query[int](t, pool, "SELECT count(DISTINCT organization_id) FROM groups"))
	for what, sql := range map[string]string{
		"each way of sharing": `SELECT count(*) FILTER (WHERE user_acl <> '{}') > 0 AND count(*) FILTER (WHERE group_acl ? organization_id::text) > 0
			AND count(*) FILTER (WHERE user_acl::text LIKE '%*%') > 0 AND count(*) FILTER (WHERE owner_id IS NULL) > 0 FROM documents`,
		"secret fields":            `SELECT count(*) > 20 FROM audit_logs WHERE diff @? '$.*.secret ? (@ == true)'`,
		"few without organization": `SELECT count(*) BETWEEN 30 AND 300 FROM audit_logs WHERE organization_id IS NULL`,
		"failures":                 `SELECT count(*) BETWEEN 60 AND 300 FROM audit_logs WHERE status_code >= 400`,
		"deleted users":            `SELECT count(*) BETWEEN 10 AND 60 FROM audit_logs WHERE NOT EXISTS (SELECT FROM users WHERE id = user_id) AND user_id IS NOT NULL`,
		"a year":                   `SELECT min("time") >= '2025-04-09Z' AND min("time") < '2025-04-11Z' AND max("time") < '2026-04-09Z' AND max("time") > '2026-04-08Z' FROM audit_logs`,
		"known sessions":           `SELECT (SELECT count(*) FROM connection_sessions) = (SELECT count(connection_id) FROM connection_logs)`,
		"known resources":          `SELECT count(*) > 500 AND count(*) FILTER (WHERE deleted) > 0 FROM resources`,
		"ongoing connections":      `SELECT count(*) > 0 FROM connection_logs WHERE connection_id IS NOT NULL AND disconnect_time IS NULL`,
		"web connections":          `SELECT count(*) > 500 FROM connection_logs WHERE connection_id IS NULL AND slug_or_port IS NOT NULL AND code IS NOT NULL`,
		"analyzed":                 `SELECT bool_and(reltuples >= 0) FROM pg_class WHERE relname = ANY('{audit_logs,users,documents}')`,
		"all visible":              `SELECT bool_and(relallvisible = relpages) AND sum(relpages) > 0 FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass)`,
		"in months":                `SELECT NOT EXISTS (SELECT FROM audit_logs_default) AND NOT EXISTS (SELECT FROM connection_logs_default)`,
	} {
		require.True(t, query[bool](t, pool, sql), what)
	}
}

func TestSizesAreSkewedAndTwoOrganizationsDormant(t *testing.T) {
	pool, _ := loaded(t, demo.Options{Rows: 20_000, Seed: 1, Now: day})
	sizes := `WITH sizes AS (SELECT organization_id, count(*) AS n, max("time") AS newest FROM audit_logs
		WHERE organization_id IS NOT NULL GROUP BY 1) SELECT `
	require.Equal(t, 50, query[int](t, pool, sizes+"count(*) FROM sizes"))
	require.True(t, query[bool](t, pool, sizes+"max(n) BETWEEN 6000 AND 10000 FROM sizes"))
	require.Equal(t, 2, query[int](t, pool, sizes+"count(*) FROM sizes WHERE newest < '2025-10-09Z' AND n BETWEEN 5 AND 30"))
	require.Equal(t, 48, query[int](t, pool, sizes+"count(*) FROM sizes WHERE newest > '2026-02-01Z'"))
}

func TestTokensAuthenticate(t *testing.T) {
	pool, result := loaded(t, demo.Options{Rows: rows, Seed: 1})
	db := postgres.NewDB(pool)
	sessions := map[string]audit.Session{}
	for i, p := range result.People {
		require.Equal(t, names[i], p.Name)
		require.NotEmpty(t, p.Description)
		require.GreaterOrEqual(t, len(p.Token), 40)
		s, err := db.Session(t.Context(), p.Token)
		require.NoError(t, err)
		require.Greater(t, time.Until(s.ExpiresAt), 5*365*24*time.Hour)
		require.Equal(t, p.Name, query[string](t, pool, "SELECT username FROM users WHERE id = $1", s.Subject.ID))
		require.Zero(t, query[int](t, pool, "SELECT count(*) FROM sessions WHERE position($1::bytea IN token_hash) > 0", []byte(p.Token)))
		sessions[p.Name] = s
	}
	audited := map[string]bool{}
	for _, r := range sessions["org-auditor"].Subject.Roles {
		require.Empty(t, r.Site)
		for _, org := range r.Orgs {
			if len(r.Org) > 0 {
				audited[org.String()] = true
			}
		}
	}
	require.Len(t, audited, 2)
	require.Len(t, sessions["member"].Subject.Roles, 2) // member, organization-member
	for name, s := range sessions {
		if name != "scoped-token" {
			require.Equal(t, audit.Unlimited(), s.Subject.Scope, name)
		}
	}
	list := sessions["scoped-token"].Subject.Scope.AllowList
	require.Len(t, list, 2)
	for _, a := range list {
		require.Equal(t, "audit_log", a.Type)
		require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM audit_logs WHERE id = $1", a.ID))
	}
}

func TestMemberSeesDocumentsInEachWay(t *testing.T) {
	pool, _ := loaded(t, demo.Options{Rows: rows, Seed: 1, Now: day})
	for _, way := range []string{
		"d.owner_id = u.id",
		"d.user_acl -> u.id::text ? 'read'",
		"d.user_acl -> u.id::text ? '*'",
		"d.group_acl -> d.organization_id::text ? 'read'",
		"d.group_acl -> d.organization_id::text ? '*'",
		"EXISTS (SELECT FROM group_members AS g WHERE g.user_id = u.id AND d.group_acl -> g.group_id::text ? 'read')",
	} {
		require.Positive(t, query[int](t, pool, `SELECT count(*) FROM users AS u JOIN organization_members AS m ON m.user_id = u.id
			JOIN documents AS d ON d.organization_id = m.organization_id WHERE u.username = 'member' AND `+way), way)
	}
}

func TestLoadedDataAreKept(t *testing.T) {
	pool, first := loaded(t, demo.Options{Rows: rows, Seed: 3, Now: day})
	// An earlier version made no ingester.
	_, err := pool.Exec(t.Context(), "DELETE FROM users WHERE username = 'ingester'")
	require.NoError(t, err)
	_, err = demo.Load(t.Context(), pool, demo.Options{Rows: rows, Seed: 3})
	require.NoError(t, err)
	before := digest(t, pool)
	for _, test := range []struct {
		name string
		opts demo.Options
		says string
	}{
		{"the same", demo.Options{Rows: rows, Seed: 3}, ""},
		{"other rows", demo.Options{Rows: 2 * rows, Seed: 3}, "3000 audit logs, not 6000"},
		{"other seed", demo.Options{Rows: rows, Seed: 4}, "seed 3, not 4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var said bytes.Buffer
			test.opts.Progress = &said
			again, err := demo.Load(t.Context(), pool, test.opts)
			require.NoError(t, err)
			require.Equal(t, demo.Result{People: first.People, Rows: rows, Seed: 3}, again)
			require.Contains(t, said.String(), test.says)
			require.Equal(t, test.says == "", said.Len() == 0, said.String())
		})
	}
	require.Equal(t, before, digest(t, pool))

	_, err = pool.Exec(t.Context(), "DELETE FROM sessions WHERE token_hash = $1", audit.TokenHash(first.People[3].Token))
	require.NoError(t, err)
	_, err = demo.Load(t.Context(), pool, demo.Options{Rows: rows, Seed: 3})
	require.ErrorContains(t, err, "no session of member")
}

// cancelAt cancels when the text is written.
type cancelAt struct {
	text   string
	cancel context.CancelFunc
}

func (c cancelAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel()
	}
	return len(p), nil
}

const indexes = "SELECT coalesce(string_agg(indexdef, E'\n' ORDER BY indexdef), '') FROM pg_indexes WHERE schemaname = 'public' AND tablename !~ '_\\d{4}_\\d\\d$'"

func TestInterruptedLoadLeavesNothing(t *testing.T) {
	pool := migrated(t)
	before := query[string](t, pool, indexes)
	for _, when := range []string{"Loading demo data", "Audit logs: ", "Indexes: "} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := demo.Load(ctx, pool, demo.Options{Rows: rows, Seed: 1, Progress: cancelAt{when, cancel}})
		cancel()
		require.ErrorIs(t, err, context.Canceled, when)
		for _, table := range tables {
			require.Zero(t, query[int](t, pool, "SELECT count(*) FROM "+table), "%s: %s", when, table)
		}
		require.Equal(t, before, query[string](t, pool, indexes), when)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, err := demo.Load(ctx, pool, demo.Options{Rows: rows, Seed: 1, Progress: cancelAt{"Vacuuming", cancel}})
	cancel()
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, query[bool](t, pool, "SELECT settled FROM demo_data"))
	result, err := demo.Load(t.Context(), pool, demo.Options{Rows: rows, Seed: 1})
	require.NoError(t, err)
	require.False(t, result.Loaded)
	require.True(t, query[bool](t, pool, "SELECT settled FROM demo_data"))
	require.Equal(t, before, query[string](t, pool, indexes))
}

func TestTwoServersLoadOnce(t *testing.T) {
	pool := migrated(t)
	var wg sync.WaitGroup
	results, errs := make([]demo.Result, 2), make([]error, 2)
	for i := range results {
		wg.Go(func() {
			results[i], errs[i] = demo.Load(context.Background(), pool, demo.Options{Rows: rows, Seed: 1, Progress: io.Discard})
		})
	}
	wg.Wait()
	require.Equal(t, []error{nil, nil}, errs)
	require.NotEqual(t, results[0].Loaded, results[1].Loaded)
	require.Equal(t, results[0].People, results[1].People)
}

func TestRefused(t *testing.T) {
	pool := migrated(t)
	_, err := demo.Load(t.Context(), pool, demo.Options{Rows: 99})
	require.ErrorContains(t, err, "99 audit logs are too few")
	_, err = demo.Load(t.Context(), pool, demo.Options{Rows: -1})
	require.ErrorContains(t, err, "too few")
	_, err = pool.Exec(t.Context(), "INSERT INTO users (username) VALUES ('somebody')")
	require.NoError(t, err)
	_, err = demo.Load(t.Context(), pool, demo.Options{Rows: rows})
	require.ErrorContains(t, err, "other data")
	require.Equal(t, 1, query[int](t, pool, "SELECT count(*) FROM users"))
}

func TestSmallestRows(t *testing.T) {
	pool, _ := loaded(t, demo.Options{Rows: demo.MinRows, Seed: 1})
	require.Equal(t, demo.MinRows, query[int](t, pool, "SELECT count(*) FROM audit_logs"))
}

func TestWriteTokens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	people := []demo.Person{{Name: "a", Token: "1", Description: "not written"}, {Name: "b", Token: "2"}}
	path := filepath.Join(dir, "demo-tokens.json")
	require.NoError(t, demo.WriteTokens(dir, []demo.Person{{Name: "old", Token: strings.Repeat("x", 1000)}}))
	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, demo.WriteTokens(dir, people))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var got []map[string]any
	require.NoError(t, json.Unmarshal(data, &got))
	require.Equal(t, []map[string]any{{"name": "a", "token": "1"}, {"name": "b", "token": "2"}}, got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, fmt.Sprint(files))

	require.ErrorContains(t, demo.WriteTokens("", people), "data directory")
	require.ErrorContains(t, demo.WriteTokens(path, people), "data directory")
}
