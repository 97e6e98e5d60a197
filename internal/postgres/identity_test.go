package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// id makes uuids that are easy to read and order.
func id(n byte) uuid.UUID { return uuid.UUID{15: n} }

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func addSession(t *testing.T, pool *pgxpool.Pool, token string, user uuid.UUID, expires time.Time, scope any) {
	t.Helper()
	exec(t, pool, "INSERT INTO sessions (token_hash, user_id, expires_at, scope) VALUES ($1, $2, $3, $4)",
		audit.TokenHash(token), user, expires, scope)
}

var (
	ann, bob, cid    = id(1), id(2), id(3)
	orgA, orgB, orgC = id(0xa1), id(0xa2), id(0xa3)
	groupG           = id(0xb1)
)

// purge deletes rows of a log, as retention does.
func purge(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL rowfence.maintenance = 'on'"); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), sql, args...)
		return err
	}))
}

// people has ann, an auditor of A who is also a member of B and in the group G
// of A; bob, the owner; and cid, who is suspended.
func people(t *testing.T) (*pgxpool.Pool, *postgres.DB) {
	t.Helper()
	pool := migrated(t)
	exec(t, pool, `INSERT INTO users (id, username, email, name) VALUES ($1, 'Ann', 'Ann@example.com', 'Ann A.')`, ann)
	exec(t, pool, `INSERT INTO users (id, username, roles) VALUES ($1, 'bob', '{owner}')`, bob)
	exec(t, pool, `INSERT INTO users (id, username, status) VALUES ($1, 'cid', 'suspended')`, cid)
	exec(t, pool, `INSERT INTO organizations (id, name, display_name) VALUES ($1, 'a', 'Org A'), ($2, 'b', ''), ($3, 'c', '')`, orgA, orgB, orgC)
	exec(t, pool, `INSERT INTO organization_members (organization_id, user_id, roles)
		VALUES ($1, $3, '{organization-auditor}'), ($2, $3, '{}')`, orgA, orgB, ann)
	exec(t, pool, `INSERT INTO groups (id, organization_id, name) VALUES ($1, $2, 'g')`, groupG, orgA)
	exec(t, pool, `INSERT INTO group_members VALUES ($1, $2)`, groupG, ann)
	return pool, postgres.NewDB(pool)
}

func TestSessionOfAnAuditor(t *testing.T) {
	pool, db := people(t)
	addSession(t, pool, "t", ann, time.Now().Add(time.Hour), nil)
	s, err := db.Session(t.Context(), "t")
	require.NoError(t, err)
	read := func(resource string) audit.Permission {
		return audit.Permission{ResourceType: resource, Action: "read"}
	}
	all := []audit.Permission{{ResourceType: "*", Action: "*"}}
	none := []audit.Permission{}
	require.Equal(t, audit.Subject{
		ID: ann,
		Roles: []audit.Role{
			{Site: none, User: all, Orgs: []uuid.UUID{}, Org: none, Member: none},
			{Orgs: []uuid.UUID{orgA}, Org: []audit.Permission{read("audit_log"), read("connection_log")}, Member: none},
			{Orgs: []uuid.UUID{orgA, orgB}, Org: none, Member: all},
		},
		Groups: []uuid.UUID{orgA, orgB, groupG},
		Scope:  audit.Unlimited(),
	}, s.Subject)
}

func TestRoleLevelsDoNotLeak(t *testing.T) {
	pool, db := people(t)
	addSession(t, pool, "t", ann, time.Now().Add(time.Hour), nil)
	// A site role held in an organization gives nothing of the site, and the
	// other way round.
	exec(t, pool, "UPDATE organization_members SET roles = '{owner}' WHERE organization_id = $1", orgA)
	exec(t, pool, "UPDATE users SET roles = '{organization-admin}' WHERE id = $1", ann)
	s, err := db.Session(t.Context(), "t")
	require.NoError(t, err)
	for _, r := range s.Subject.Roles {
		require.Empty(t, r.Site)
		require.True(t, len(r.Org) == 0 || len(r.Orgs) == 0)
	}
	// An organization's own role is known in that organization only.
	exec(t, pool, "UPDATE users SET roles = '{}' WHERE id = $1", ann)
	exec(t, pool, "UPDATE organization_members SET roles = '{own}' WHERE organization_id = $1", orgA)
	exec(t, pool, `INSERT INTO roles (name, organization_id, permissions) VALUES ('own', $1,
		'{"org": [{"negate": true, "resource_type": "*", "action": "*"}]}')`, orgA)
	s, err = db.Session(t.Context(), "t")
	require.NoError(t, err)
	require.Equal(t, []audit.Permission{{Negate: true, ResourceType: "*", Action: "*"}}, s.Subject.Roles[1].Org)
	require.Equal(t, []uuid.UUID{orgA}, s.Subject.Roles[1].Orgs)
	exec(t, pool, "UPDATE organization_members SET roles = '{own}' WHERE organization_id = $1", orgB)
	_, err = db.Session(t.Context(), "t")
	require.ErrorContains(t, err, `the role "own", which is not defined`)
}

func TestSessionScope(t *testing.T) {
	pool, db := people(t)
	later := time.Now().Add(time.Hour)
	addSession(t, pool, "two", bob, later, `{"site": [{"negate": false, "resource_type": "*", "action": "*"}],
		"allow_list": [{"type": "audit_log", "id": "00000000-0000-0000-0000-000000000001"}]}`)
	addSession(t, pool, "empty", bob, later, `{}`)
	addSession(t, pool, "misspelt", bob, later, `{"allowlist": []}`)
	s, err := db.Session(t.Context(), "two")
	require.NoError(t, err)
	require.Equal(t, []audit.Allowed{{Type: "audit_log", ID: id(1).String()}}, s.Subject.Scope.AllowList)
	s, err = db.Session(t.Context(), "empty")
	require.NoError(t, err)
	require.Equal(t, audit.Scope{}, s.Subject.Scope)
	_, err = db.Session(t.Context(), "misspelt")
	require.ErrorContains(t, err, "scope")
	_, err = pool.Exec(t.Context(), "UPDATE sessions SET scope = 'null'::jsonb")
	require.Error(t, err, "the JSON value null would read as unlimited")
}

func TestNoSession(t *testing.T) {
	pool, db := people(t)
	addSession(t, pool, "old", ann, time.Now().Add(-time.Second), nil)
	addSession(t, pool, "suspended", cid, time.Now().Add(time.Hour), nil)
	for _, token := range []string{"", "unknown", "old", "suspended", "\x00", strings.Repeat("x", 1<<20)} {
		_, err := db.Session(t.Context(), token)
		require.ErrorIs(t, err, audit.ErrNoSession)
	}
}

func TestResolve(t *testing.T) {
	_, db := people(t)
	r, err := db.Resolve(t.Context(), bob, auditquery.Names{
		Usernames:     []string{"ann", "nobody"},
		Emails:        []string{"ann@EXAMPLE.com", ""},
		Organizations: []string{"A", "c"},
	})
	require.NoError(t, err)
	for _, none := range [][]uuid.UUID{r.Usernames["nobody"], r.Emails[""]} {
		require.Len(t, none, 1, "an id that nothing has")
		require.NotContains(t, []uuid.UUID{ann, bob, cid, {}}, none[0])
	}
	delete(r.Usernames, "nobody")
	delete(r.Emails, "")
	require.Equal(t, auditquery.Resolved{
		Me:            bob,
		Usernames:     map[string][]uuid.UUID{"ann": {ann}},
		Emails:        map[string][]uuid.UUID{"ann@EXAMPLE.com": {ann}},
		Organizations: map[string][]uuid.UUID{"A": {orgA}, "c": {orgC}},
	}, r)
	// Otherwise who looks for a name and excludes it in another spelling would know by the
	// time it takes whether somebody has it.
	for _, q := range []string{"username:%s -username:%s", "email:%s -email:%s", "organization:%s -organization:%s"} {
		search, err := auditquery.ParseAudit(fmt.Sprintf(q, "none-SUCH", "None-such"))
		require.NoError(t, err)
		r, err := db.Resolve(t.Context(), bob, search.Names())
		require.NoError(t, err)
		require.Equal(t, sqlgen.ResultNever, sqlgen.When(search.Predicate(r)).Result(), q)
	}
	r, err = db.Resolve(t.Context(), bob, auditquery.Names{})
	require.NoError(t, err)
	require.Equal(t, bob, r.Me)
}

// A name is found as it is written, though the database makes another lower case of it.
func TestResolveAsWritten(t *testing.T) {
	pool, db := people(t)
	exec(t, pool, "INSERT INTO users (id, username) VALUES ($1, 'İstanbul'), ($2, 'ΣΑΣ')", id(52), id(53))
	search, err := auditquery.ParseAudit("username:İstanbul username:ΣΑΣ")
	require.NoError(t, err)
	r, err := db.Resolve(t.Context(), ann, search.Names())
	require.NoError(t, err)
	require.Equal(t, map[string][]uuid.UUID{"İstanbul": {id(52)}, "ΣΑΣ": {id(53)}}, r.Usernames)
}

func TestResolveTexts(t *testing.T) {
	pool, db := people(t)
	exec(t, pool, `INSERT INTO users (username) SELECT 'many-' || i FROM generate_series(1, $1) AS i`, auditquery.MaxUsersOfText+1)
	exec(t, pool, `INSERT INTO users (id, username) VALUES ($1, '50%_'), ($2, '500x')`, id(50), id(51))
	r, err := db.Resolve(t.Context(), ann, auditquery.Names{Usernames: []string{"bob"}, Texts: []string{"ANN", "nobody", "50%", "many-", "many-1000"}})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{bob}, r.Usernames["bob"])
	require.Equal(t, []uuid.UUID{ann}, r.Texts["ANN"])
	require.Equal(t, []uuid.UUID{id(50)}, r.Texts["50%"])
	require.Len(t, r.Texts["many-1000"], 1)
	require.NotNil(t, r.Texts["nobody"], "nobody is known to have it")
	require.Empty(t, r.Texts["nobody"])
	require.NotContains(t, r.Texts, "many-", "they are too many to list")
	many := make([]string, 100)
	for i := range many {
		many[i] = strings.Repeat("x", i+3)
	}
	r, err = db.Resolve(t.Context(), ann, auditquery.Names{Texts: many})
	require.NoError(t, err)
	require.Less(t, len(r.Texts), len(many))
}
