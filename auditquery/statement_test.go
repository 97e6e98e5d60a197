package auditquery_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/sqlgen"
)

var organization = sqlgen.Column{Name: "organization_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}

// inOrganizations is the filter of an auditor of the organizations.
func inOrganizations(in ...uuid.UUID) sqlgen.Filter {
	lits := make([]sqlgen.Literal, len(in))
	for i, v := range in {
		lits[i] = sqlgen.UUID(v)
	}
	return sqlgen.When(sqlgen.Member{Of: organization, Set: sqlgen.ListOf(organization.Type, lits)})
}

var placeholder = regexp.MustCompile(`\$(\d+)`)

// requirePlaceholders checks that the placeholders are just start, start+1, …
func requirePlaceholders(t testing.TB, text string, start, n int) {
	t.Helper()
	seen := map[int]bool{}
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		i, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		require.True(t, start <= i && i < start+n, "%s of %s", m[0], text)
		seen[i] = true
	}
	require.Len(t, seen, n, text)
}

func TestStatements(t *testing.T) {
	const (
		order  = " ORDER BY time DESC, id DESC"
		joined = " FROM unnest($1::uuid[]) AS asked(organization) JOIN audit_logs ON organization_id = organization"
		web    = "(resource_target ILIKE $%[1]d OR EXISTS (SELECT FROM users WHERE users.id = audit_logs.user_id AND users.username ILIKE $%[1]d))"
	)
	one, both := inOrganizations(nth(0x11)), inOrganizations(nth(0x12), nth(0x11))
	page := auditquery.Page{Limit: 25, Offset: 50}
	day := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	many := make([]uuid.UUID, 100)
	for i := range many {
		many[i] = nth(byte(0x20 + i))
	}
	for _, c := range []struct {
		name       string
		authorized sqlgen.Filter
		q          string
		page       auditquery.Page
		keys       string
		keysArgs   []any
		count      string
		countArgs  []any
	}{
		{
			name: "all", authorized: sqlgen.Always(), page: auditquery.Page{Limit: 25},
			keys: "SELECT id, time FROM audit_logs" + order + " LIMIT $1", keysArgs: []any{int64(25)},
			count: "SELECT count(*) FROM (SELECT 1 FROM audit_logs LIMIT 2001) AS capped",
		},
		{name: "none", authorized: sqlgen.Never(), page: page},
		{name: "none, with a search", authorized: sqlgen.Never(), q: "action:login", page: page},
		{name: "all, nobody meant", authorized: sqlgen.Always(), q: "username:nobody", page: page},
		{
			name: "one organization", authorized: one, page: page,
			keys: "SELECT id, time FROM audit_logs WHERE organization_id = $1" + order + " LIMIT $2 OFFSET $3", keysArgs: []any{nth(0x11), int64(25), int64(50)},
			count: "SELECT count(*) FROM (SELECT 1 FROM audit_logs WHERE organization_id = $1 LIMIT 2001) AS capped", countArgs: []any{nth(0x11)},
		},
		{
			name: "several organizations", authorized: both, page: page,
			keys: "SELECT k.id, k.time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT id, time FROM audit_logs WHERE organization_id = o.id" + order + " LIMIT $2" +
				") AS k ORDER BY k.time DESC, k.id DESC LIMIT $3 OFFSET $4",
			keysArgs: []any{ids(0x11, 0x12), int64(75), int64(25), int64(50)},
			count:    "SELECT count(*) FROM (SELECT 1" + joined + " LIMIT 2001) AS capped", countArgs: []any{ids(0x11, 0x12)},
		},
		{
			name: "many organizations", authorized: inOrganizations(many...), q: "action:login", page: auditquery.Page{Limit: 25},
			keys:      "SELECT id, time FROM audit_logs WHERE (organization_id IN (SELECT unnest($1::uuid[]))) IS TRUE AND action = $2" + order + " LIMIT $3",
			keysArgs:  []any{many, "login", int64(25)},
			count:     "SELECT count(*) FROM (SELECT 1 FROM audit_logs WHERE (organization_id IN (SELECT unnest($1::uuid[]))) IS TRUE AND action = $2 LIMIT 2001) AS capped",
			countArgs: []any{many, "login"},
		},
		{
			name: "many organizations, everything", authorized: inOrganizations(many...), page: auditquery.Page{Limit: 25},
			keys: "SELECT k.id, k.time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT id, time FROM audit_logs WHERE organization_id = o.id" + order + " LIMIT $2" +
				") AS k ORDER BY k.time DESC, k.id DESC LIMIT $3",
			keysArgs: []any{many, int64(25), int64(25)},
			count: "SELECT count(*) FROM (SELECT 1 FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT FROM audit_logs WHERE organization_id = o.id LIMIT 2001) AS of_one LIMIT 2001) AS capped",
			countArgs: []any{many},
		},
		{
			name: "several organizations, with a search", authorized: both, q: "status_code:>=400 web", page: auditquery.Page{Limit: 25},
			keys:     "SELECT id, time FROM audit_logs WHERE organization_id = ANY($1) AND status_code >= $2 AND " + fmt.Sprintf(web, 3) + order + " LIMIT $4",
			keysArgs: []any{ids(0x11, 0x12), int64(400), "%web%", int64(25)},
			count: "SELECT count(*) FROM (SELECT 1 FROM audit_logs WHERE organization_id = ANY($1) AND status_code >= $2 AND " +
				fmt.Sprintf(web, 3) + " LIMIT 2001) AS capped",
			countArgs: []any{ids(0x11, 0x12), int64(400), "%web%"},
		},
		{
			name: "several organizations, with what has an index behind them, and what has none", authorized: both, q: "action:login -resource_type:template",
			page:      auditquery.Page{Limit: 25},
			keys:      "SELECT id, time FROM audit_logs WHERE organization_id = ANY($1) AND resource_type <> $2 AND action = $3" + order + " LIMIT $4",
			keysArgs:  []any{ids(0x11, 0x12), "template", "login", int64(25)},
			count:     "SELECT count(*) FROM (SELECT 1" + joined + " WHERE resource_type <> $2 AND action = $3 LIMIT 2001) AS capped",
			countArgs: []any{ids(0x11, 0x12), "template", "login"},
		},
		{
			name: "several organizations, with what has an index behind them alone", authorized: both, q: "action:login date_from:2026-04-01", page: auditquery.Page{Limit: 25},
			keys: "SELECT k.id, k.time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				`SELECT id, time FROM audit_logs WHERE organization_id = o.id AND action = $2 AND "time" >= $3` + order + " LIMIT $4" +
				") AS k ORDER BY k.time DESC, k.id DESC LIMIT $5",
			keysArgs:  []any{ids(0x11, 0x12), "login", day, int64(25), int64(25)},
			count:     "SELECT count(*) FROM (SELECT 1" + joined + ` WHERE action = $2 AND "time" >= $3 LIMIT 2001) AS capped`,
			countArgs: []any{ids(0x11, 0x12), "login", day},
		},
		{
			name: "several organizations, with what finds few rows of each, and what is tested on them", authorized: both,
			q: "resource_id:a0000000-0000-0000-0000-000000000005 -action:login", page: auditquery.Page{Limit: 25},
			keys: "SELECT k.id, k.time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT id, time FROM audit_logs WHERE organization_id = o.id AND resource_id = $2 AND action <> $3" + order + " LIMIT $4" +
				") AS k ORDER BY k.time DESC, k.id DESC LIMIT $5",
			keysArgs:  []any{ids(0x11, 0x12), nth(5), "login", int64(25), int64(25)},
			count:     "SELECT count(*) FROM (SELECT 1" + joined + " WHERE resource_id = $2 AND action <> $3 LIMIT 2001) AS capped",
			countArgs: []any{ids(0x11, 0x12), nth(5), "login"},
		},
		{
			name: "several organizations, of which the search wants one", authorized: both, q: "organization:Acme action:login", page: auditquery.Page{Limit: 25},
			keys:     "SELECT id, time FROM audit_logs WHERE organization_id = $1 AND action = $2" + order + " LIMIT $3",
			keysArgs: []any{nth(0x11), "login", int64(25)},
			count:    "SELECT count(*) FROM (SELECT 1 FROM audit_logs WHERE organization_id = $1 AND action = $2 LIMIT 2001) AS capped", countArgs: []any{nth(0x11), "login"},
		},
		{name: "another's organization", authorized: one, q: "organization:two", page: page},
		{
			name: "all, with a text", authorized: sqlgen.Always(), q: "web", page: auditquery.Page{Limit: 25},
			keys: "SELECT id, time FROM audit_logs WHERE " + fmt.Sprintf(web, 1) + order + " LIMIT $2", keysArgs: []any{"%web%", int64(25)},
			count: "SELECT count(*) FROM (SELECT 1 FROM audit_logs WHERE " + fmt.Sprintf(web, 1) + " LIMIT 2001) AS capped", countArgs: []any{"%web%"},
		},
		{
			name: "all, in two organizations", authorized: sqlgen.Always(), q: "organization:two", page: auditquery.Page{Limit: 1},
			keys: "SELECT k.id, k.time FROM unnest($1::uuid[]) AS o(id) CROSS JOIN LATERAL (" +
				"SELECT id, time FROM audit_logs WHERE organization_id = o.id" + order + " LIMIT $2" +
				") AS k ORDER BY k.time DESC, k.id DESC LIMIT $3",
			keysArgs: []any{ids(0x12, 0x13), int64(1), int64(1)},
			count:    "SELECT count(*) FROM (SELECT 1" + joined + " LIMIT 2001) AS capped", countArgs: []any{ids(0x12, 0x13)},
		},
		{
			name: "too deep for each organization", authorized: both, page: auditquery.Page{Limit: 25, Offset: 6_000_000},
			keys:     "SELECT id, time FROM audit_logs WHERE organization_id = ANY($1)" + order + " LIMIT $2 OFFSET $3",
			keysArgs: []any{ids(0x11, 0x12), int64(25), int64(6_000_000)},
			count:    "SELECT count(*) FROM (SELECT 1" + joined + " LIMIT 2001) AS capped", countArgs: []any{ids(0x11, 0x12)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse(t, c.q).Predicate(resolved)
			text, args, ok := auditquery.Keys(auditquery.AuditLogs(), c.authorized, p, c.page, 1)
			require.Equal(t, c.keys, text)
			require.Equal(t, c.keysArgs, args)
			require.Equal(t, c.keys != "", ok)
			text, args, ok = auditquery.CappedCount(auditquery.AuditLogs(), c.authorized, p, 2000)
			require.Equal(t, c.count, text)
			require.Equal(t, c.countArgs, args)
			require.Equal(t, c.count != "", ok)
		})
	}
}

func TestKeysEdges(t *testing.T) {
	keys := func(f sqlgen.Filter, p sqlgen.Predicate, page auditquery.Page, start int) string {
		text, _, ok := auditquery.Keys(auditquery.AuditLogs().In("audit.logs"), f, p, page, start)
		require.Equal(t, text != "", ok)
		return text
	}
	page := auditquery.Page{Limit: 25}
	require.Empty(t, keys(sqlgen.Always(), sqlgen.True, auditquery.Page{}, 1), "no limit, no rows")
	require.Empty(t, keys(sqlgen.Always(), nil, page, 1), "no predicate fails closed")
	require.Empty(t, keys(sqlgen.Filter{}, sqlgen.True, page, 1), "the zero filter")
	require.Equal(t, "SELECT id, time FROM audit.logs AS audit_logs WHERE organization_id = $7 ORDER BY time DESC, id DESC LIMIT $8",
		keys(inOrganizations(nth(1)), sqlgen.True, auditquery.Page{Limit: 25, Offset: -1}, 7))
	require.Contains(t, keys(inOrganizations(ids(1, 2)...), sqlgen.True, auditquery.Page{Limit: 25, Offset: math.MaxInt}, 1), "= ANY($1)")

	// An array that came as it is may hold an id twice; its rows may not come twice.
	twice := sqlgen.Member{Of: organization, Set: sqlgen.Literal{Type: organization.Type.ArrayOf(), Value: ids(2, 1, 2)}}
	_, args, ok := auditquery.Keys(auditquery.AuditLogs(), sqlgen.Always(), twice, page, 1)
	require.True(t, ok)
	require.Equal(t, ids(1, 2), args[0])

	// Conditions that mention several organizations, but not of every row.
	either := sqlgen.Or{inOrganizations(ids(1, 2)...).Predicate(), sqlgen.Eq(
		sqlgen.Column{Name: "status_code", Type: sqlgen.Type{Kind: sqlgen.KindInt}, NotNull: true}, sqlgen.Int(200))}
	require.NotContains(t, keys(sqlgen.Always(), either, page, 1), "LATERAL")
	require.NotContains(t, keys(sqlgen.Always(), parse(t, "-organization:two").Predicate(resolved), page, 1), "LATERAL")
}

func TestCappedCountEdges(t *testing.T) {
	for _, limit := range []int{0, -1, math.MaxInt} {
		text, _, ok := auditquery.CappedCount(auditquery.AuditLogs(), inOrganizations(nth(1)), sqlgen.True, limit)
		require.True(t, ok)
		require.Equal(t, "SELECT count(*) FROM audit_logs WHERE organization_id = $1", text)
	}
	_, _, ok := auditquery.CappedCount(auditquery.AuditLogs(), sqlgen.Always(), nil, 10)
	require.False(t, ok, "no predicate fails closed")
}
