package pgxfilter_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/pgxfilter"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const (
	orgA = "a0000000-0000-4000-8000-00000000000a"
	orgB = "b0000000-0000-4000-8000-00000000000b"
	orgC = "c0000000-0000-4000-8000-00000000000c"
)

const policy = `package authz

allow if {
	input.action in {"read", "update"}
	input.object.org in input.subject.orgs
}

allow if {
	input.action == "read"
	input.subject.auditor
}
`

const schema = `
params: {input.subject.orgs: "text[]", input.subject.auditor: bool}
resources:
  document: {table: documents, fields: {org: {column: org_id, type: uuid}}}
  folder: {table: folders, fields: {org: {column: org_id, type: uuid}}}
`

const tables = `
CREATE TABLE folders (id int PRIMARY KEY, org_id uuid, name text);
CREATE TABLE documents (id int PRIMARY KEY, org_id uuid, folder_id int, title text);
INSERT INTO folders VALUES (1, '` + orgA + `', 'a'), (2, '` + orgB + `', 'b'), (3, NULL, 'none');
INSERT INTO documents SELECT n, CASE n % 4 WHEN 0 THEN '` + orgA + `'::uuid WHEN 1 THEN '` + orgB + `' WHEN 2 THEN '` + orgC + `' END, n % 3 + 1, 'title ' || n
FROM generate_series(1, 40) AS n;
`

func engine(tb testing.TB) *rowfence.Engine {
	e, err := rowfence.New(context.Background(), rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte(policy)}}, Schema: []byte(schema),
	})
	require.NoError(tb, err)
	return e
}

func subject(tb testing.TB, auditor bool, orgs ...string) *rowfence.Subject {
	s, err := rowfence.NewSubject(map[string]any{"auditor": auditor, "orgs": append([]string{}, orgs...)})
	require.NoError(tb, err)
	return s
}

func filter(tb testing.TB, action, resource string, auditor bool, orgs ...string) rowfence.Filter {
	f, err := engine(tb).Filter(context.Background(), subject(tb, auditor, orgs...), action, resource)
	require.NoError(tb, err)
	return f
}

func database(tb testing.TB) *pgxpool.Pool {
	db := pgtest.New(tb)
	_, err := db.Exec(context.Background(), tables)
	require.NoError(tb, err)
	return db
}

func TestFilters(t *testing.T) {
	db := database(t)
	const query = "SELECT d.id FROM documents AS d WHERE d.id <= $1 AND /* authorize: document as d */ TRUE ORDER BY d.id"
	for _, c := range []struct {
		filter rowfence.Filter
		want   []int
	}{
		{filter(t, "read", "document", false, orgA), []int{4, 8}},
		{filter(t, "read", "document", false, orgA, orgB), []int{1, 4, 5, 8}},
		{filter(t, "read", "document", false), nil},
		{filter(t, "read", "document", true), []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{rowfence.Filter{}, nil},
	} {
		rows, err := db.Query(t.Context(), query, pgxfilter.Filters{"document": c.filter}.Args(8)...)
		require.NoError(t, err)
		have, err := pgx.CollectRows(rows, pgx.RowTo[int])
		require.NoError(t, err)
		require.ElementsMatch(t, c.want, have)

		named := strings.ReplaceAll(query, "$1", "@most")
		rows, err = db.Query(t.Context(), named, pgxfilter.Filters{"document": c.filter}.Args(pgx.NamedArgs{"most": 8})...)
		require.NoError(t, err)
		have, err = pgx.CollectRows(rows, pgx.RowTo[int])
		require.NoError(t, err)
		require.ElementsMatch(t, c.want, have)
	}
}

// A query that is not what was meant does not run.
func TestFiltersFailClosed(t *testing.T) {
	db := database(t)
	f := filter(t, "read", "document", false, orgA)
	for name, run := range map[string]func() (pgx.Rows, error){
		"a marker without a filter": func() (pgx.Rows, error) {
			return db.Query(t.Context(), "SELECT 1 FROM documents WHERE /* authorize: other */ TRUE", pgxfilter.Filters{"document": f}.Args()...)
		},
		"a filter without a marker": func() (pgx.Rows, error) {
			return db.Query(t.Context(), "SELECT 1 FROM documents WHERE /* authorize: document */ TRUE", pgxfilter.Filters{"document": f, "folder": f}.Args()...)
		},
		"no marker": func() (pgx.Rows, error) {
			return db.Query(t.Context(), "SELECT 1 FROM documents", pgxfilter.Filters{}.Args()...)
		},
		"no true": func() (pgx.Rows, error) {
			return db.Query(t.Context(), "SELECT 1 FROM documents WHERE /* authorize: document */ 1 = 1", pgxfilter.Filters{"document": f}.Args()...)
		},
		"no context": func() (pgx.Rows, error) {
			return pgxfilter.Authorize(db).Query(t.Context(), "SELECT 1 FROM documents WHERE /* authorize: document */ TRUE")
		},
		"no such filter": func() (pgx.Rows, error) {
			ctx := rowfence.NewContext(t.Context(), rowfence.Request{Engine: engine(t), Subject: subject(t, true), Action: "read"})
			return pgxfilter.Authorize(db).Query(ctx, "SELECT 1 FROM documents WHERE /* authorize: documents */ TRUE")
		},
		"no marker, in a context": func() (pgx.Rows, error) {
			ctx := rowfence.NewContext(t.Context(), rowfence.Request{Engine: engine(t), Subject: subject(t, true), Action: "read"})
			return pgxfilter.Authorize(db).Query(ctx, "SELECT 1 FROM documents")
		},
	} {
		rows, err := run()
		if err == nil {
			require.False(t, rows.Next(), name)
			err = rows.Err()
		}
		require.Error(t, err, name)
	}
	require.ErrorIs(t, pgxfilter.Authorize(db).QueryRow(t.Context(), "SELECT 1 WHERE /* authorize: document */ TRUE").Scan(new(int)), rowfence.ErrNoRequest)
}

// Two authorized tables in one statement, and statements that write.
func TestAuthorize(t *testing.T) {
	db := database(t)
	e := engine(t)
	request := rowfence.Request{Engine: e, Subject: subject(t, false, orgA), Action: "read"}
	ctx := rowfence.NewContext(t.Context(), request)
	authorized := pgxfilter.Authorize(db)

	var n int
	require.NoError(t, authorized.QueryRow(ctx, `SELECT count(*) FROM documents AS d JOIN folders AS f ON f.id = d.folder_id
		WHERE /* authorize: document as d */ TRUE AND /* authorize: folder as f */ TRUE AND d.id > $1`, 0).Scan(&n))
	want := 0
	for id := 1; id <= 40; id++ {
		if id%4 == 0 && id%3+1 == 1 {
			want++
		}
	}
	require.Equal(t, want, n)

	rows, err := authorized.Query(ctx, "SELECT folder_id, count(*) FROM documents WHERE /* authorize: document */ TRUE GROUP BY 1 HAVING count(*) > $1", 1)
	require.NoError(t, err)
	_, err = pgx.CollectRows(rows, pgx.RowToMap)
	require.NoError(t, err)

	update := rowfence.NewContext(t.Context(), request.To("update"))
	tag, err := authorized.Exec(update, "UPDATE documents AS d SET title = $1 WHERE /* authorize: document as d */ TRUE", "new")
	require.NoError(t, err)
	require.EqualValues(t, 10, tag.RowsAffected())
	tag, err = authorized.Exec(rowfence.NewContext(t.Context(), request.To("delete")), "DELETE FROM documents WHERE /* authorize: document */ TRUE")
	require.NoError(t, err)
	require.Zero(t, tag.RowsAffected())
	tag, err = authorized.Exec(update, "INSERT INTO documents SELECT id + 1000, org_id, folder_id, title FROM documents AS d WHERE id = ANY($1) AND /* authorize: document as d */ TRUE", []int{3, 4, 5})
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	_, err = authorized.Exec(ctx, "/* authorize: none */ DELETE FROM documents WHERE id > $1", 1000)
	require.NoError(t, err)
}

func TestNamed(t *testing.T) {
	args := pgx.NamedArgs{"authz1": 1}
	f := filter(t, "read", "document", false, orgA)
	_, err := pgxfilter.Named(f, "authz", args)
	require.Error(t, err)
	where, err := pgxfilter.Named(f, "org", args)
	require.NoError(t, err)
	require.Equal(t, "org_id = @org1", where)
	require.Len(t, args, 2)
	where, two := pgxfilter.Condition(f, "d", 4)
	require.Equal(t, "d.org_id = $5", where)
	require.Len(t, two, 1)
}

// logs are skewed: nearly all rows belong to one organization, and two thousand others
// had some long ago.
const logs = `
CREATE TABLE logs (id bigint PRIMARY KEY, org_id uuid NOT NULL, at timestamptz NOT NULL, note text);
INSERT INTO logs SELECT n, CASE WHEN n > 4000 THEN '` + orgA + `'::uuid ELSE ('d0000000-0000-4000-8000-' || lpad((n / 2)::text, 12, '0'))::uuid END,
	'2026-01-01'::timestamptz + n * interval '1 second', repeat('x', 100)
FROM generate_series(1, %d) AS n;
CREATE INDEX logs_org ON logs (org_id, at DESC, id DESC);
CREATE INDEX logs_at ON logs (at DESC, id DESC);
ANALYZE logs`

// plans are how often a connection's prepared statements were planned for any values,
// and for those at hand.
func plans(t *testing.T, conn *pgx.Conn) (generic, custom int) {
	err := conn.QueryRow(t.Context(), "SELECT coalesce(sum(generic_plans), 0), coalesce(sum(custom_plans), 0) FROM pg_prepared_statements WHERE statement LIKE '%FROM logs%'",
		pgx.QueryExecModeSimpleProtocol).Scan(&generic, &custom)
	require.NoError(t, err)
	return generic, custom
}

// blocks are how much of the database a plan looks at.
func blocks(t *testing.T, conn *pgx.Conn, mode string) int {
	_, err := conn.Exec(t.Context(), "SET plan_cache_mode = "+mode)
	require.NoError(t, err)
	var plan []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, conn.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE trap('{"+dormant+","+another+"}')", pgx.QueryExecModeSimpleProtocol).Scan(&plan))
	return plan[0].Plan.Hit + plan[0].Plan.Read
}

// Organizations that are dormant.
const (
	dormant = "d0000000-0000-4000-8000-000000000007"
	another = "d0000000-0000-4000-8000-000000000009"
)

// TestNoGenericPlan: pgx prepares what it runs, and PostgreSQL may then keep a plan that
// was made without the values of an array.
func TestNoGenericPlan(t *testing.T) {
	db := pgtest.New(t)
	_, err := db.Exec(t.Context(), fmt.Sprintf(logs, 200_000))
	require.NoError(t, err)
	config, err := pgx.ParseConfig(db.Config().ConnString())
	require.NoError(t, err)
	connect := func(config *pgx.ConnConfig) *pgx.Conn {
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	org := sqlgen.Column{Name: "org_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}, NotNull: true}
	two := sqlgen.When(sqlgen.Member{
		Of:  sqlgen.Text{Of: org},
		Set: sqlgen.ListOf(sqlgen.Type{Kind: sqlgen.KindText}, []sqlgen.Literal{sqlgen.String(dormant), sqlgen.String(another)}),
	})
	filters := pgxfilter.Filters{"log": two}
	const query = "SELECT id FROM logs WHERE /* authorize: log */ TRUE ORDER BY at DESC, id DESC LIMIT $1"
	hundred := func(conn *pgx.Conn, args ...any) {
		for range 100 {
			rows, err := conn.Query(t.Context(), query, args...)
			require.NoError(t, err)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			require.NoError(t, err)
			require.Len(t, ids, 4)
		}
	}

	plain := connect(config.Copy())
	hundred(plain, filters, 25)
	trapped, _ := plans(t, plain) // it may be or not

	withArgs := connect(config.Copy())
	hundred(withArgs, filters.Args(25)...)
	generic, _ := plans(t, withArgs)
	require.Zero(t, generic)

	forcing := config.Copy()
	pgxfilter.ForceCustomPlans(forcing)
	forced := connect(forcing)
	hundred(forced, filters, 25)
	generic, custom := plans(t, forced)
	require.Zero(t, generic)
	require.Equal(t, 100, custom)

	_, err = plain.Exec(t.Context(), "PREPARE trap(uuid[]) AS SELECT id FROM logs WHERE org_id = ANY($1) ORDER BY at DESC, id DESC LIMIT 25", pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	blind, seeing := blocks(t, plain, "force_generic_plan"), blocks(t, plain, "force_custom_plan")
	t.Logf("generic plans in 100 executions: %d; blocks that one looks at: %d, and %d with its values", trapped, blind, seeing)
	require.Less(t, 10*seeing, blind)
}

func ExampleFilters() {
	db, err := pgxpool.New(context.Background(), pgtest.MustURL())
	if err != nil {
		panic(err)
	}
	defer db.Close()
	if _, err := db.Exec(context.Background(), tables); err != nil {
		panic(err)
	}
	org := sqlgen.Column{Name: "org_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	filters := pgxfilter.Filters{"document": sqlgen.When(sqlgen.Null{Of: org})} // an engine makes it
	rows, err := db.Query(context.Background(), `SELECT d.title FROM documents AS d
		WHERE d.folder_id = $1 AND /* authorize: document as d */ TRUE ORDER BY d.id LIMIT 2`, filters.Args(1)...)
	if err != nil {
		panic(err)
	}
	titles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	fmt.Println(titles, err)
	// Output: [title 3 title 15] <nil>
}
