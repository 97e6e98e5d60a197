package auditquery_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/sqlgen"
)

func parseConnections(t testing.TB, q string) auditquery.Search {
	t.Helper()
	s, err := auditquery.ParseConnections(q)
	require.NoError(t, err, "%q", q)
	return s
}

const web = `ANY('{"port_forwarding","workspace_app"}'::text[])`
const noWeb = `ALL('{"port_forwarding","workspace_app"}'::text[])`

func TestParseConnections(t *testing.T) {
	like := func(pattern string) string {
		user := func(column string) string {
			return " OR EXISTS (SELECT FROM users WHERE users.id = connection_logs." + column + " AND users.username ILIKE " + pattern + ")"
		}
		return "(workspace_name ILIKE " + pattern + user("user_id") + user("workspace_owner_id") + ")"
	}
	for _, c := range []struct {
		q, canonical string
		condition    string // TRUE is always, FALSE never
	}{
		{"", "", "TRUE"},
		{"organization:Acme", "organization:Acme", "organization_id = 'a0000000-0000-0000-0000-000000000011'::uuid"},
		{"-organization:Acme", "-organization:Acme", "organization_id <> 'a0000000-0000-0000-0000-000000000011'::uuid"},
		{"workspace_owner:Me", "workspace_owner:me", "workspace_owner_id = '" + uuid1 + "'::uuid"},
		{"-workspace_owner:bob", "-workspace_owner:bob", "workspace_owner_id <> '" + uuid2 + "'::uuid"},
		{"workspace_owner_email:BOB@example.com", "workspace_owner_email:BOB@example.com", "workspace_owner_id = '" + uuid2 + "'::uuid"},
		{"username:me", "username:me", "user_id = '" + uuid1 + "'::uuid"},
		{"-username:me", "-username:me", "user_id IS DISTINCT FROM '" + uuid1 + "'::uuid"},
		{"user_email:nobody@example.com", "user_email:nobody@example.com", "FALSE"},
		{"workspace_owner:bob username:bob", "workspace_owner:bob username:bob", "workspace_owner_id = '" + uuid2 + "'::uuid AND user_id = '" + uuid2 + "'::uuid"},
		{"workspace_id:" + uuid1, "workspace_id:" + uuid1, "workspace_id = '" + uuid1 + "'::uuid"},
		{"connection_id:" + uuid1 + " connection_id:" + uuid2, "connection_id:" + uuid1 + " connection_id:" + uuid2, "connection_id = ANY('{" + uuid1 + "," + uuid2 + "}'::uuid[])"},
		{"type:SSH type:vscode", "type:ssh type:vscode", `type = ANY('{"ssh","vscode"}'::text[])`},
		{"status:ongoing", "status:ongoing", `disconnect_time IS NULL AND connection_id IS NOT NULL AND type <> ` + noWeb},
		{"status:Completed", "status:completed", `disconnect_time IS NOT NULL AND connection_id IS NOT NULL AND type <> ` + noWeb},
		{"-status:ongoing", "-status:ongoing", "(type = " + web + " OR disconnect_time IS NOT NULL OR connection_id IS NULL)"},
		{"status:completed status:ongoing", "status:completed status:ongoing", `connection_id IS NOT NULL AND type <> ` + noWeb},
		{"status_code:>=400", "status_code:>=400", `code >= 400 AND type = ` + web},
		{"exit_code:0", "exit_code:0", `code = 0 AND type <> ` + noWeb},
		{"-exit_code:0", "-exit_code:0", `(code IS DISTINCT FROM 0 OR type = ` + web + ")"},
		{"ip:10.1.2.3", "ip:10.1.2.3", "ip = '10.1.2.3'::inet"},
		{`connected_after:"2026-04-09T01:02:03+02:00"`, `connected_after:"2026-04-08T23:02:03Z"`, "connect_time >= '2026-04-08T23:02:03Z'::timestamptz"},
		{`connected_before:"2026-04-09t01:02:03z"`, `connected_before:"2026-04-09T01:02:03Z"`, "connect_time <= '2026-04-09T01:02:03Z'::timestamptz"},
		{"since:24h", "since:1d", "connect_time >= '2026-04-08T12:00:00Z'::timestamptz"},
		{"dev", `"dev"`, like("'%dev%'")},
		{"ssh", `"ssh"`, like("'%ssh%'")},
		{"-dev type:ssh", `type:ssh -"dev"`, `type = 'ssh' AND workspace_name NOT ILIKE '%dev%'` +
			" AND NOT EXISTS (SELECT FROM users WHERE users.id = connection_logs.user_id AND users.username ILIKE '%dev%')" +
			" AND NOT EXISTS (SELECT FROM users WHERE users.id = connection_logs.workspace_owner_id AND users.username ILIKE '%dev%')"},
	} {
		t.Run(c.q, func(t *testing.T) {
			s := parseConnections(t, c.q)
			require.Equal(t, c.canonical, s.String())
			require.Equal(t, s, parseConnections(t, s.String()))
			require.Equal(t, c.condition, sqlgen.When(s.Predicate(resolved)).Inline())
		})
	}
	for key, values := range map[string][]string{"type": auditquery.ConnectionTypes, "status": auditquery.Statuses} {
		require.IsIncreasing(t, values)
		for _, v := range values {
			require.Equal(t, key+":"+v, parseConnections(t, key+":"+v).String())
		}
	}
	require.Subset(t, auditquery.ConnectionTypes, auditquery.WebConnectionTypes)
	require.Equal(t, auditquery.Names{
		Usernames: []string{"Bob", "ann"}, Emails: []string{"C@x.org", "b@x.org"}, Organizations: []string{"Acme"}, Texts: []string{"dev"},
	}, parseConnections(t, "workspace_owner:Bob username:ann username:me workspace_owner_email:C@x.org user_email:b@x.org organization:Acme dev").Names())
}

func TestConnectionProblems(t *testing.T) {
	for q, detail := range map[string]string{
		"a:b:c":                      `Query element "a:b:c" can only contain 1 ':'`,
		":x":                         `Query element ":x" cannot start or end with ':'`,
		"foo:x":                      `"foo" is not a valid query param`,
		"resource_type:user":         `"resource_type" is not a valid query param`,
		"workspace_owner_mail:x":     `"workspace_owner_mail" is not a valid query param; did you mean "workspace_owner_email"?`,
		"conected_after:x":           `"conected_after" is not a valid query param; did you mean "connected_after"?`,
		"workspace_id:x":             `Query param "workspace_id" must be a valid uuid`,
		"connection_id:x":            `Query param "connection_id" must be a valid uuid`,
		"type:shh":                   `Query param "type" has invalid value: "shh" is not a valid value; did you mean "ssh"?`,
		"status:done":                `Query param "status" has invalid value: "done" is not a valid value`,
		"status:ongoin":              `Query param "status" has invalid value: "ongoin" is not a valid value; did you mean "ongoing"?`,
		"connected_after:2026-04-09": `Query param "connected_after" must be a valid date format (2006-01-02T15:04:05Z07:00), in quotes: "2026-04-09" is not`,
		`connected_before:"10000-01-01T00:00:00Z"`:     `Query param "connected_before" must be a valid date format (2006-01-02T15:04:05Z07:00), in quotes: "10000-01-01T00:00:00Z" is not`,
		`connected_before:"0001-01-01T00:00:00+14:00"`: `Query param "connected_before" must be a valid date format (2006-01-02T15:04:05Z07:00), in quotes: "0001-01-01T00:00:00+14:00" is not`,
		"exit_code:x": `Query param "exit_code" must be a 32-bit integer, after >=, >, <=, <, = or nothing: "x" is not`,
	} {
		s, err := auditquery.ParseConnections(q)
		require.Zero(t, s)
		var problems auditquery.Problems
		require.True(t, errors.As(err, &problems), q)
		require.Equal(t, auditquery.Problems{{Field: "q", Detail: detail, Element: q, Offset: 0, Length: len(q)}}, problems)
	}
	_, err := auditquery.ParseConnections(`type:x workspace_id:x "`)
	var problems auditquery.Problems
	require.True(t, errors.As(err, &problems))
	require.Len(t, problems, 3)
}

func FuzzParseConnections(f *testing.F) {
	for _, q := range []string{
		"", "dev", `"dev"`, "-dev", "a:b:c", ":x", "x:", "-", `"`, `""`, "foo:bar", "type:ssh type:VSCODE", "-type:ssh", "status:ongoing -status:completed",
		"workspace_owner:me username:ME", "workspace_owner_email:A@x.org user_email:b@x.org", "organization:" + uuid1, "workspace_id:" + uuid1,
		`connected_after:"2026-04-09T00:00:00Z" connected_before:"9999-12-31T23:59:59.9999999Z"`, `connected_after:"0000-12-31T23:59:59-01:00"`,
		"exit_code:0 status_code:>=400", "ip:10.0.0.0/8", "since:24h", "\x00", "\xff", "50%_",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		s, err := auditquery.ParseConnections(q)
		requireSearch(t, q, s, err, auditquery.ConnectionLogs(), auditquery.ParseConnections)
	})
}

// A row of connection_logs. A zero uuid, ip or time is NULL.
type connection struct {
	id, organization, owner, workspace, visitor, connection uuid.UUID
	at, end                                                 time.Time
	name, kind                                              string
	code                                                    *int
	ip                                                      netip.Prefix
}

func (c connection) web() bool { return slices.Contains(auditquery.WebConnectionTypes, c.kind) }

func connections() []connection {
	codes := []int{0, 1, 200, 404}
	var out []connection
	for i := range 400 {
		c := connection{
			id: uuid.UUID{0xff - byte(i), byte(i >> 8), 15: byte(i)}, organization: nth(0x11 + byte(i%3)), owner: nth(1 + byte(i/3%3)),
			workspace: nth(byte(i%7) + 1), name: []string{"dev", "Web-1", "gpu"}[i/7%3], kind: auditquery.ConnectionTypes[i%6],
			at: time.Date(2026, 4, 9, 0, 0, 0, 0, time.UTC).Add(time.Duration(i/2%5-2) * 24 * time.Hour),
		}
		if i%5 > 0 {
			c.code = &codes[i%4]
		}
		if i%4 > 0 {
			c.ip = netip.MustParsePrefix([]string{"10.0.0.1/32", "10.1.0.0/16", "fe80::1/128"}[i%3])
		}
		if c.web() != (i%31 == 0) { // a few have what they should not
			c.visitor = []uuid.UUID{nth(1), nth(2), {}}[i/6%3]
		} else {
			c.connection = nth(byte(i%9) + 1)
			if i%8 > 2 {
				c.end = c.at.Add(time.Hour)
			}
		}
		out = append(out, c)
	}
	return out
}

func TestConnectionsOnPostgreSQL(t *testing.T) {
	db, ctx := pgtest.New(t), t.Context()
	_, err := db.Exec(ctx, `CREATE TABLE users (id uuid PRIMARY KEY, username text NOT NULL);
		CREATE TABLE connection_logs (id uuid PRIMARY KEY, connect_time timestamptz NOT NULL, organization_id uuid NOT NULL,
			workspace_owner_id uuid NOT NULL, workspace_id uuid NOT NULL, workspace_name text NOT NULL, type text NOT NULL, ip inet,
			code int, user_id uuid, connection_id uuid, disconnect_time timestamptz)`)
	require.NoError(t, err)
	for id, name := range userNames {
		_, err := db.Exec(ctx, "INSERT INTO users VALUES ($1, $2)", id, name)
		require.NoError(t, err)
	}
	all := connections()
	for _, c := range all {
		_, err := db.Exec(ctx, `INSERT INTO connection_logs VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			c.id, c.at, c.organization, c.owner, c.workspace, c.name, c.kind, orNull(c.ip, c.ip.String()), c.code,
			orNull(c.visitor, c.visitor), orNull(c.connection, c.connection), orNull(c.end, c.end))
		require.NoError(t, err)
	}
	slices.SortFunc(all, func(a, b connection) int { // newest first
		if c := b.at.Compare(a.at); c != 0 {
			return c
		}
		return bytes.Compare(b.id[:], a.id[:])
	})
	on := func(c connection) bool { return !c.web() && c.connection != uuid.Nil && c.end.IsZero() }
	off := func(c connection) bool { return !c.web() && c.connection != uuid.Nil && !c.end.IsZero() }
	has := func(c connection, word string) bool {
		for _, in := range []string{c.name, userNames[c.owner], userNames[c.visitor]} {
			if strings.Contains(strings.ToLower(in), word) {
				return true
			}
		}
		return false
	}
	searches := map[string]func(connection) bool{
		"":                        func(connection) bool { return true },
		"status:ongoing":          on,
		"status:completed":        off,
		"-status:ongoing":         func(c connection) bool { return !on(c) },
		"-status:completed":       func(c connection) bool { return !off(c) },
		"status:ongoing type:ssh": func(c connection) bool { return on(c) && c.kind == "ssh" },
		"type:ssh type:vscode":    func(c connection) bool { return c.kind == "ssh" || c.kind == "vscode" },
		"-type:workspace_app":     func(c connection) bool { return c.kind != "workspace_app" },
		"exit_code:0":             func(c connection) bool { return !c.web() && c.code != nil && *c.code == 0 },
		"-exit_code:0":            func(c connection) bool { return c.web() || c.code == nil || *c.code != 0 },
		"status_code:>=400":       func(c connection) bool { return c.web() && c.code != nil && *c.code >= 400 },
		"workspace_owner:bob":     func(c connection) bool { return c.owner == nth(2) },
		"workspace_owner_email:bob@example.com -username:me": func(c connection) bool { return c.owner == nth(2) && c.visitor != nth(1) },
		"username:me":                func(c connection) bool { return c.visitor == nth(1) },
		"user_email:bob@example.com": func(c connection) bool { return c.visitor == nth(2) },
		"-username:bob":              func(c connection) bool { return c.visitor != nth(2) },
		"workspace_id:" + uuid2:      func(c connection) bool { return c.workspace == nth(2) },
		"connection_id:" + uuid2:     func(c connection) bool { return c.connection == nth(2) },
		"-connection_id:" + uuid2:    func(c connection) bool { return c.connection != nth(2) },
		"organization:two -organization:" + nth(0x12).String(): func(c connection) bool { return c.organization == nth(0x13) },
		"ip:10.0.0.0/8":                           func(c connection) bool { return c.ip.IsValid() && c.ip.Addr().Is4() },
		`connected_after:"2026-04-09T00:00:00Z"`:  func(c connection) bool { return c.at.Day() >= 9 },
		`connected_before:"2026-04-09T00:00:00Z"`: func(c connection) bool { return c.at.Day() <= 9 },
		"since:36h": func(c connection) bool { return c.at.Day() >= 8 },
		"web":       func(c connection) bool { return has(c, "web") },
		"-web":      func(c connection) bool { return !has(c, "web") },
		"bob gpu":   func(c connection) bool { return has(c, "bob") && has(c, "gpu") },
	}
	for name, c := range map[string]struct {
		filter sqlgen.Filter
		in     []uuid.UUID
	}{
		"site auditor":       {sqlgen.Always(), ids(0x11, 0x12, 0x13)},
		"auditor of one":     {inOrganizations(nth(0x12)), ids(0x12)},
		"auditor of several": {inOrganizations(ids(0x11, 0x12, 0x77)...), ids(0x11, 0x12, 0x77)},
	} {
		t.Run(name, func(t *testing.T) {
			for q, match := range searches {
				var want []auditquery.Place
				for _, r := range all {
					if match(r) && slices.Contains(c.in, r.organization) {
						want = append(want, auditquery.Place{Time: r.at, ID: r.id})
					}
				}
				byText := resolved
				byText.Texts = map[string][]uuid.UUID{"web": ids(1), "bob": ids(2), "gpu": {}}
				for _, r := range []auditquery.Resolved{resolved, byText} {
					a := asked{db, auditquery.ConnectionLogs(), c.filter, parseConnections(t, q).Predicate(r), q}
					a.requirePages(t, want)
					a.requireCounts(t, want, len(all))
				}
			}
		})
	}
}
