package auditquery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestPlacesInStatements(t *testing.T) {
	at := auditquery.Place{Time: time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC), ID: nth(5)}
	both := inOrganizations(nth(0x12), nth(0x11))
	for _, c := range []struct {
		name       string
		of         auditquery.Log
		authorized sqlgen.Filter
		page       auditquery.Page
		keys       string
		args       []any
	}{
		{
			"all, older", auditquery.AuditLogs(), sqlgen.Always(), auditquery.Page{Limit: 25, From: &at},
			"SELECT id, time FROM audit_logs WHERE time <= $1 AND (time, id) < ($1, $2) ORDER BY time DESC, id DESC LIMIT $3",
			[]any{at.Time, at.ID, int64(25)},
		},
		{
			"all, newer", auditquery.ConnectionLogs(), sqlgen.Always(), auditquery.Page{Limit: 25, From: &at, Newer: true},
			"SELECT id, connect_time FROM (SELECT id, connect_time FROM connection_logs WHERE connect_time >= $1 AND (connect_time, id) > ($1, $2)" +
				" ORDER BY connect_time, id LIMIT $3) AS page ORDER BY connect_time DESC, id DESC",
			[]any{at.Time, at.ID, int64(25)},
		},
		{
			"one organization, older", auditquery.AuditLogs(), inOrganizations(nth(0x11)), auditquery.Page{Limit: 25, Offset: 5, From: &at},
			"SELECT id, time FROM audit_logs WHERE organization_id = $1 AND time <= $2 AND (time, id) < ($2, $3) ORDER BY time DESC, id DESC LIMIT $4 OFFSET $5",
			[]any{nth(0x11), at.Time, at.ID, int64(25), int64(5)},
		},
		{
			"several organizations, older", auditquery.AuditLogs(), both, auditquery.Page{Limit: 25, From: &at},
			"SELECT k.id, k.time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT id, time FROM audit_logs WHERE organization_id = o.id AND time <= $2 AND (time, id) < ($2, $3) ORDER BY time DESC, id DESC LIMIT $4" +
				") AS k ORDER BY k.time DESC, k.id DESC LIMIT $5",
			[]any{ids(0x11, 0x12), at.Time, at.ID, int64(25), int64(25)},
		},
		{
			"several organizations, newer", auditquery.ConnectionLogs(), both, auditquery.Page{Limit: 25, From: &at, Newer: true},
			"SELECT id, connect_time FROM (SELECT k.id, k.connect_time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT id, connect_time FROM connection_logs WHERE organization_id = o.id AND connect_time >= $2 AND (connect_time, id) > ($2, $3)" +
				" ORDER BY connect_time, id LIMIT $4) AS k ORDER BY k.connect_time, k.id LIMIT $5) AS page ORDER BY connect_time DESC, id DESC",
			[]any{ids(0x11, 0x12), at.Time, at.ID, int64(25), int64(25)},
		},
		{
			"newer than nothing in particular", auditquery.AuditLogs(), sqlgen.Always(), auditquery.Page{Limit: 25, Newer: true},
			"SELECT id, time FROM audit_logs ORDER BY time DESC, id DESC LIMIT $1", []any{int64(25)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, args, ok := auditquery.Keys(c.of, c.authorized, sqlgen.True, c.page, 1)
			require.True(t, ok)
			require.Equal(t, c.keys, text)
			require.Equal(t, c.args, args)
		})
	}
}

func TestBudgetedCount(t *testing.T) {
	const found = "count(*) FILTER (WHERE looked_at <= "
	one, both := inOrganizations(nth(0x11)), inOrganizations(nth(0x12), nth(0x11))
	for _, c := range []struct {
		name       string
		authorized sqlgen.Filter
		q          string
		count      string
		args       []any
	}{
		{"nothing", sqlgen.Never(), "action:login", "", nil},
		{
			"no more than the scope", one, "date_from:2026-04-09",
			"SELECT count, false FROM (SELECT count(*) FROM (SELECT 1 FROM audit_logs WHERE organization_id = $1 AND \"time\" >= $2 LIMIT 2001) AS capped) AS counted",
			[]any{nth(0x11), time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC)},
		},
		{
			"all", sqlgen.Always(), "action:login",
			"SELECT least(" + found + "1000), 2001), " + found + "1000) < 2001 AND " + found + "1000) < count(*) FROM (" +
				"SELECT looked_at FROM (SELECT id, time, row_number() OVER () AS looked_at FROM (SELECT id, time FROM audit_logs ORDER BY time DESC, id DESC LIMIT 1001) AS keys) AS numbered" +
				" WHERE looked_at > 1000 OR (SELECT TRUE FROM audit_logs WHERE audit_logs.id = numbered.id AND audit_logs.time = numbered.time AND action = $1) LIMIT 2001) AS found",
			[]any{"login"},
		},
		{
			"one organization, from a day on", one, "action:login date_from:2026-04-09 -status_code:200",
			"SELECT least(" + found + "1000), 2001), " + found + "1000) < 2001 AND " + found + "1000) < count(*) FROM (" +
				"SELECT looked_at FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT looked_at FROM (SELECT id, time, row_number() OVER () AS looked_at FROM (SELECT id, time FROM audit_logs WHERE organization_id = o.id AND \"time\" >= $2" +
				" ORDER BY time DESC, id DESC LIMIT 1001) AS keys) AS numbered" +
				" WHERE looked_at > 1000 OR (SELECT TRUE FROM audit_logs WHERE audit_logs.id = numbered.id AND audit_logs.time = numbered.time AND action = $3 AND status_code <> $4)) AS newest LIMIT 2001) AS found",
			[]any{ids(0x11), time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC), "login", int64(200)},
		},
		{
			"several organizations", both, "action:login",
			"SELECT least(" + found + "500), 2001), " + found + "500) < 2001 AND " + found + "500) < count(*) FROM (" +
				"SELECT looked_at FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT looked_at FROM (SELECT id, time, row_number() OVER () AS looked_at FROM (SELECT id, time FROM audit_logs WHERE organization_id = o.id ORDER BY time DESC, id DESC LIMIT 501) AS keys) AS numbered" +
				" WHERE looked_at > 500 OR (SELECT TRUE FROM audit_logs WHERE audit_logs.id = numbered.id AND audit_logs.time = numbered.time AND action = $2)) AS newest LIMIT 2002) AS found",
			[]any{ids(0x11, 0x12), "login"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, args, ok := auditquery.BudgetedCount(auditquery.AuditLogs(), c.authorized, parse(t, c.q).Predicate(resolved), 2000, 1000)
			require.Equal(t, c.count, text)
			require.Equal(t, c.args, args)
			require.Equal(t, c.count != "", ok)
		})
	}
	for _, bad := range [][2]int{{0, 1}, {1, 0}, {-1, 1}, {1, -1}} {
		_, _, ok := auditquery.BudgetedCount(auditquery.AuditLogs(), one, sqlgen.True, bad[0], bad[1])
		require.False(t, ok)
	}
	_, _, ok := auditquery.BudgetedCount(auditquery.AuditLogs(), one, nil, 10, 10)
	require.False(t, ok, "no predicate fails closed")
}

func TestServed(t *testing.T) {
	texts := resolved
	texts.Texts = map[string][]uuid.UUID{"web": ids(1), "bob": {}}
	for q, served := range map[string]bool{
		"": true, "date_from:2026-04-09": true, "organization:Acme": true, "organization:two": true, "username:nobody": true,
		"username:me": true, "action:login": true, "action:login action:logout": true, "-action:login": false, "action:login -username:me": true,
		"status_code:>=400": true, "status_code:>=500": true, "status_code:404": true, "status_code:200": false, "status_code:<400": false,
		"resource_target:x": true, "ip:10.0.0.0/8": true, "-ip:10.0.0.0/8": false, "build_reason:autostart": true,
		"web": true, "bob": true, "-web": false, "web -bob": true, "since:1h -action:login": false,
	} {
		for _, f := range []sqlgen.Filter{sqlgen.Always(), inOrganizations(nth(0x11)), inOrganizations(ids(0x11, 0x12)...)} {
			require.Equal(t, served, auditquery.Served(auditquery.AuditLogs(), f, parse(t, q).Predicate(texts)), q)
		}
	}
	require.False(t, auditquery.Served(auditquery.AuditLogs(), sqlgen.Always(), parse(t, "web").Predicate(resolved)), "users row by row")
	require.True(t, auditquery.Served(auditquery.AuditLogs(), sqlgen.Never(), parse(t, "-action:login").Predicate(resolved)))
	id := sqlgen.Column{Name: "id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}, NotNull: true}
	only := sqlgen.When(sqlgen.Eq(id, sqlgen.UUID(nth(1))))
	require.True(t, auditquery.Served(auditquery.AuditLogs(), only, parse(t, "-action:login").Predicate(resolved)))
	for q, served := range map[string]bool{
		"": true, "workspace_owner:me": true, "username:me": true, "type:ssh": true, "-type:ssh": false, "status:ongoing": true, "status:completed": false,
		"connection_id:" + uuid1: true, "workspace_id:" + uuid1: true, "exit_code:0": false, "ip:10.0.0.1": false, "web": true,
	} {
		require.Equal(t, served, auditquery.Served(auditquery.ConnectionLogs(), sqlgen.Always(), parseConnections(t, q).Predicate(texts)), q)
	}
}
