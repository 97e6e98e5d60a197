package sqlfilter_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/sqlfilter"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const (
	orgA = "a0000000-0000-4000-8000-00000000000a"
	orgB = "b0000000-0000-4000-8000-00000000000b"
)

const tables = `CREATE TABLE documents (id int PRIMARY KEY, org_id uuid, title text);
INSERT INTO documents VALUES (1, '` + orgA + `', 'one'), (2, '` + orgB + `', 'two'), (3, NULL, 'three')`

func open(url string) (*sql.DB, error) {
	dsn, err := sqlfilter.CustomPlans(url)
	if err != nil {
		return nil, err
	}
	return sql.Open("pgx", dsn)
}

func database(t *testing.T) *sql.DB {
	db, err := open(pgtest.URL(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), tables)
	require.NoError(t, err)
	return db
}

func request(t *testing.T, orgs ...string) context.Context {
	e, err := rowfence.New(t.Context(), rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\n\nallow if input.object.org in input.subject")}},
		Schema:   []byte("params: {input.subject: \"text[]\"}\nresources: {document: {table: documents, fields: {org: {column: org_id, type: uuid}}}}"),
	})
	require.NoError(t, err)
	s, err := rowfence.NewSubject(orgs)
	require.NoError(t, err)
	return rowfence.NewContext(t.Context(), rowfence.Request{Engine: e, Subject: s, Action: "read"})
}

func titles(t *testing.T, rows *sql.Rows, err error) []string {
	require.NoError(t, err)
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var title string
		require.NoError(t, rows.Scan(&title))
		out = append(out, title)
	}
	require.NoError(t, rows.Err())
	return out
}

func TestAuthorize(t *testing.T) {
	db := database(t)
	const query = "SELECT d.title FROM documents AS d WHERE d.id < $1 AND /* authorize: document as d */ TRUE ORDER BY d.id"
	for n, want := range map[int][]string{0: {}, 1: {"one"}, 2: {"one", "two"}} {
		ctx := request(t, []string{orgA, orgB}[:n]...)
		rows, err := sqlfilter.Authorize(db).QueryContext(ctx, query, 10)
		require.Equal(t, want, titles(t, rows, err))

		filter, err := rowfence.FilterFrom(ctx, "document")
		require.NoError(t, err)
		rewritten, args, err := sqlfilter.Rewrite(query, sqlfilter.Filters{"document": filter}, 10)
		require.NoError(t, err)
		rows, err = db.QueryContext(ctx, rewritten, args...)
		require.Equal(t, want, titles(t, rows, err))

		where, args, err := sqlfilter.Condition(filter, "d", 1)
		require.NoError(t, err)
		rows, err = db.QueryContext(ctx, "SELECT d.title FROM documents AS d WHERE d.id < $1 AND "+where+" ORDER BY d.id", append([]any{10}, args...)...)
		require.Equal(t, want, titles(t, rows, err))
	}
	var count int
	require.NoError(t, sqlfilter.Authorize(db).QueryRowContext(request(t, orgA, orgB), "SELECT count(*) FROM documents WHERE id < $1 AND /* authorize: document */ FALSE", 10).Scan(&count))
	require.Equal(t, 2, count)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback() //nolint:errcheck // the test ends here
	result, err := sqlfilter.Authorize(tx).ExecContext(request(t, orgA, orgB), "DELETE FROM documents WHERE /* authorize: document */ TRUE")
	require.NoError(t, err)
	n, err := result.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

func TestFailsClosed(t *testing.T) {
	db := database(t)
	_, err := sqlfilter.Authorize(db).QueryContext(t.Context(), "SELECT 1 WHERE /* authorize: document */ TRUE") //nolint:rowserrcheck,sqlclosecheck // there are no rows
	require.ErrorIs(t, err, rowfence.ErrNoRequest)
	var n int
	require.ErrorIs(t, sqlfilter.Authorize(db).QueryRowContext(t.Context(), "SELECT 1 WHERE /* authorize: document */ TRUE").Scan(&n), rowfence.ErrNoRequest)
	require.Zero(t, n)
	_, err = sqlfilter.Authorize(db).PrepareContext(request(t), "SELECT 1 /* authorize: none */") //nolint:sqlclosecheck // there is no statement
	require.ErrorIs(t, err, sqlfilter.ErrPrepare)
	_, err = sqlfilter.Authorize(db).ExecContext(request(t), "DELETE FROM documents")
	require.ErrorContains(t, err, "it has no marker")
	for _, filters := range []sqlfilter.Filters{nil, {"document": sqlgen.Always(), "other": sqlgen.Always()}} {
		query, _, err := sqlfilter.Rewrite("SELECT 1 WHERE /* authorize: document */ TRUE", filters)
		require.Error(t, err)
		require.Empty(t, query)
	}
	unbound := sqlgen.When(sqlgen.Eq(sqlgen.Column{Name: "a", Type: sqlgen.Type{Kind: sqlgen.KindText}}, sqlgen.Param{Name: "p", Type: sqlgen.Type{Kind: sqlgen.KindText}}))
	_, _, err = sqlfilter.Condition(unbound, "", 0)
	require.ErrorContains(t, err, "parameter p has no value")
}

// Every type of array reaches PostgreSQL as a text.
func TestArrays(t *testing.T) {
	db := database(t)
	for name, elems := range map[string][2]sqlgen.Literal{
		"uuid":        {sqlgen.Zero(sqlgen.Type{Kind: sqlgen.KindUUID})},
		"text":        {sqlgen.String(`it's "{odd}", \ NULL`), sqlgen.String("NULL")},
		"bool":        {sqlgen.Bool(true), sqlgen.Bool(false)},
		"bigint":      {sqlgen.Int(1), sqlgen.Int(-1 << 62)},
		"float8":      {sqlgen.Float(0.1), sqlgen.Float(1e300)},
		"timestamptz": {sqlgen.Zero(sqlgen.Type{Kind: sqlgen.KindTimestamptz})},
	} {
		some := elems[:1]
		if elems[1].Value != nil {
			some = elems[:]
		}
		kind := some[0].Type
		for _, e := range some {
			f := sqlgen.When(sqlgen.Member{Of: sqlgen.Column{Name: "v", Type: kind}, Set: sqlgen.Param{Name: "set", Type: kind.ArrayOf()}})
			bound, err := sqlgen.Bind(f.Predicate(), func(sqlgen.Param) (sqlgen.Literal, error) { return sqlgen.ArrayOf(kind, some), nil })
			require.NoError(t, err)
			where, args, err := sqlfilter.Condition(sqlgen.When(bound), "", 1)
			require.NoError(t, err)
			var n int
			one, err := sqlgen.ArgText(e.Value)
			require.NoError(t, err)
			err = db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT count(*) FROM (SELECT $1::%s AS v) AS t WHERE %s", name, where), append([]any{one}, args...)...).Scan(&n)
			require.NoError(t, err, name)
			require.Equal(t, 1, n, name)
		}
	}
}

func TestCustomPlans(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p@h/db":                  "postgres://u:p@h/db?plan_cache_mode=force_custom_plan",
		"postgres://u:p@h/db?sslmode=disable":  "postgres://u:p@h/db?plan_cache_mode=force_custom_plan&sslmode=disable",
		"postgres://h/db?plan_cache_mode=auto": "postgres://h/db?plan_cache_mode=auto",
		"host=h dbname=db":                     "host=h dbname=db plan_cache_mode=force_custom_plan",
		"host=h plan_cache_mode=auto":          "host=h plan_cache_mode=auto",
		"":                                     "plan_cache_mode=force_custom_plan",
	} {
		have, err := sqlfilter.CustomPlans(dsn)
		require.NoError(t, err)
		require.Equal(t, want, have)
	}
	_, err := sqlfilter.CustomPlans("postgres://u:secret@h:port/db")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	var mode string
	require.NoError(t, database(t).QueryRowContext(t.Context(), "SHOW plan_cache_mode").Scan(&mode))
	require.Equal(t, "force_custom_plan", mode)
}

func ExampleRewrite() {
	db, err := open(pgtest.MustURL())
	if err != nil {
		panic(err)
	}
	defer db.Close()
	org := sqlgen.Column{Name: "org_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	filters := sqlfilter.Filters{"document": sqlgen.When(sqlgen.Null{Of: org})} // an engine makes it
	query, args, err := sqlfilter.Rewrite("SELECT d.title FROM documents AS d WHERE d.id < $1 AND /* authorize: document as d */ TRUE", filters, 10)
	if err != nil {
		panic(err)
	}
	if _, err := db.Exec(tables); err != nil {
		panic(err)
	}
	var title string
	fmt.Println(query, db.QueryRow(query, args...).Scan(&title), title)
	// Output: SELECT d.title FROM documents AS d WHERE d.id < $1 AND (d.org_id IS NULL) <nil> three
}

func ExampleCustomPlans() {
	fmt.Println(sqlfilter.CustomPlans("postgres://localhost/app"))
	// Output: postgres://localhost/app?plan_cache_mode=force_custom_plan <nil>
}

// An array is its text, so that any driver can pass it.
func ExampleCondition() {
	text := sqlgen.Type{Kind: sqlgen.KindText}
	filter := sqlgen.When(sqlgen.Member{
		Of:  sqlgen.Column{Name: "state", Type: text},
		Set: sqlgen.ListOf(text, []sqlgen.Literal{sqlgen.String("open"), sqlgen.String("closed")}),
	})
	where, args, err := sqlfilter.Condition(filter, "d", 1)
	fmt.Println(where, args, err)
	// Output: d.state = ANY($2) [{"closed","open"}] <nil>
}

// A query runs for the request of its context, and not without one.
func ExampleAuthorize() {
	pool, err := open(pgtest.MustURL())
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	db := sqlfilter.Authorize(pool)
	err = db.QueryRowContext(context.Background(), "SELECT title FROM documents WHERE /* authorize: document */ FALSE").Scan(new(string))
	fmt.Println(errors.Is(err, rowfence.ErrNoRequest))
	// Output: true
}
