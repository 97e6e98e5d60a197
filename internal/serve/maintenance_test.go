package serve_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/maintain"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
	"github.com/rowfence/rowfence/internal/serve"
)

const oldLog = `INSERT INTO audit_logs (time, resource_type, resource_target, action, status_code)
	VALUES (now() - interval '10 days', 'template', 'old', 'create', 200)`

// Several servers maintain one database: each purge is made and told once.
func TestServersMaintainTheLogs(t *testing.T) {
	address := pgtest.URL(t)
	config := serve.Config{DatabaseURL: address, MaintainEvery: time.Second,
		Maintain: maintain.Config{AuditRetention: 24 * time.Hour, Ahead: 5}}
	first, second := launch(t, config), launch(t, config)
	first.ready(t)
	second.ready(t)
	pool := connect(t, address)
	owner(t, pool)
	for range 3 {
		_, err := pool.Exec(t.Context(), oldLog)
		require.NoError(t, err)
	}
	count := func(sql string) (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return count("SELECT count(*) FROM audit_logs WHERE resource_target = 'old'") == 0 },
		30*time.Second, 20*time.Millisecond)
	require.NoError(t, first.end())
	require.NoError(t, second.end())
	require.Equal(t, 3, count("SELECT sum((additional_fields ->> 'rows')::int) FROM audit_logs WHERE action = 'delete'"))
	require.Equal(t, 1, count("SELECT count(*) FROM pg_class WHERE relname = 'audit_logs_"+postgres.Month(time.Now()).AddDate(0, 5, 0).Format("2006_01")+"'"))
	report, err := postgres.VerifySeals(t.Context(), pool, seal.Options{})
	require.NoError(t, err)
	require.True(t, report.OK, report.Problems)
	require.Equal(t, int64(3), report.Purged)
}

// A server whose role may only serve, with and without another one to maintain.
func TestServerOfARoleThatMayOnlyServe(t *testing.T) {
	address := pgtest.URL(t)
	pool := connect(t, address)
	require.NoError(t, postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)))
	owner(t, pool)
	_, err := pool.Exec(t.Context(), "CREATE ROLE only_serves LOGIN")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP OWNED BY only_serves; DROP ROLE only_serves")
		require.NoError(t, err)
	})
	require.NoError(t, postgres.GrantServer(t.Context(), pool, "only_serves"))
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.User("only_serves")
	var log lines
	config := serve.Config{DatabaseURL: u.String(), MaintainEvery: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Maintain: maintain.Config{Ahead: maintain.DefaultAhead}}
	m := launch(t, config).ready(t)
	require.Contains(t, log.String(), "left to rowfence maintain")
	status, body, err := get(m, "/api/v2/audit", "bob")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	require.NoError(t, m.end())

	config.MaintenanceURL = address
	_, err = pool.Exec(t.Context(), oldLog)
	require.NoError(t, err)
	m = launch(t, config).ready(t)
	require.Eventually(t, func() bool {
		var n int
		return pool.QueryRow(t.Context(), "SELECT count(*) FROM log_seals").Scan(&n) == nil && n == 1
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, m.end())
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
}
