package auditquery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestWalk(t *testing.T) {
	at := auditquery.Place{Time: time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC), ID: nth(5)}
	day := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	one, two := inOrganizations(nth(0x11)), inOrganizations(nth(0x12), nth(0x11))
	const (
		keys   = "SELECT id, time, beyond, nth FROM (SELECT id, time, beyond, row_number() OVER () AS nth FROM (SELECT id, time, looked_at > "
		lookUp = " AS beyond FROM (SELECT k.* FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
			"SELECT id, time, row_number() OVER () AS looked_at FROM (SELECT id, time FROM audit_logs WHERE organization_id = o.id"
		byKey = " OR (SELECT TRUE FROM audit_logs WHERE audit_logs.id = numbered.id AND audit_logs.time = numbered.time AND "
	)
	for _, c := range []struct {
		name       string
		authorized sqlgen.Filter
		q          string
		page       auditquery.Page
		way        auditquery.Way
		text       string
		args       []any
	}{
		{name: "nothing", authorized: sqlgen.Never(), q: "action:login", page: auditquery.Page{Limit: 25}},
		{name: "no page", authorized: one, q: "action:login"},
		{
			"all, from a day on, behind a place", sqlgen.Always(), "-action:login date_from:2026-04-01", auditquery.Page{Limit: 25, From: &at}, auditquery.ByTime,
			keys + "1000 AS beyond FROM (SELECT *, row_number() OVER () AS looked_at FROM (SELECT * FROM audit_logs" +
				` WHERE "time" >= $1 AND time <= $2 AND (time, id) < ($2, $3) ORDER BY time DESC, id DESC LIMIT 1001) AS newest) AS audit_logs` +
				" WHERE looked_at > 1000 OR (TRUE AND action <> $4) LIMIT 25) AS found) AS page WHERE beyond OR nth > 0",
			[]any{day, at.Time, at.ID, "login"},
		},
		{
			"one organization, with an offset", one, "-action:login", auditquery.Page{Limit: 25, Offset: 50}, auditquery.ByTime,
			keys + "1000" + lookUp + " ORDER BY time DESC, id DESC LIMIT 1001) AS keys) AS k) AS numbered WHERE looked_at > 1000" +
				byKey + "action <> $2 LIMIT 1) LIMIT 75) AS found) AS page WHERE beyond OR nth > 50",
			[]any{ids(0x11), "login"},
		},
		{
			"two organizations, by time", two, "-action:login", auditquery.Page{Limit: 25}, auditquery.ByTime,
			keys + "1000 AS beyond FROM (SELECT *, row_number() OVER () AS looked_at FROM (SELECT * FROM audit_logs" +
				" ORDER BY time DESC, id DESC LIMIT 1001) AS newest) AS audit_logs" +
				" WHERE looked_at > 1000 OR (TRUE AND organization_id = ANY($1) AND action <> $2) LIMIT 25) AS found) AS page WHERE beyond OR nth > 0",
			[]any{ids(0x11, 0x12), "login"},
		},
		{
			"two organizations, each, newer", two, "-action:login", auditquery.Page{Limit: 25, From: &at, Newer: true}, auditquery.ByOrganization,
			keys + "500" + lookUp + " AND time >= $2 AND (time, id) > ($2, $3) ORDER BY time, id LIMIT 501) AS keys) AS k ORDER BY k.time, k.id) AS numbered WHERE looked_at > 500" +
				byKey + "action <> $4 LIMIT 1) LIMIT 25) AS found) AS page WHERE beyond OR nth > 0",
			[]any{ids(0x11, 0x12), at.Time, at.ID, "login"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, args, ok := auditquery.Walk(auditquery.AuditLogs(), c.authorized, parse(t, c.q).Predicate(resolved), c.page, c.way, 1000, 1)
			require.Equal(t, c.text, text)
			require.Equal(t, c.args, args)
			require.Equal(t, c.text != "", ok)
			if ok {
				requirePlaceholders(t, text, 1, len(args))
			}
		})
	}
	_, _, ok := auditquery.Walk(auditquery.AuditLogs(), one, nil, auditquery.Page{Limit: 1}, auditquery.ByTime, 10, 1)
	require.False(t, ok, "no predicate fails closed")
}

func TestNewestAndRows(t *testing.T) {
	two := inOrganizations(nth(0x12), nth(0x11))
	of, page := auditquery.AuditLogs(), auditquery.Page{Limit: 25}
	search := parse(t, "date_from:2026-04-01 -action:login").Predicate(resolved)
	day := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	text, args, ok := auditquery.Newest(of, two, search, page, 2000, 1)
	require.True(t, ok)
	require.Equal(t, `SELECT * FROM (SELECT * FROM audit_logs WHERE "time" >= $1 ORDER BY time DESC, id DESC LIMIT 2000) AS audit_logs`+
		" WHERE organization_id = ANY($2) AND action <> $3 ORDER BY time DESC, id DESC LIMIT $4", text)
	require.Equal(t, []any{day, ids(0x11, 0x12), "login", int64(25)}, args)
	text, args, ok = auditquery.Rows(of, two, search, page, 1)
	require.True(t, ok)
	require.Equal(t, `SELECT audit_logs.* FROM audit_logs WHERE organization_id = ANY($1) AND action <> $2 AND "time" >= $3`+
		" ORDER BY time DESC, id DESC LIMIT $4", text)
	require.Equal(t, []any{ids(0x11, 0x12), "login", day, int64(25)}, args)
	for _, refused := range []auditquery.Page{{}, {Limit: 25, Offset: 1}} {
		_, _, ok = auditquery.Newest(of, two, search, refused, 2000, 1)
		require.False(t, ok)
	}
	_, _, ok = auditquery.Newest(of, two, nil, page, 2000, 1)
	require.False(t, ok, "no predicate fails closed")
	_, _, ok = auditquery.Rows(of, two, nil, page, 1)
	require.False(t, ok, "no predicate fails closed")
}

func TestAhead(t *testing.T) {
	one, two := inOrganizations(nth(0x11)), inOrganizations(nth(0x12), nth(0x11))
	of, at := auditquery.AuditLogs(), time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	page, place := auditquery.Page{Limit: 25, Offset: 3}, auditquery.Place{Time: at, ID: nth(1)}
	search := parse(t, "date_from:2026-04-01 -action:login").Predicate(resolved)
	text, args, ok := auditquery.Ahead(of, two, search, page, place, 1)
	require.True(t, ok)
	require.Equal(t, `SELECT k.id, k.time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (SELECT id, time FROM audit_logs`+
		` WHERE organization_id = o.id AND "time" >= $2 AND time <= $3 AND (time, id) < ($3, $4) ORDER BY time DESC, id DESC LIMIT $5) AS k`+
		" ORDER BY k.time DESC, k.id DESC LIMIT $6", text)
	require.Equal(t, []any{ids(0x11, 0x12), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), at, nth(1), int64(1), int64(1)}, args)
	for _, authorized := range []sqlgen.Filter{sqlgen.Always(), one, sqlgen.Never()} {
		_, _, ok = auditquery.Ahead(of, authorized, search, page, place, 1)
		require.False(t, ok)
	}
}

func TestShapeOf(t *testing.T) {
	one, two := inOrganizations(nth(0x11)), inOrganizations(nth(0x12), nth(0x11))
	var many []uuid.UUID
	for i := range 100 {
		many = append(many, nth(byte(i)))
	}
	for _, c := range []struct {
		authorized sqlgen.Filter
		q          string
		want       auditquery.Shape
	}{
		{sqlgen.Always(), "", auditquery.Shape{Served: true, Ordered: true}},
		{sqlgen.Always(), "action:login", auditquery.Shape{Tested: true, Served: true}},
		{one, "date_from:2026-04-01", auditquery.Shape{Served: true, Ordered: true}},
		{one, "date_from:2026-04-01 action:login", auditquery.Shape{Tested: true, Served: true, Ordered: true}},
		{one, "resource_type:template action:login", auditquery.Shape{Tested: true, Served: true}},
		{one, "action:login action:logout", auditquery.Shape{Tested: true, Served: true}},
		{two, "", auditquery.Shape{Several: true, Served: true, Ordered: true}},
		{two, "action:login", auditquery.Shape{Several: true, Tested: true, Served: true, Ordered: true}},
		{two, "resource_id:00000000-0000-0000-0000-000000000005", auditquery.Shape{Several: true, Tested: true, Served: true, Ordered: true, Narrow: true}},
		{two, "resource_id:00000000-0000-0000-0000-000000000005 action:login", auditquery.Shape{Several: true, Tested: true, Served: true, Narrow: true}},
		{one, "resource_id:00000000-0000-0000-0000-000000000005", auditquery.Shape{Tested: true, Served: true, Ordered: true, Narrow: true}},
		{sqlgen.Always(), "resource_id:00000000-0000-0000-0000-000000000005", auditquery.Shape{Tested: true, Served: true}},
		{two, "resource_target:web", auditquery.Shape{Several: true, Tested: true, Served: true}},
		{inOrganizations(many...), "", auditquery.Shape{Several: true, Served: true, Ordered: true}},
		{inOrganizations(many...), "action:login", auditquery.Shape{Several: true, Tested: true, Served: true}},
		{two, "organization:Acme -action:login", auditquery.Shape{Tested: true}},
		{sqlgen.Never(), "-action:login", auditquery.Shape{Served: true, Ordered: true}},
		{sqlgen.Always(), "ip:10.20.7.0/24 date_from:2026-04-01", auditquery.Shape{Tested: true, Served: true, Sorted: true}},
		{sqlgen.Always(), "ip:10.20.7.1", auditquery.Shape{Tested: true, Served: true}},
		{sqlgen.Always(), "-ip:10.20.7.0/24", auditquery.Shape{Tested: true}},
		{sqlgen.Always(), "ip:10.20.7.0/24 -action:login", auditquery.Shape{Tested: true, Served: true}},
		{one, "ip:10.20.7.0/24", auditquery.Shape{Tested: true, Served: true}},
	} {
		require.Equal(t, c.want, auditquery.ShapeOf(auditquery.AuditLogs(), c.authorized, parse(t, c.q).Predicate(resolved)), c.q)
	}
}

// A page that ended at a row goes on with it, and skips what is left of its offset.
func TestStop(t *testing.T) {
	at := auditquery.Place{Time: time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC), ID: uuid.UUID{15: 5}}
	require.Equal(t, uuid.UUID{15: 6}, at.Stop(auditquery.Page{}, 1).ID)
	require.Equal(t, uuid.UUID{15: 4}, at.Stop(auditquery.Page{From: &at, Newer: true}, 1).ID)
	for nth, left := range map[int]int{1: 3, 3: 1, 4: 0, 9: 0} {
		require.Equal(t, left, at.Stop(auditquery.Page{Offset: 3}, nth).Skip)
	}
}
