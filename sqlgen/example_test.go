package sqlgen_test

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

var (
	organization = sqlgen.Column{Name: "organization_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	status       = sqlgen.Column{Name: "status_code", Type: sqlgen.Type{Kind: sqlgen.KindInt}, NotNull: true}
	action       = sqlgen.Column{Name: "action", Type: sqlgen.Type{Kind: sqlgen.KindText}, NotNull: true}
	acme         = uuid.MustParse("6f1c1ac5-5c5d-4f5e-9d2c-0b6a4f1f7d10")
)

func ExampleFilter_SQL() {
	filter := sqlgen.When(sqlgen.And{
		sqlgen.Eq(organization, sqlgen.UUID(acme)),
		sqlgen.Not{Of: sqlgen.Compare{Op: sqlgen.LT, L: status, R: sqlgen.Int(400)}},
	})
	// The query has an argument of its own, so the condition's start at $2.
	where, args := filter.SQL(2)
	fmt.Println("SELECT id FROM audit_logs WHERE time >= $1 AND " + where)
	fmt.Println(args...)
	// Output:
	// SELECT id FROM audit_logs WHERE time >= $1 AND organization_id = $2 AND status_code >= $3
	// 6f1c1ac5-5c5d-4f5e-9d2c-0b6a4f1f7d10 400
}

// A Filter is a condition to query builders: with squirrel,
//
//	squirrel.Select("id").From("audit_logs").Where(filter).
//		PlaceholderFormat(squirrel.Dollar)
//
// and the builder numbers the placeholders.
func ExampleFilter_ToSql() {
	filter := sqlgen.When(sqlgen.Or{
		sqlgen.Eq(action, sqlgen.String("login")),
		sqlgen.Eq(action, sqlgen.String("logout")),
		sqlgen.Null{Of: organization},
	})
	where, args, err := filter.ToSql()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(where)
	fmt.Println(args...)
	// Output:
	// (action = ANY(?) OR organization_id IS NULL)
	// [login logout]
}

// The arguments are what pgx.NamedArgs is made of:
//
//	rows, err := db.Query(ctx, "SELECT id FROM audit_logs WHERE "+where, pgx.NamedArgs(args))
func ExampleFilter_Named() {
	filter := sqlgen.When(sqlgen.And{
		sqlgen.Eq(organization, sqlgen.UUID(acme)),
		sqlgen.Match{Of: action, Sub: sqlgen.String("log"), Kind: sqlgen.AtStart},
	})
	where, args := filter.Named("authz")
	fmt.Println(where)
	fmt.Println(args["authz1"], args["authz2"])
	// Output:
	// organization_id = @authz1 AND action LIKE @authz2
	// 6f1c1ac5-5c5d-4f5e-9d2c-0b6a4f1f7d10 log%
}

func ExampleFilter_Inline() {
	filter := sqlgen.When(sqlgen.Eq(action, sqlgen.String("it's")))
	fmt.Println(filter.Inline())
	// Output: action = 'it''s'
}

func ExampleFilter_As() {
	filter := sqlgen.When(sqlgen.Null{Of: organization})
	fmt.Println(filter.As("l"))
	// Output: l.organization_id IS NULL
}

func ExampleWhen() {
	anyStatus := sqlgen.Or{
		sqlgen.Compare{Op: sqlgen.LT, L: status, R: sqlgen.Int(400)},
		sqlgen.Not{Of: sqlgen.Compare{Op: sqlgen.LT, L: status, R: sqlgen.Int(400)}},
	}
	for _, filter := range []sqlgen.Filter{
		sqlgen.When(sqlgen.Eq(status, sqlgen.Int(404))),
		sqlgen.When(anyStatus), // true of every row, because the column can't be NULL
		sqlgen.When(sqlgen.Or{}),
	} {
		fmt.Println(filter.Result(), filter)
	}
	// Output:
	// when status_code = 404
	// always TRUE
	// never FALSE
}

func ExampleAlways() {
	fmt.Println(sqlgen.Always().SQL(1))
	// Output: TRUE []
}

// The zero Filter is Never too: a filter that nobody has set lets nothing through.
func ExampleNever() {
	var unset sqlgen.Filter
	fmt.Println(sqlgen.Never(), unset, unset.Result())
	// Output: FALSE FALSE never
}

func ExampleSimplifyTraced() {
	p := sqlgen.Not{Of: sqlgen.Or{sqlgen.Null{Of: organization}, sqlgen.Eq(organization, sqlgen.UUID(acme))}}
	simplified := sqlgen.SimplifyTraced(p, func(s sqlgen.Step) { fmt.Println(s.Rule) })
	fmt.Println(sqlgen.When(simplified))
	// Output:
	// not-or
	// not-leaf
	// and-not-null-distinct
	// and-implied
	// organization_id <> '6f1c1ac5-5c5d-4f5e-9d2c-0b6a4f1f7d10'::uuid
}

func ExampleBind() {
	p := sqlgen.Eq(organization, sqlgen.Param{Name: "organization", Type: organization.Type})
	bound, err := sqlgen.Bind(p, func(sqlgen.Param) (sqlgen.Literal, error) { return sqlgen.UUID(acme), nil })
	fmt.Println(bound, err)
	// Output: (= organization_id "6f1c1ac5-5c5d-4f5e-9d2c-0b6a4f1f7d10":uuid) <nil>
}
