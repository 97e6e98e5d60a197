package auditquery_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const schema = `
CREATE TABLE users (id uuid PRIMARY KEY, username text NOT NULL);
CREATE TABLE audit_logs (
	id uuid PRIMARY KEY, time timestamptz NOT NULL, user_id uuid, organization_id uuid,
	resource_type text NOT NULL, resource_id uuid, resource_target text NOT NULL, action text NOT NULL,
	status_code int NOT NULL, request_id uuid, ip inet, build_reason text
)`

// A row of audit_logs. A zero uuid, ip or build reason is NULL.
type row struct {
	id, user, organization, resource, request uuid.UUID
	time                                      time.Time
	kind, target, action, reason              string
	status                                    int
	ip                                        netip.Prefix
}

var userNames = map[uuid.UUID]string{nth(1): "Web-Admin", nth(2): "bob", nth(3): "eve_50%"}

// rows are every combination of what the searches below ask for, and a few
// hundred in all.
func rows() []row {
	var out []row
	users := []uuid.UUID{nth(1), nth(2), nth(3), {}}
	organizations := []uuid.UUID{nth(0x11), nth(0x12), nth(0x13), {}}
	kinds := []string{"template", "workspace", "user"}
	targets := []string{"web-1", "Web: two", "", `50%_\`, "5000"}
	actions := []string{"login", "logout", "write"}
	reasons := []string{"", "autostart", "initiator"}
	addresses := []string{"10.0.0.1/32", "10.127.255.255/32", "10.128.0.0/32", "10.0.0.0/8", "10.0.0.5/9", "fe80::1/128", "febf::/10", ""}
	for i := range 700 {
		r := row{
			id:   uuid.UUID{0xff - byte(i), byte(i >> 8), 15: byte(i)},
			user: users[i%4], organization: organizations[i/4%4],
			resource: nth(byte(i % 7)), request: nth(byte(i % 5)),
			// pairs at the same time, around the ends of two days
			time: time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC).Add(time.Duration(i/2%5-2)*24*time.Hour - time.Duration(i%3)*time.Microsecond),
			kind: kinds[i%3], target: targets[i%5], action: actions[i/3%3], reason: reasons[i/5%3],
			status: []int{200, 201, 400, 404, 500}[i/7%5],
		}
		if a := addresses[i%8]; a != "" {
			r.ip = netip.MustParsePrefix(a)
		}
		if i%7 == 0 {
			r.resource = uuid.UUID{}
		}
		out = append(out, r)
	}
	return out
}

func orNull[T comparable](v T, arg any) any {
	if zero := *new(T); v == zero {
		return nil
	}
	return arg
}

func TestOnPostgreSQL(t *testing.T) {
	db, ctx := pgtest.New(t), t.Context()
	_, err := db.Exec(ctx, schema)
	require.NoError(t, err)
	for id, name := range userNames {
		_, err := db.Exec(ctx, "INSERT INTO users VALUES ($1, $2)", id, name)
		require.NoError(t, err)
	}
	all := rows()
	for _, r := range all {
		_, err := db.Exec(ctx, `INSERT INTO audit_logs VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			r.id, r.time, orNull(r.user, r.user), orNull(r.organization, r.organization), r.kind, orNull(r.resource, r.resource),
			r.target, r.action, r.status, r.request, orNull(r.ip, r.ip.String()), orNull(r.reason, r.reason))
		require.NoError(t, err)
	}
	slices.SortFunc(all, func(a, b row) int { // newest first
		if c := b.time.Compare(a.time); c != 0 {
			return c
		}
		return bytes.Compare(b.id[:], a.id[:])
	})

	day := func(d int) time.Time { return time.Date(2026, 4, d, 0, 0, 0, 0, time.UTC) }
	has := func(r row, word string) bool {
		word = strings.ToLower(word)
		return strings.Contains(strings.ToLower(r.target), word) || strings.Contains(strings.ToLower(userNames[r.user]), word)
	}
	within := func(r row, network string) bool {
		p := netip.MustParsePrefix(network)
		return r.ip.IsValid() && r.ip.Bits() >= p.Bits() && p.Contains(r.ip.Addr())
	}
	searches := []struct {
		q     string
		match func(row) bool
	}{
		{"", func(row) bool { return true }},
		{"template", func(r row) bool { return r.kind == "template" }},
		{"-template -resource_type:user", func(r row) bool { return r.kind == "workspace" }},
		{"action:login action:write", func(r row) bool { return r.action != "logout" }},
		{"build_reason:autostart", func(r row) bool { return r.reason == "autostart" }},
		{"-build_reason:autostart", func(r row) bool { return r.reason != "autostart" }},
		{"resource_id:" + uuid2, func(r row) bool { return r.resource == nth(2) }},
		{"-resource_id:" + uuid2, func(r row) bool { return r.resource != nth(2) }},
		{"request_id:" + uuid1 + " request_id:" + uuid2, func(r row) bool { return r.request == nth(1) || r.request == nth(2) }},
		{`resource_target:"Web: two"`, func(r row) bool { return r.target == "Web: two" }},
		{`resource_target:"web: two"`, func(row) bool { return false }},
		{`resource_target:""`, func(r row) bool { return r.target == "" }},
		{"username:me", func(r row) bool { return r.user == nth(1) }},
		{"-username:me", func(r row) bool { return r.user != nth(1) }},
		{"username:BOB username:nobody", func(r row) bool { return r.user == nth(2) }},
		{"username:nobody", func(row) bool { return false }},
		{"-username:nobody", func(row) bool { return true }},
		{"email:shared@example.com", func(r row) bool { return r.user == nth(2) || r.user == nth(3) }},
		{"organization:Acme", func(r row) bool { return r.organization == nth(0x11) }},
		{"organization:two", func(r row) bool { return r.organization == nth(0x12) || r.organization == nth(0x13) }},
		{"-organization:two", func(r row) bool { return r.organization != nth(0x12) && r.organization != nth(0x13) }},
		{"date_from:2026-04-09", func(r row) bool { return !r.time.Before(day(9)) }},
		{"date_to:2026-04-08", func(r row) bool { return r.time.Before(day(9)) }},
		{"date_from:2026-04-09 date_to:2026-04-09", func(r row) bool { return !r.time.Before(day(9)) && r.time.Before(day(10)) }},
		{"date_from:0001-01-01 date_to:9999-12-31", func(row) bool { return true }},
		{`date_to:"2026-04-09T00:00:00Z"`, func(r row) bool { return !r.time.After(day(9)) }},
		{`date_from:"2026-04-09T00:00:00.0000001Z"`, func(r row) bool { return r.time.After(day(9)) }},
		{"since:36h", func(r row) bool { return !r.time.Before(day(8)) }}, // Now is noon of the 9th
		{"status_code:>=400 -status_code:500", func(r row) bool { return r.status >= 400 && r.status != 500 }},
		{"status_code:<400 status_code:500", func(r row) bool { return r.status < 400 || r.status == 500 }},
		{"status_code:>=2147483647", func(row) bool { return false }},
		{"ip:10.0.0.1", func(r row) bool { return r.ip == netip.MustParsePrefix("10.0.0.1/32") }},
		{"ip:10.0.0.0/8", func(r row) bool { return within(r, "10.0.0.0/8") }},
		{"ip:10.0.0.0/9", func(r row) bool { return within(r, "10.0.0.0/9") }},
		{"-ip:10.0.0.0/9", func(r row) bool { return !within(r, "10.0.0.0/9") }},
		{"ip:0.0.0.0/0", func(r row) bool { return r.ip.Addr().Is4() }},
		{`ip:"fe80::/10"`, func(r row) bool { return within(r, "fe80::/10") }},
		{"WEB", func(r row) bool { return has(r, "web") }},
		{"-web", func(r row) bool { return !has(r, "web") }},
		{"web two", func(r row) bool { return has(r, "web") && has(r, "two") }},
		{"50%", func(r row) bool { return has(r, "50%") }},
		{`"50%_\"`, func(r row) bool { return has(r, `50%_\`) }},
		{`-"%_\"`, func(r row) bool { return !has(r, `%_\`) }},
		{"action:login -username:me status_code:>=400 web", func(r row) bool {
			return r.action == "login" && r.user != nth(1) && r.status >= 400 && has(r, "web")
		}},
	}
	callers := map[string]struct {
		filter sqlgen.Filter
		in     []uuid.UUID // nil is everywhere
	}{
		"site auditor":           {sqlgen.Always(), nil},
		"auditor of one":         {inOrganizations(nth(0x12)), ids(0x12)},
		"auditor of several":     {inOrganizations(ids(0x11, 0x12, 0x77)...), ids(0x11, 0x12, 0x77)},
		"auditor of none at all": {sqlgen.Never(), []uuid.UUID{}},
	}
	byText := resolved
	byText.Texts = map[string][]uuid.UUID{}
	for _, s := range searches {
		for _, text := range parse(t, s.q).Names().Texts {
			var found []uuid.UUID
			require.NoError(t, db.QueryRow(ctx, "SELECT ARRAY(SELECT id FROM users WHERE username ILIKE $1)", auditquery.LikePattern(text)).Scan(&found))
			byText.Texts[text] = found
		}
	}
	require.Equal(t, ids(1), byText.Texts["WEB"])
	for name, c := range callers {
		t.Run(name, func(t *testing.T) {
			for _, s := range searches {
				var want []auditquery.Place
				for _, r := range all {
					if s.match(r) && (c.in == nil || slices.Contains(c.in, r.organization)) {
						want = append(want, auditquery.Place{Time: r.time, ID: r.id})
					}
				}
				for _, r := range []auditquery.Resolved{resolved, byText} {
					a := asked{db, auditquery.AuditLogs(), c.filter, parse(t, s.q).Predicate(r), s.q}
					a.requirePages(t, want)
					a.requireCounts(t, want, len(all))
				}
			}
		})
	}
}

// asked is a search on a real PostgreSQL.
type asked struct {
	db         *pgxpool.Pool
	log        auditquery.Log
	authorized sqlgen.Filter
	search     sqlgen.Predicate
	q          string
}

func (a asked) places(t *testing.T, page auditquery.Page) []auditquery.Place {
	t.Helper()
	text, args, ok := auditquery.Keys(a.log, a.authorized, a.search, page, 1)
	if !ok {
		return nil
	}
	rows, err := a.db.Query(t.Context(), text, args...)
	require.NoError(t, err, text)
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p auditquery.Place, err error) {
		err = row.Scan(&p.ID, &p.Time)
		p.Time = p.Time.UTC()
		return p, err
	})
	require.NoError(t, err, text)
	return places
}

// requirePages asks for pages by their offset, and behind a few of the rows and
// places where there is none, in both directions.
func (a asked) requirePages(t *testing.T, want []auditquery.Place) {
	t.Helper()
	same := func(want []auditquery.Place, page auditquery.Page) {
		t.Helper()
		got := a.places(t, page)
		require.Len(t, got, len(want), "%q %+v", a.q, page)
		for i := range want {
			require.Equal(t, want[i], got[i], "%q %+v", a.q, page)
		}
	}
	for _, page := range []auditquery.Page{{Limit: 1000}, {Limit: 7}, {Limit: 7, Offset: 7}, {Limit: 25, Offset: 690}} {
		from, to := min(page.Offset, len(want)), min(page.Offset+page.Limit, len(want))
		same(want[from:to], page)
	}
	for i := 0; i < len(want); i += 1 + len(want)/3 {
		at := want[i]
		same(want[i+1:min(i+1+5, len(want))], auditquery.Page{Limit: 5, From: &at})
		same(want[max(i-5, 0):i], auditquery.Page{Limit: 5, From: &at, Newer: true})
		same(want[min(i+4, len(want)):min(i+9, len(want))], auditquery.Page{Limit: 5, Offset: 3, From: &at})
		same(want[max(i-8, 0):max(i-3, 0)], auditquery.Page{Limit: 5, Offset: 3, From: &at, Newer: true})
	}
	nobody := auditquery.Place{Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	same(want[:min(5, len(want))], auditquery.Page{Limit: 5, From: &nobody})
	same(nil, auditquery.Page{Limit: 5, From: &nobody, Newer: true})
}

func (a asked) requireCounts(t *testing.T, want []auditquery.Place, all int) {
	t.Helper()
	const cap = 20
	for limit, most := range map[int]int{cap: cap + 1, 0: all} {
		text, args, ok := auditquery.CappedCount(a.log, a.authorized, a.search, limit)
		var count int
		if ok {
			require.NoError(t, a.db.QueryRow(t.Context(), text, args...).Scan(&count), text)
		}
		require.Equal(t, min(len(want), most), count, "%q: %s", a.q, text)
	}
	for _, budget := range []int{1, 50, 300, all, 100 * all} {
		text, args, ok := auditquery.BudgetedCount(a.log, a.authorized, a.search, cap, budget)
		var count int
		var more bool
		if ok {
			require.NoError(t, a.db.QueryRow(t.Context(), text, args...).Scan(&count, &more), text)
		}
		require.LessOrEqual(t, count, min(len(want), cap+1), "%q: %s", a.q, text)
		if !more || budget == 100*all {
			require.Equal(t, min(len(want), cap+1), count, "%q, budget %d: %s", a.q, budget, text)
		}
		require.True(t, !more || budget < all, "%q: %s", a.q, text)
	}
}
