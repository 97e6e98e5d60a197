package rls_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rls"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const (
	ann, bob   = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
	orgA, orgB = "aaaaaaaa-1111-4000-8000-000000000001", "bbbbbbbb-1111-4000-8000-000000000002"
)

// policy allows to read in one's organizations and what is not secret, to write one's
// own, and to delete what is not locked.
const policy = `package authz

allow if {
	input.action == "read"
	input.object.org in readable
}

allow if {
	input.action in {"read", "edit"}
	input.object.owner == input.subject.id
}

allow if {
	input.action == "delete"
	not input.object.title == input.subject.locked
	input.object.org in readable
}

readable contains org if some org in input.subject.orgs
`

const schema = `
resources:
  document:
    table: app.documents
    fields:
      id: {column: id, type: int, not_null: true}
      org: {column: organization_id, type: uuid}
      owner: {column: owner_id, type: uuid}
      title: {column: title, type: text}
params:
  input.subject.id: text
  input.subject.locked: text
  data.authz.readable: set(text)
`

const table = `
CREATE SCHEMA app;
CREATE TABLE app.documents (id bigint PRIMARY KEY, organization_id uuid, owner_id uuid, title text);
INSERT INTO app.documents VALUES (1, '` + orgA + `', '` + ann + `', 'one'), (2, '` + orgA + `', '` + bob + `', ''), (3, '` + orgB + `', '` + bob + `', 'three'), (4, NULL, NULL, NULL);
CREATE INDEX ON app.documents (organization_id);
`

func newEngine(t testing.TB, policy, schema string) *rowfence.Engine {
	t.Helper()
	e, err := rowfence.New(t.Context(), rowfence.Config{Policies: fstest.MapFS{"p.rego": {Data: []byte(policy)}}, Schema: []byte(schema)})
	require.NoError(t, err)
	return e
}

func subject(t testing.TB, id, locked string, orgs ...string) *rowfence.Subject {
	t.Helper()
	if orgs == nil {
		orgs = []string{}
	}
	s, err := rowfence.NewSubject(map[string]any{"id": id, "locked": locked, "orgs": orgs})
	require.NoError(t, err)
	return s
}

func target(action string) rls.Target { return rls.Target{Resource: "document", Action: action} }

// condition is made as the command makes it, of what is known of all requests.
func condition(t testing.TB, e *rowfence.Engine, target rls.Target) *rls.Condition {
	t.Helper()
	plan, err := e.Plan(target.Resource)
	require.NoError(t, err)
	template, err := plan.Template(t.Context(), map[string]any{"action": target.Action})
	require.NoError(t, err)
	c, err := rls.NewCondition(template, target)
	require.NoError(t, err)
	return c
}

// world is a database with the table, a role and its policies.
type world struct {
	engine   *rowfence.Engine
	db       *pgxpool.Pool
	policies *rls.Policies
	role     string
}

var roles int

func newWorld(t *testing.T, o rls.Options) *world {
	t.Helper()
	roles++
	w := &world{engine: newEngine(t, policy, schema), db: pgtest.New(t), role: fmt.Sprintf("App %d", roles)}
	o.Role, o.CreateRole = w.role, true
	resource := compilerResource(t, w.engine)
	var err error
	w.policies, err = rls.NewPolicies(resource, map[rls.Command]*rls.Condition{
		rls.Select: condition(t, w.engine, target("read")),
		rls.Insert: condition(t, w.engine, target("edit")),
		rls.Update: condition(t, w.engine, target("edit")),
		rls.Delete: condition(t, w.engine, target("delete")),
	}, o)
	require.NoError(t, err)
	w.exec(t, table+w.policies.Create()+fmt.Sprintf(`GRANT USAGE ON SCHEMA app TO "%s"`, w.role))
	t.Cleanup(func() {
		_, err := w.db.Exec(context.Background(), fmt.Sprintf(`DROP OWNED BY "%[1]s"; DROP ROLE IF EXISTS "%[1]s"`, w.role))
		if err != nil && !strings.Contains(err.Error(), "does not exist") {
			t.Error(err)
		}
	})
	return w
}

func compilerResource(t testing.TB, e *rowfence.Engine) *compiler.Resource {
	t.Helper()
	plan, err := e.Plan("document")
	require.NoError(t, err)
	return plan.Resource()
}

func (w *world) exec(t testing.TB, sql string) {
	t.Helper()
	_, err := w.db.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// as does something in a transaction of the role, which is undone.
func (w *world) as(t testing.TB, s *rowfence.Subject, actions []string, do func(tx pgx.Tx)) {
	t.Helper()
	tx, err := w.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	var targets []rls.Target
	for _, a := range actions {
		targets = append(targets, target(a))
	}
	if s != nil {
		settings, err := rls.For(t.Context(), w.engine, s, targets...)
		require.NoError(t, err)
		require.NoError(t, settings.Set(t.Context(), tx))
	}
	_, err = tx.Exec(t.Context(), fmt.Sprintf(`SET LOCAL ROLE "%s"`, w.role))
	require.NoError(t, err)
	do(tx)
}

func ids(t testing.TB, tx pgx.Tx, query string) []int64 {
	t.Helper()
	rows, err := tx.Query(t.Context(), query)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return found
}

const all = "SELECT id FROM app.documents ORDER BY id"

func TestSelect(t *testing.T) {
	w := newWorld(t, rls.Options{})
	for _, test := range []struct {
		s    *rowfence.Subject
		want []int64
	}{
		{subject(t, ann, "x", orgA), []int64{1, 2}},
		{subject(t, bob, "x", orgA), []int64{1, 2, 3}},
		{subject(t, bob, "x"), []int64{2, 3}},
		{subject(t, "me", "x", "not", "a uuid"), []int64{}},
		{subject(t, "", "", strings.ToUpper(orgA)), []int64{}},
		{nil, []int64{}},
	} {
		w.as(t, test.s, []string{"read"}, func(tx pgx.Tx) {
			require.Equal(t, test.want, ids(t, tx, all))
			require.NoError(t, rls.Active(t.Context(), tx, "app.documents"))
		})
	}
	w.as(t, subject(t, bob, "x", orgA), []string{"edit"}, func(tx pgx.Tx) { // settings of another action
		require.Empty(t, ids(t, tx, all))
	})
}

// The negation of what is not set must not be true; nor must that of what was set in a
// transaction before, which PostgreSQL leaves empty.
func TestUnset(t *testing.T) {
	w := newWorld(t, rls.Options{})
	s := subject(t, ann, "", orgA)
	settings, err := rls.For(t.Context(), w.engine, s, target("read"), target("delete"))
	require.NoError(t, err)
	statement, args := settings.SQL()
	require.Len(t, args, strings.Count(statement, "set_config"))
	conn, err := w.db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	inRole := func(before string, args ...any) (deleted int64) {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		if before != "" {
			_, err = tx.Exec(t.Context(), before, args...)
			require.NoError(t, err)
		}
		_, err = tx.Exec(t.Context(), fmt.Sprintf(`SET LOCAL ROLE "%s"`, w.role))
		require.NoError(t, err)
		tag, err := tx.Exec(t.Context(), "DELETE FROM app.documents")
		require.NoError(t, err)
		return tag.RowsAffected()
	}
	require.Zero(t, inRole(""))
	require.Equal(t, int64(1), inRole(statement, args...), "all of the organization but what is called ''")
	require.Zero(t, inRole(""), "the settings are '' now")
	for i, name := range settings.Names() { // each of them alone is needed
		require.Equal(t, int64(1), inRole(statement, args...))
		if strings.Contains(name, ".read") {
			continue // to delete without a condition, nothing is read
		}
		less := append([]any{}, args...)
		less[i] = ""
		require.Zero(t, inRole(statement, less...), name)
	}
}

func TestWrites(t *testing.T) {
	w := newWorld(t, rls.Options{})
	s := subject(t, bob, "three", orgA, orgB)
	denied := func(tx pgx.Tx, sql string) {
		t.Helper()
		nested, err := tx.Begin(t.Context())
		require.NoError(t, err)
		_, err = nested.Exec(t.Context(), sql)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "42501", refused.Code, refused.Message)
		require.NoError(t, nested.Rollback(t.Context()))
	}
	rows := func(tx pgx.Tx, sql string) int64 {
		t.Helper()
		tag, err := tx.Exec(t.Context(), sql)
		require.NoError(t, err)
		return tag.RowsAffected()
	}
	w.as(t, s, []string{"read", "edit", "delete"}, func(tx pgx.Tx) {
		require.Equal(t, int64(1), rows(tx, "INSERT INTO app.documents VALUES (10, '"+orgA+"', '"+bob+"', 'new')"))
		denied(tx, "INSERT INTO app.documents VALUES (11, '"+orgA+"', '"+ann+"', 'new')")
		denied(tx, "INSERT INTO app.documents VALUES (11, '"+orgA+"', NULL, 'new')")
		require.Equal(t, int64(3), rows(tx, "UPDATE app.documents SET title = title || '!'"), "2, 3 and 10")
		denied(tx, "UPDATE app.documents SET owner_id = '"+ann+"'") // the new row is another's
		require.Zero(t, rows(tx, "UPDATE app.documents SET title = 'x' WHERE id = 1"))
		require.Equal(t, int64(1), rows(tx, "DELETE FROM app.documents WHERE id = 1"))
		denied(tx, "TRUNCATE app.documents")
	})
	w.as(t, s, []string{"read", "delete"}, func(tx pgx.Tx) {
		require.Equal(t, int64(2), rows(tx, "DELETE FROM app.documents"), "but three, which is locked")
	})
	w.as(t, s, []string{"read"}, func(tx pgx.Tx) { // without the settings to edit
		require.Zero(t, rows(tx, "UPDATE app.documents SET title = 'x'"))
		denied(tx, "INSERT INTO app.documents VALUES (10, '"+orgA+"', '"+bob+"', 'new')")
	})
}

// Who is above row-level security sees all: PostgreSQL's superusers, and the table's
// owner unless it is forced.
func TestWhoIsAbove(t *testing.T) {
	for _, force := range []bool{false, true} {
		w := newWorld(t, rls.Options{Force: force})
		tx, err := w.db.Begin(t.Context())
		require.NoError(t, err)
		require.Len(t, ids(t, tx, all), 4, "a superuser")
		require.ErrorContains(t, rls.Active(t.Context(), tx, "app.documents"), "row-level security of app.documents is not active for role")
		require.NoError(t, tx.Rollback(t.Context()))

		w.exec(t, fmt.Sprintf(`GRANT CREATE ON SCHEMA app TO "%[1]s"; ALTER TABLE app.documents OWNER TO "%[1]s"`, w.role))
		w.as(t, nil, nil, func(tx pgx.Tx) {
			err := rls.Active(t.Context(), tx, "app.documents")
			if force {
				require.NoError(t, err)
				require.Empty(t, ids(t, tx, all), "the owner, forced")
			} else {
				require.Error(t, err)
				require.Len(t, ids(t, tx, all), 4, "the owner")
			}
		})
		w.exec(t, "ALTER TABLE app.documents OWNER TO CURRENT_USER")
	}
}

func TestDrop(t *testing.T) {
	w := newWorld(t, rls.Options{Force: true})
	w.exec(t, `CREATE POLICY other ON app.documents USING (id = 4)`)
	state := "SELECT relrowsecurity::int + relforcerowsecurity::int + (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) FROM pg_class AS c WHERE oid = 'app.documents'::regclass"
	number := func() (n int64) {
		require.NoError(t, w.db.QueryRow(t.Context(), state).Scan(&n))
		return n
	}
	require.Equal(t, int64(7), number())
	revoke := fmt.Sprintf(`REVOKE USAGE ON SCHEMA app FROM "%s";`, w.role)
	w.exec(t, revoke+w.policies.Drop())
	require.Equal(t, int64(3), number(), "the other policy goes on, and with it the row-level security")
	w.exec(t, "DROP POLICY other ON app.documents; "+w.policies.Create()+revoke+w.policies.Drop())
	require.Zero(t, number())
	var there bool
	require.NoError(t, w.db.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", w.role).Scan(&there))
	require.False(t, there)
}

// The settings for a policy say nothing to what the table was given of another one.
func TestPolicyChanged(t *testing.T) {
	w := newWorld(t, rls.Options{})
	w.engine = newEngine(t, strings.ReplaceAll(policy, `"read", "edit"`, `"edit"`), schema)
	w.as(t, subject(t, ann, "x", orgA), []string{"read"}, func(tx pgx.Tx) { require.Empty(t, ids(t, tx, all)) })
	w.as(t, subject(t, ann, "x", orgA), []string{"edit", "read"}, func(tx pgx.Tx) { require.Empty(t, ids(t, tx, all)) })
}

func TestSetRefuses(t *testing.T) {
	w := newWorld(t, rls.Options{})
	settings, err := rls.For(t.Context(), w.engine, subject(t, ann, "x", orgA), target("read"))
	require.NoError(t, err)
	tx, err := w.db.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, settings.Set(t.Context(), tx))
	_, err = tx.Exec(t.Context(), "COMMIT") // beside pgx, which knows all the same
	require.NoError(t, err)
	require.ErrorIs(t, settings.Set(t.Context(), tx), rls.ErrNoTransaction)
	_ = tx.Rollback(t.Context())
	require.ErrorIs(t, settings.Set(t.Context(), nil), rls.ErrNoTransaction)
	require.ErrorIs(t, settings.SetTx(t.Context(), nil), rls.ErrNoTransaction)
	var none *rls.Settings
	require.Error(t, none.Set(t.Context(), tx))
	require.Error(t, new(rls.Settings).SetTx(t.Context(), nil))

	_, err = rls.For(t.Context(), w.engine, subject(t, ann, "x"))
	require.ErrorContains(t, err, "there is none")
	_, err = rls.For(t.Context(), w.engine, nil, target("read"))
	require.Error(t, err)
	_, err = rls.For(t.Context(), w.engine, subject(t, ann, "x"), rls.Target{Resource: "nope", Action: "read"})
	require.Equal(t, compiler.CodeSchemaResource, rowfence.Errors(err)[0].Code)
	s, err := rowfence.NewSubject(map[string]any{"id": ann, "orgs": []string{}})
	require.NoError(t, err)
	_, err = rls.For(t.Context(), w.engine, s, target("read"))
	require.Equal(t, compiler.CodeParam, rowfence.Errors(err)[0].Code)
	_, err = rls.For(t.Context(), w.engine, subject(t, ann, "a\x00b", orgA), target("delete"))
	require.Equal(t, compiler.CodeParam, rowfence.Errors(err)[0].Code)
}

func TestSetTx(t *testing.T) {
	w := newWorld(t, rls.Options{})
	db, err := sql.Open("pgx", w.db.Config().ConnString())
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	settings, err := rls.For(t.Context(), w.engine, subject(t, bob, "x"), target("read"))
	require.NoError(t, err)
	require.NoError(t, settings.SetTx(t.Context(), tx))
	_, err = tx.ExecContext(t.Context(), fmt.Sprintf(`SET LOCAL ROLE "%s"`, w.role))
	require.NoError(t, err)
	var n int
	require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT count(*) FROM app.documents").Scan(&n))
	require.Equal(t, 2, n)
	require.NoError(t, tx.Rollback())
	require.ErrorIs(t, settings.SetTx(t.Context(), tx), sql.ErrTxDone)
}

// An index serves a uuid column, whatever the parameter's type.
func TestIndex(t *testing.T) {
	w := newWorld(t, rls.Options{})
	w.exec(t, "CREATE INDEX ON app.documents (owner_id); INSERT INTO app.documents SELECT i, gen_random_uuid(), gen_random_uuid(), 'x' FROM generate_series(100, 20000) AS i; ANALYZE app.documents")
	w.as(t, subject(t, bob, "x", orgA), []string{"read"}, func(tx pgx.Tx) {
		rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+all)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		require.Contains(t, plan, "Index Cond: (organization_id = ANY ($", plan)
		require.NotContains(t, plan, "organization_id)::text", plan)
	})
}
