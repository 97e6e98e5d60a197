package auditquery_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/sqlgen"
)

// nth is a uuid that ends in n.
func nth(n byte) uuid.UUID {
	return uuid.UUID{0: 0xa0, 15: n}
}

func ids(ns ...byte) []uuid.UUID {
	out := make([]uuid.UUID, len(ns))
	for i, n := range ns {
		out[i] = nth(n)
	}
	return out
}

var resolved = auditquery.Resolved{
	Me:            nth(1),
	Usernames:     map[string][]uuid.UUID{"bob": ids(2), "Bob": ids(2), "BOB": ids(2), "eve": ids(3)},
	Emails:        map[string][]uuid.UUID{"bob@example.com": ids(2), "BOB@example.com": ids(2), "shared@example.com": ids(2, 3)},
	Organizations: map[string][]uuid.UUID{"Acme": ids(0x11), "two": ids(0x12, 0x13)},
	Now:           time.Date(2026, 4, 9, 12, 0, 0, 0, time.UTC),
}

const (
	uuid1 = "a0000000-0000-0000-0000-000000000001"
	uuid2 = "a0000000-0000-0000-0000-000000000002"
)

func parse(t testing.TB, q string) auditquery.Search {
	t.Helper()
	s, err := auditquery.ParseAudit(q)
	require.NoError(t, err, "%q", q)
	return s
}

func TestParseAudit(t *testing.T) {
	like := func(pattern string) string {
		return "(resource_target ILIKE " + pattern +
			" OR EXISTS (SELECT FROM users WHERE users.id = audit_logs.user_id AND users.username ILIKE " + pattern + "))"
	}
	for _, c := range []struct {
		q, canonical string
		condition    string // TRUE is always, FALSE never
	}{
		{"", "", "TRUE"},
		{" \t\r\n ", "", "TRUE"},

		{"resource_type:template", "resource_type:template", "resource_type = 'template'"},
		{"action:login", "action:login", "action = 'login'"},
		{"ACTION:Login", "action:login", "action = 'login'"},
		{`"action":"login"`, "action:login", "action = 'login'"},
		{"action:login action:logout", "action:login action:logout", `action = ANY('{"login","logout"}'::text[])`},
		{"-action:login", "-action:login", "action <> 'login'"},
		{"-action:login -action:logout", "-action:login -action:logout", `action <> ALL('{"login","logout"}'::text[])`},
		{"action:login -action:login", "action:login -action:login", "FALSE"},
		{"build_reason:autostart", "build_reason:autostart", "build_reason = 'autostart'"},
		{"-build_reason:autostart", "-build_reason:autostart", "build_reason IS DISTINCT FROM 'autostart'"},
		{"resource_id:" + uuid1, "resource_id:" + uuid1, "resource_id = '" + uuid1 + "'::uuid"},
		{"resource_id:" + strings.ToUpper(uuid1), "resource_id:" + uuid1, "resource_id = '" + uuid1 + "'::uuid"},
		{"request_id:" + uuid1, "request_id:" + uuid1, "request_id = '" + uuid1 + "'::uuid"},
		{"resource_target:Web-1", "resource_target:Web-1", "resource_target = 'Web-1'"},
		{`resource_target:"a: b"`, `resource_target:"a: b"`, "resource_target = 'a: b'"},
		{`resource_target:"say ""hi"""`, `resource_target:"say ""hi"""`, `resource_target = 'say "hi"'`},
		{`resource_target:""`, `resource_target:""`, "resource_target = ''"},
		{`resource_target:a\`, `resource_target:a\`, `resource_target = E'a\\'`},
		{`resource_target:"'; DROP TABLE users; --"`, `resource_target:"'; DROP TABLE users; --"`, `resource_target = '''; DROP TABLE users; --'`},

		{"username:Bob", "username:Bob", "user_id = '" + uuid2 + "'::uuid"},
		{"username:me", "username:me", "user_id = '" + uuid1 + "'::uuid"},
		{"username:ME", "username:me", "user_id = '" + uuid1 + "'::uuid"},
		{"-username:me", "-username:me", "user_id IS DISTINCT FROM '" + uuid1 + "'::uuid"},
		{"username:me username:bob", "username:me username:bob", "user_id = ANY('{" + uuid1 + "," + uuid2 + "}'::uuid[])"},
		{"username:nobody", "username:nobody", "FALSE"},
		{"-username:nobody", "-username:nobody", "TRUE"},
		{"username:nobody username:bob", "username:nobody username:bob", "user_id = '" + uuid2 + "'::uuid"},
		{"email:BOB@example.com", "email:BOB@example.com", "user_id = '" + uuid2 + "'::uuid"},
		{"email:shared@example.com", "email:shared@example.com", "user_id = ANY('{" + uuid2 + ",a0000000-0000-0000-0000-000000000003}'::uuid[])"},
		{"username:bob email:shared@example.com", "username:bob email:shared@example.com", "user_id = '" + uuid2 + "'::uuid"},
		{"organization:Acme", "organization:Acme", "organization_id = 'a0000000-0000-0000-0000-000000000011'::uuid"},
		{"organization:acme", "organization:acme", "FALSE"},
		{"organization:" + uuid1, "organization:" + uuid1, "organization_id = '" + uuid1 + "'::uuid"},
		{"-organization:Acme", "-organization:Acme", "organization_id IS DISTINCT FROM 'a0000000-0000-0000-0000-000000000011'::uuid"},

		{"date_from:2026-04-09", "date_from:2026-04-09", "\"time\" >= '2026-04-09T00:00:00Z'::timestamptz"},
		{"date_to:2026-04-09", "date_to:2026-04-09", "\"time\" < '2026-04-10T00:00:00Z'::timestamptz"},
		{"-date_to:2026-04-09", "-date_to:2026-04-09", "\"time\" >= '2026-04-10T00:00:00Z'::timestamptz"},
		{"date_to:9999-12-31", "date_to:9999-12-31", "\"time\" <= '9999-12-31T23:59:59.999999Z'::timestamptz"},
		{"date_from:0001-01-01", "date_from:0001-01-01", "\"time\" >= '0001-01-01T00:00:00Z'::timestamptz"},
		{`date_from:"2026-04-09T01:02:03+02:00"`, `date_from:"2026-04-08T23:02:03Z"`, "\"time\" >= '2026-04-08T23:02:03Z'::timestamptz"},
		{`date_to:"2026-04-09t01:02:03z"`, `date_to:"2026-04-09T01:02:03Z"`, "\"time\" <= '2026-04-09T01:02:03Z'::timestamptz"},
		{`date_from:"2026-04-09T00:00:00.0000001Z"`, `date_from:"2026-04-09T00:00:00.000001Z"`, "\"time\" >= '2026-04-09T00:00:00.000001Z'::timestamptz"},
		{`date_to:"2026-04-09T00:00:00.0000019Z"`, `date_to:"2026-04-09T00:00:00.000001Z"`, "\"time\" <= '2026-04-09T00:00:00.000001Z'::timestamptz"},
		{"since:24h", "since:1d", "\"time\" >= '2026-04-08T12:00:00Z'::timestamptz"},
		{"since:90m", "since:1h30m0s", "\"time\" >= '2026-04-09T10:30:00Z'::timestamptz"},
		{"since:2w", "since:14d", "\"time\" >= '2026-03-26T12:00:00Z'::timestamptz"},
		{"-since:24h", "-since:1d", "\"time\" < '2026-04-08T12:00:00Z'::timestamptz"},

		{"status_code:404", "status_code:404", "status_code = 404"},
		{"status_code:=404", "status_code:404", "status_code = 404"},
		{"status_code:>=400", "status_code:>=400", "status_code >= 400"},
		{"status_code:>400", "status_code:>400", "status_code > 400"},
		{"status_code:<=400", "status_code:<=400", "status_code <= 400"},
		{"status_code:<400", "status_code:<400", "status_code < 400"},
		{"-status_code:>=500 status_code:>=400", "-status_code:>=500 status_code:>=400", "status_code < 500 AND status_code >= 400"},
		{"ip:10.1.2.3", "ip:10.1.2.3", "ip = '10.1.2.3'::inet"},
		{"ip:10.1.2.3/32", "ip:10.1.2.3", "ip = '10.1.2.3'::inet"},
		{"ip:10.1.2.3/9", "ip:10.0.0.0/9", "ip <<= '10.0.0.0/9'::inet"},
		{`ip:"::1"`, `ip:"::1"`, "ip = '::1'::inet"},
		{`ip:"fe80::/10"`, `ip:"fe80::/10"`, "ip <<= 'fe80::/10'::inet"},

		{"template", "resource_type:template", "resource_type = 'template'"},
		{"Template workspace", "resource_type:template resource_type:workspace", `resource_type = ANY('{"template","workspace"}'::text[])`},
		{"-template", "-resource_type:template", "resource_type <> 'template'"},
		{`"template"`, `"template"`, like("'%template%'")},
		{"Web", `"Web"`, like("'%Web%'")},
		{"web bob", `"web" "bob"`, like("'%web%'") + " AND " + like("'%bob%'")},
		{"web web", `"web"`, like("'%web%'")},
		{"-web", `-"web"`, "resource_target NOT ILIKE '%web%' AND NOT EXISTS (SELECT FROM users WHERE users.id = audit_logs.user_id AND users.username ILIKE '%web%')"},
		{`"-web"`, `"-web"`, like("'%-web%'")},
		{`we"b: "x`, `"web: x"`, like("'%web: x%'")},
		{"50%_", `"50%_"`, like(`E'%50\\%\\_%'`)},

		{"status_code:500 web action:login", `action:login status_code:500 "web"`, "action = 'login' AND status_code = 500 AND " + like("'%web%'")},
	} {
		t.Run(c.q, func(t *testing.T) {
			s := parse(t, c.q)
			require.Equal(t, c.canonical, s.String())
			require.Equal(t, s, parse(t, s.String()))
			require.Equal(t, c.condition, sqlgen.When(s.Predicate(resolved)).Inline())
		})
	}
}

func TestKnownValues(t *testing.T) {
	for key, values := range map[string][]string{
		"resource_type": auditquery.ResourceTypes, "action": auditquery.Actions, "build_reason": auditquery.BuildReasons,
	} {
		require.IsIncreasing(t, values)
		for _, v := range values {
			q := key + ":" + v
			require.Equal(t, q, parse(t, q).String())
		}
	}
}

func TestParseAuditNothingSet(t *testing.T) {
	require.Equal(t, auditquery.Search{}, parse(t, ""))
	require.Equal(t, sqlgen.True, auditquery.Search{}.Predicate(auditquery.Resolved{}))
	require.Empty(t, auditquery.Search{}.String())
}

func TestSinceCountsFromTheClock(t *testing.T) {
	from := func() time.Time {
		_, args := sqlgen.When(parse(t, "since:1h").Predicate(auditquery.Resolved{})).SQL(1)
		return args[0].(time.Time)
	}
	require.WithinRange(t, from(), time.Now().Add(-time.Hour-time.Minute), time.Now().Add(-time.Hour))
}

func TestNames(t *testing.T) {
	s := parse(t, `username:Bob username:me -username:eve username:BOB email:B@X.org organization:Acme organization:`+uuid1+` -organization:two "someone"`)
	require.Equal(t, auditquery.Names{
		Usernames:     []string{"BOB", "Bob", "eve"},
		Emails:        []string{"B@X.org"},
		Organizations: []string{"Acme", "two"},
		Texts:         []string{"someone"},
	}, s.Names())
	require.Zero(t, parse(t, "action:login username:me username:Me").Names())
}

func TestProblems(t *testing.T) {
	dateDetail := func(key, value, why string) string {
		return `Query param "` + key + `" must be a valid date format (2006-01-02) or a quoted RFC 3339 time: ` + value + " " + why
	}
	for _, c := range []struct {
		name, q string
		details []string
	}{
		{"two colons", "a:b:c", []string{`Query element "a:b:c" can only contain 1 ':'`}},
		{"adjacent colons", "a::c", []string{`Query element "a::c" can only contain 1 ':'`}},
		{"bare time", "date_from:2026-01-01T00:00:00Z", []string{`Query element "date_from:2026-01-01T00:00:00Z" can only contain 1 ':'`}},
		{"colon first", ":x", []string{`Query element ":x" cannot start or end with ':'`}},
		{"colon last", "x:", []string{`Query element "x:" cannot start or end with ':'`}},
		{"colon alone", ":", []string{`Query element ":" cannot start or end with ':'`}},
		{"colon after minus", "-:x", []string{`Query element "-:x" cannot start or end with ':'`}},
		{"unknown key", "foo:bar", []string{`"foo" is not a valid query param`}},
		{"empty key", `"":x`, []string{`"" is not a valid query param`}},
		{"near key", "actoin:login", []string{`"actoin" is not a valid query param; did you mean "action"?`}},
		{"near key in capitals", "RESOURCETYPE:user", []string{`"RESOURCETYPE" is not a valid query param; did you mean "resource_type"?`}},
		{"uuid", "resource_id:x", []string{`Query param "resource_id" must be a valid uuid`}},
		{"uuid in another form", "request_id:{" + uuid1 + "}", []string{`Query param "request_id" must be a valid uuid`}},
		{"value", "action:x", []string{`Query param "action" has invalid value: "x" is not a valid value`}},
		{"near value", "action:stopp", []string{`Query param "action" has invalid value: "stopp" is not a valid value; did you mean "stop"?`}},
		{"resource type", "resource_type:tenplate", []string{`Query param "resource_type" has invalid value: "tenplate" is not a valid value; did you mean "template"?`}},
		{"build reason", "build_reason:boredom", []string{`Query param "build_reason" has invalid value: "boredom" is not a valid value`}},
		{"empty value", `action:""`, []string{`Query param "action" has invalid value: "" is not a valid value`}},
		{"date", "date_from:yesterday", []string{dateDetail("date_from", `"yesterday"`, "is not")}},
		{"no such day", "date_to:2026-02-30", []string{dateDetail("date_to", `"2026-02-30"`, "is not")}},
		{"five-digit year", "date_to:10000-01-01", []string{dateDetail("date_to", `"10000-01-01"`, "is not")}},
		{"year 0", "date_from:0000-01-01", []string{dateDetail("date_from", `"0000-01-01"`, "is out of range")}},
		{"year 10000 in UTC", `date_to:"9999-12-31T23:59:59-01:00"`, []string{dateDetail("date_to", `"9999-12-31T23:59:59-01:00"`, "is out of range")}},
		{"rounded to year 10000", `date_from:"9999-12-31T23:59:59.9999999Z"`, []string{dateDetail("date_from", `"9999-12-31T23:59:59.9999999Z"`, "is out of range")}},
		{"since", "since:ever", []string{`Query param "since" must be a positive duration such as 90m, 24h, 7d or 2w: "ever" is not`}},
		{"since nothing", "since:0h", []string{`Query param "since" must be a positive duration such as 90m, 24h, 7d or 2w: "0h" is not`}},
		{"since the future", "since:-1d", []string{`Query param "since" must be a positive duration such as 90m, 24h, 7d or 2w: "-1d" is not`}},
		{"since too long", "since:2000000000d", []string{`Query param "since" must be a positive duration such as 90m, 24h, 7d or 2w: "2000000000d" is not`}},
		{"since empty", `since:""`, []string{`Query param "since" must be a positive duration such as 90m, 24h, 7d or 2w: "" is not`}},
		{"status", "status_code:>=4xx", []string{`Query param "status_code" must be a 32-bit integer, after >=, >, <=, <, = or nothing: ">=4xx" is not`}},
		{"status too large", "status_code:2147483648", []string{`Query param "status_code" must be a 32-bit integer, after >=, >, <=, <, = or nothing: "2147483648" is not`}},
		{"ip", "ip:localhost", []string{`Query param "ip" must be an IP address or a network such as 10.0.0.0/8: "localhost" is not`}},
		{"ip with zone", `ip:"fe80::1%eth0"`, []string{`Query param "ip" must be an IP address or a network such as 10.0.0.0/8: "fe80::1%eth0" is not`}},
		{"unclosed quote", `web "and more`, []string{`Query element "\"and more" has an unclosed quote`}},
		{"minus alone", "web -", []string{`Query element "-" excludes nothing; quote it to search for it`}},
		{"empty text", `""`, []string{`Query element "\"\"" has no text`}},
		{"NUL", "web\x00", []string{`Query can not contain NUL characters`}},
		{"invalid UTF-8", "web\xff", []string{`Query must be valid UTF-8`}},
		{"too long", strings.Repeat("a", 64<<10+1), []string{`Query must be at most 65536 bytes long`}},
		{"too many elements", strings.Repeat("a ", 501), []string{`Query must have at most 500 elements`}},
		{"long word", strings.Repeat("a", 257), []string{`Query text "` + strings.Repeat("a", 200) + `…" must be at most 256 bytes long`}},
		{"long text in quotes", `-"` + strings.Repeat("é", 128) + `x"`, []string{`Query text "` + strings.Repeat("é", 100) + `…" must be at most 256 bytes long`}},
		{"long element", strings.Repeat("é", 1000) + ":b", []string{`"` + strings.Repeat("é", 100) + `…" is not a valid query param`}},
		{"all at once", "a:b:c resource_id:x foo:1 action:login action:x web resource_id:y", []string{
			`Query element "a:b:c" can only contain 1 ':'`,
			`Query param "resource_id" must be a valid uuid`,
			`"foo" is not a valid query param`,
			`Query param "action" has invalid value: "x" is not a valid value`,
			`Query param "resource_id" must be a valid uuid`,
		}},
		{"short word", "ab", []string{`Query text "ab" is too short to be searched for: it must have three letters or digits in a row`}},
		{"short words of other letters", "東京 web", []string{`Query text "東京" is too short to be searched for: it must have three letters or digits in a row`}},
		{"no letters", `"!!!!"`, []string{`Query text "!!!!" is too short to be searched for: it must have three letters or digits in a row`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := auditquery.ParseAudit(c.q)
			require.Zero(t, s)
			var problems auditquery.Problems
			require.True(t, errors.As(err, &problems))
			var details []string
			for _, p := range problems {
				require.Equal(t, "q", p.Field)
				details = append(details, p.Detail)
			}
			require.Equal(t, c.details, details)
			require.Equal(t, strings.Join(details, "; "), err.Error())
		})
	}
}

func TestWhereProblemsAre(t *testing.T) {
	for _, c := range []struct {
		q    string
		want []auditquery.Problem // without field and detail
	}{
		{"é  foo:x\tweb -action:\"b c\" resource_id:x resource_id:x", []auditquery.Problem{
			{Element: "é", Offset: 0, Length: 2},
			{Element: "foo:x", Offset: 4, Length: 5},
			{Element: `-action:"b c"`, Offset: 14, Length: 13},
			{Element: "resource_id:x", Offset: 28, Length: 13},
			{Element: "resource_id:x", Offset: 42, Length: 13},
		}},
		{`web "and more `, []auditquery.Problem{{Element: `"and more `, Offset: 4, Length: 10}}},
		{"web " + strings.Repeat("é", 300), []auditquery.Problem{{Element: strings.Repeat("é", 100) + "…", Offset: 4, Length: 600}}},
		{"web \xff\x00", []auditquery.Problem{{Offset: 4, Length: 1}, {Offset: 5, Length: 1}}},
		{"\ufffd\ufffd\xc3", []auditquery.Problem{{Offset: 6, Length: 1}}},
		{strings.Repeat("web ", 501), []auditquery.Problem{{Offset: 2000, Length: 4}}},
		{strings.Repeat("a", 64<<10+1), []auditquery.Problem{{Offset: 0, Length: 64<<10 + 1}}},
	} {
		_, err := auditquery.ParseAudit(c.q)
		var problems auditquery.Problems
		require.True(t, errors.As(err, &problems))
		for i := range problems {
			require.NotEmpty(t, problems[i].Detail)
			problems[i].Field, problems[i].Detail = "", ""
		}
		require.Equal(t, auditquery.Problems(c.want), problems)
	}
}

// What is looked for has to have a trigram. Excluded, it is looked for in no index.
func TestShortTexts(t *testing.T) {
	for text, searched := range map[string]bool{
		"a": false, "ab": false, "abc": true, "日本": false, "日本語": true, "éèê": true,
		"50%": true, "5%": false, "%5": true, "-a": true, "a-b": true, "a-": false, "%_\\": false, "a b": true,
		"\u0301\u0301\u0301": false,
	} {
		for quoted, ok := range map[string]bool{`"` + text + `"`: searched, `-"` + text + `"`: true} {
			_, err := auditquery.ParseAudit(quoted)
			require.Equal(t, ok, err == nil, "%s: %v", quoted, err)
			_, err = auditquery.ParseConnections(quoted)
			require.Equal(t, ok, err == nil, "%s: %v", quoted, err)
		}
	}
}

func TestTextsOfUsers(t *testing.T) {
	of := func(texts map[string][]uuid.UUID) string {
		r := resolved
		r.Texts = texts
		return sqlgen.When(parse(t, "web").Predicate(r)).Inline()
	}
	require.Equal(t, "(user_id = '"+uuid1+"'::uuid OR resource_target ILIKE '%web%')", of(map[string][]uuid.UUID{"web": ids(1)}))
	require.Equal(t, "resource_target ILIKE '%web%'", of(map[string][]uuid.UUID{"web": {}}))
	require.Contains(t, of(nil), "EXISTS")
	require.Equal(t, `%50\%\_\\ é%`, auditquery.LikePattern(`50%_\ é`))
}

func FuzzParseAudit(f *testing.F) {
	for _, q := range []string{
		"", "template", "-template", `"template"`, "web bob", "foo:bar", "a:b:c", ":x", "x:", "-", "--", `"`, `""`, `-""`, `""""`,
		"action:login action:logout -username:me", "username:ME", "username:\u0130", "organization:Acme",
		"organization:" + uuid1, "resource_id:" + uuid1, "request_id:x", `resource_target:"a: ""b"""`, `resource_target:""`,
		"date_from:2026-04-09 date_to:9999-12-31", `date_from:"0000-12-31T23:59:59.9999999-01:00"`, `date_to:"2026-04-09t01:02:03z"`,
		"since:24h", "since:106751d", "since:106752d", "since:1ns", "status_code:>=400", "status_code:=-1", "status_code:>= 400",
		"ip:10.1.2.3/9", "ip:0.0.0.0/0", `ip:"::ffff:10.0.0.1/97"`, `ip:"fe80::1%eth0"`, "\x00", "\xff", "50%_\\", "build_reason:autostart",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		s, err := auditquery.ParseAudit(q)
		requireSearch(t, q, s, err, auditquery.AuditLogs(), auditquery.ParseAudit)
	})
}

// requireSearch checks what parsing q gave: problems that say where they are, or a
// search that is its own text and makes statements.
func requireSearch(t *testing.T, q string, s auditquery.Search, err error, of auditquery.Log, parse func(string) (auditquery.Search, error)) {
	t.Helper()
	if err != nil {
		var problems auditquery.Problems
		require.True(t, errors.As(err, &problems))
		require.NotEmpty(t, problems)
		for _, p := range problems {
			require.True(t, 0 <= p.Offset && 0 < p.Length && p.Offset+p.Length <= len(q), "%q: %+v", q, p)
			require.True(t, strings.HasPrefix(q[p.Offset:p.Offset+p.Length], strings.TrimSuffix(p.Element, "…")))
			require.NotEmpty(t, p.Detail)
		}
		require.Zero(t, s)
		return
	}
	if text := s.String(); len(text) <= 64<<10 {
		again, err := parse(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, s, again)
		require.Equal(t, text, again.String())
	}
	p := s.Predicate(resolved)
	authorized := inOrganizations(nth(0x11), nth(0x12))
	at := auditquery.Place{Time: resolved.Now, ID: nth(9)}
	for _, page := range []auditquery.Page{{Limit: 25, Offset: 50}, {Limit: 25, From: &at}, {Limit: 25, From: &at, Newer: true}} {
		if text, args, ok := auditquery.Keys(of, authorized, p, page, 3); ok {
			requirePlaceholders(t, text, 3, len(args))
		}
	}
	if text, args, ok := auditquery.CappedCount(of, authorized, p, 2000); ok {
		requirePlaceholders(t, text, 1, len(args))
	}
	if text, args, ok := auditquery.BudgetedCount(of, authorized, p, 2000, 50_000); ok {
		requirePlaceholders(t, text, 1, len(args))
	}
}

func BenchmarkSearch(b *testing.B) {
	const q = `action:login action:logout -username:me status_code:>=400 date_from:2026-04-09 web "two words"`
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			parse(b, q)
		}
	})
	b.Run("keys and count", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := parse(b, q).Predicate(resolved)
			_, _, listed := auditquery.Keys(auditquery.AuditLogs(), sqlgen.Always(), p, auditquery.Page{Limit: 25}, 1)
			_, _, counted := auditquery.CappedCount(auditquery.AuditLogs(), sqlgen.Always(), p, 2000)
			require.True(b, listed && counted)
		}
	})
	b.Run("as many words as allowed", func(b *testing.B) {
		var words strings.Builder
		for i := range 500 {
			words.WriteString(uuid.UUID{byte(i), byte(i >> 8)}.String() + " ")
		}
		b.ReportAllocs()
		for b.Loop() {
			p := parse(b, words.String()).Predicate(resolved)
			_, _, ok := auditquery.Keys(auditquery.AuditLogs(), sqlgen.Always(), p, auditquery.Page{Limit: 25}, 1)
			require.True(b, ok)
		}
	})
}
