package pgxfilter_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/pgxfilter"
	"github.com/rowfence/rowfence/sqlgen"
)

// theirs is what an engine makes, in a service.
var theirs = sqlgen.When(sqlgen.Eq(sqlgen.Column{Name: "org_id", Type: sqlgen.Type{Kind: sqlgen.KindText}}, sqlgen.String("none")))

// The connections of a pool put the filters of the context's request into every query:
// generated code can have them.
func ExampleAuthorize() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, pgtest.MustURL())
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, tables); err != nil {
		panic(err)
	}
	engine, err := rowfence.New(ctx, rowfence.Config{Policies: fstest.MapFS{"authz.rego": {Data: []byte(policy)}}, Schema: []byte(schema)})
	if err != nil {
		panic(err)
	}
	member, err := rowfence.NewSubject(map[string]any{"orgs": []string{orgA}, "auditor": false})
	if err != nil {
		panic(err)
	}

	db := pgxfilter.Authorize(pool)
	const query = "SELECT count(*) FROM documents AS d WHERE d.id <= $1 AND /* authorize: document as d */ FALSE"
	var n int
	authorized := rowfence.NewContext(ctx, rowfence.Request{Engine: engine, Subject: member, Action: "read"})
	fmt.Println(db.QueryRow(authorized, query, 8).Scan(&n), n)
	fmt.Println(db.QueryRow(ctx, query, 8).Scan(&n) != nil) // nobody asks
	fmt.Println(db.QueryRow(authorized, "SELECT count(*) FROM documents").Scan(&n) != nil)
	// Output:
	// <nil> 2
	// true
	// true
}

func ExampleFilters_Args() {
	filters := pgxfilter.Filters{"document": theirs}
	// Before a rewriter of pgx, too, which runs first.
	args := filters.Args(pgx.NamedArgs{"folder": 1})
	mode, rewriter := args[0], args[1].(pgx.QueryRewriter)
	query, values, err := rewriter.RewriteQuery(context.Background(), nil, "SELECT title FROM documents WHERE folder_id = @folder AND /* authorize: document */ FALSE", nil)
	fmt.Println(mode, err)
	fmt.Println(query, values)
	// Output:
	// cache describe <nil>
	// SELECT title FROM documents WHERE folder_id = $1 AND (org_id = $2) [1 none]
}

func ExampleForceCustomPlans() {
	config, err := pgx.ParseConfig("postgres://localhost/app")
	if err != nil {
		panic(err)
	}
	pgxfilter.ForceCustomPlans(config)
	fmt.Println(config.RuntimeParams["plan_cache_mode"])
	// Output: force_custom_plan
}

func ExampleCondition() {
	args := []any{1}
	where, more := pgxfilter.Condition(theirs, "d", len(args))
	fmt.Println("SELECT d.title FROM documents AS d WHERE d.folder_id = $1 AND "+where, append(args, more...))
	// Output: SELECT d.title FROM documents AS d WHERE d.folder_id = $1 AND d.org_id = $2 [1 none]
}

func ExampleNamed() {
	args := pgx.NamedArgs{"folder": 1}
	where, err := pgxfilter.Named(theirs, "authz", args)
	fmt.Println("SELECT title FROM documents WHERE folder_id = @folder AND "+where, args, err)
	// Output: SELECT title FROM documents WHERE folder_id = @folder AND org_id = @authz1 map[authz1:none folder:1] <nil>
}
