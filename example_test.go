package rowfence_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
)

func Example() {
	engine, err := rowfence.New(context.Background(), rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\nallow if input.object.org in input.subject.audits")}},
		Schema:   []byte("resources: {audit_log: {table: audit_logs, fields: {org: {column: organization_id, type: uuid}}}}"),
	})
	if err != nil {
		panic(err)
	}
	auditor, err := rowfence.NewSubject(map[string]any{"audits": []string{orgA, orgB}}) // once a session
	if err != nil {
		panic(err)
	}
	filter, err := engine.Filter(context.Background(), auditor, "read", "audit_log")
	where, args := filter.SQL(1)
	fmt.Println(where, args, err)
	// Output: organization_id = ANY($1) [[a0000000-0000-4000-8000-00000000000a a0000000-0000-4000-8000-00000000000b]] <nil>
}

// The organizations whose log the subject audits.
const (
	orgA = "a0000000-0000-4000-8000-00000000000a"
	orgB = "a0000000-0000-4000-8000-00000000000b"
)

// The README shows the body of Example.
func TestReadmeShowsTheExample(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, body, found := strings.Cut(string(source), "func Example() {\n")
	require.True(t, found)
	body, _, found = strings.Cut(body, "\t// Output:")
	require.True(t, found)
	body = strings.ReplaceAll(strings.TrimPrefix(body, "\t"), "\n\t", "\n")

	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	block, _, found = strings.Cut(block, "```\n")
	require.True(t, found)
	require.Equal(t, body, block)
}

const policy = `package authz

allow if input.object.owner == input.subject.id

allow if {
	input.object.state != "draft"
	startswith(input.object.title, input.subject.prefix)
}

allow if crypto.md5(input.object.title) == input.subject.digest
`

const schema = `
resources:
  document:
    table: documents
    fields:
      owner: {column: owner_id, type: uuid}
      state: {column: state, type: text}
      title: {column: title, type: text, not_null: true}
`

func engine() *rowfence.Engine {
	e, err := rowfence.New(context.Background(), rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte(policy)}},
		Schema:   []byte(schema),
	})
	if err != nil {
		panic(err)
	}
	return e
}

// subject reads who asks. A service does so once for a session or request.
func subject(v any) *rowfence.Subject {
	s, err := rowfence.NewSubject(v)
	if err != nil {
		panic(err)
	}
	return s
}

var alice = subject(map[string]any{"id": "b0000000-0000-4000-8000-000000000001", "prefix": "100%"})

// What has no exact translation is refused, and the filter that comes with the
// error selects no row.
func ExampleErrors() {
	filter, err := engine().Filter(context.Background(), subject(map[string]any{"digest": "e3b0"}), "read", "document")
	for _, e := range rowfence.Errors(err) {
		fmt.Println(e.Code, e.Position)
		fmt.Println(e.Expression)
		fmt.Println(e.Reason)
		fmt.Println(e.Hint)
	}
	fmt.Println(filter.Result())
	// Output:
	// RF3001 authz.rego:10:10
	// crypto.md5(input.object.title)
	// crypto.md5 of a value of the row has no translation
	// compute it outside the policy, or compare the field itself
	// never
}

// Placeholders can follow those of the query around the condition.
func ExampleEngine_Filter() {
	filter, err := engine().Filter(context.Background(), alice, "read", "document")
	if err != nil {
		panic(err)
	}
	where, args := filter.SQL(2)
	query := "SELECT * FROM documents WHERE folder_id = $1 AND " + where
	fmt.Println(query)
	fmt.Println(args...)
	// Output:
	// SELECT * FROM documents WHERE folder_id = $1 AND (owner_id = $2 OR state IS DISTINCT FROM $3 AND title LIKE $4)
	// b0000000-0000-4000-8000-000000000001 draft 100\%%
}

// Named arguments do not depend on their place in the query.
func ExampleEngine_Filter_named() {
	filter, err := engine().Filter(context.Background(), alice, "read", "document")
	if err != nil {
		panic(err)
	}
	where, named := filter.Named("authz")
	args := pgx.NamedArgs(named)
	args["folder"] = 7
	fmt.Println("SELECT * FROM documents WHERE folder_id = @folder AND " + where)
	fmt.Println(args["authz1"], args["authz2"], args["authz3"])
	// Output:
	// SELECT * FROM documents WHERE folder_id = @folder AND (owner_id = @authz1 OR state IS DISTINCT FROM @authz2 AND title LIKE @authz3)
	// b0000000-0000-4000-8000-000000000001 draft 100\%%
}

// A filter is a condition to query builders that take a ToSql method; they number
// the placeholders.
func ExampleEngine_Filter_toSql() {
	filter, err := engine().Filter(context.Background(), alice, "read", "document")
	if err != nil {
		panic(err)
	}
	var condition interface {
		ToSql() (string, []any, error)
	} = filter
	where, args, err := condition.ToSql()
	fmt.Println(where)
	fmt.Println(len(args), err)
	// Output:
	// (owner_id = ? OR state IS DISTINCT FROM ? AND title LIKE ?)
	// 3 <nil>
}
