package verify_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/verify"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const policyText = `package authz

allow if input.subject.admin

allow if {
	input.object.owner == input.subject.id
	not archived
	input.object.size < 100
}

archived if input.object.state == "archived"
`

const schemaText = `resources:
  document:
    table: documents
    fields:
      owner: {column: owner_id, type: uuid}
      state: {column: state, type: text}
      size: {column: size, type: int, not_null: true}
`

func config(t *testing.T) (*pgx.Conn, verify.Config) {
	ctx := context.Background()
	pool := pgtest.New(t)
	_, err := pool.Exec(ctx, `CREATE TABLE documents (id bigint PRIMARY KEY, owner_id uuid, state varchar(10), size int NOT NULL);
		INSERT INTO documents SELECT i, (ARRAY['11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222', NULL]::uuid[])[1 + i % 3],
			(ARRAY['draft', 'archived', NULL, 'open'])[1 + i % 4], i % 200
		FROM generate_series(1, 2000) AS i; ANALYZE documents`)
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(ctx)) })
	policy, err := rego.Load(ctx, rego.Module("policy.rego", policyText))
	require.NoError(t, err)
	schema, err := compiler.ParseSchema([]byte(schemaText))
	require.NoError(t, err)
	return conn, verify.Config{
		Policy: policy, Query: "data.authz.allow", Resources: []*compiler.Resource{schema.Resources["document"]}, Seed: 1,
		Inputs: []verify.Input{
			{Name: "admin", Document: map[string]any{"subject": map[string]any{"admin": true}}},
			{Name: "user", Document: map[string]any{"subject": map[string]any{"id": "11111111-1111-1111-1111-111111111111", "groups": []any{"a", "b"}}}},
		},
	}
}

func TestExact(t *testing.T) {
	conn, c := config(t)
	for _, c.Sample = range []int{0, 100, 2000, 100000} {
		for _, c.Generate = range []int{0, 500} {
			report, err := verify.Run(t.Context(), conn, c)
			require.NoError(t, err)
			require.Len(t, report.Checks, 2)
			require.Equal(t, 2, report.Count(verify.Exact), "%+v", report)
			user := report.Checks[1]
			require.Equal(t, c.Generate, user.Made)
			if c.Sample > 0 {
				require.GreaterOrEqual(t, user.Rows, min(c.Sample, 2000))
				require.NotZero(t, user.Allowed, "a sample without a row that is allowed says little")
			}
		}
	}
}

// withoutNegations is a compiler that drops every not, as a well-known product does.
func withoutNegations(ctx context.Context, query *rego.Query, r *compiler.Resource, input any) (*compiler.Compilation, error) {
	c, err := compiler.Compile(ctx, query, r, input)
	if err == nil {
		c.Filter = sqlgen.When(dropped(c.Filter.Predicate()))
	}
	return c, err
}

func dropped(p sqlgen.Predicate) sqlgen.Predicate {
	switch p := p.(type) {
	case sqlgen.And:
		var out sqlgen.And
		for _, term := range p {
			out = append(out, dropped(term))
		}
		return out
	case sqlgen.Or:
		var out sqlgen.Or
		for _, term := range p {
			out = append(out, dropped(term))
		}
		return out
	case sqlgen.Not, sqlgen.Distinct:
		return sqlgen.True
	default:
		return p
	}
}

func TestDiffers(t *testing.T) {
	conn, c := config(t)
	c.Compile = withoutNegations
	c.Inputs = c.Inputs[1:]
	for _, rows := range []struct{ sample, generate int }{{1000, 0}, {0, 2000}} {
		c.Sample, c.Generate = rows.sample, rows.generate
		report, err := verify.Run(t.Context(), conn, c)
		require.NoError(t, err)
		check := report.Checks[0]
		require.Equal(t, verify.Differs, check.Status, "%+v", check)
		require.NotZero(t, check.Leaked)
		require.Zero(t, check.Lost)
		e := check.Example
		require.True(t, e.Leaked)
		require.Equal(t, "policy.rego", e.Position.File)
		require.Contains(t, []int{7, 11}, e.Position.Row, "not archived, or its rule")
		require.Less(t, strings.Count(e.Policy, "\n"), 12, e.Policy)
		require.NotContains(t, e.Policy, "size", "what does not matter is gone")
		require.NotContains(t, e.Input, "groups")
	}
}

func TestRefusedAndFailed(t *testing.T) {
	conn, c := config(t)
	c.Sample = 10
	var err error
	c.Policy, err = rego.Load(t.Context(), rego.Module("policy.rego", "package authz\nallow if walk(input.object, [_, 1])"))
	require.NoError(t, err)
	report, err := verify.Run(t.Context(), conn, c)
	require.NoError(t, err)
	require.Equal(t, 2, report.Count(verify.Refused))
	require.Equal(t, compiler.CodeBuiltin, report.Checks[0].Code)

	c.Policy, err = rego.Load(t.Context(), rego.Module("policy.rego", policyText))
	require.NoError(t, err)
	c.Compile = func(ctx context.Context, query *rego.Query, r *compiler.Resource, input any) (*compiler.Compilation, error) {
		out, err := compiler.Compile(ctx, query, r, input)
		out.Filter = sqlgen.When(sqlgen.Eq(sqlgen.Column{Name: "nope", Type: sqlgen.Type{Kind: sqlgen.KindInt}}, sqlgen.Int(1)))
		return out, err
	}
	report, err = verify.Run(t.Context(), conn, c)
	require.NoError(t, err)
	require.Equal(t, 2, report.Count(verify.Failed), "each by itself: %+v", report)
	require.Contains(t, report.Checks[1].Error, "nope")
}

func TestPrint(t *testing.T) {
	report := &verify.Report{Checks: []verify.Check{
		{Resource: "document", Input: "admin", Status: verify.Exact, Rows: 10, Allowed: 5, SQL: "TRUE"},
		{
			Resource: "document", Input: "user", Status: verify.Differs, Rows: 10, Leaked: 1, SQL: "a < 'b'",
			Example: &verify.Example{Leaked: true, Key: "7", Position: &compiler.Position{File: "p.rego", Row: 3, Col: 2}, Input: map[string]any{"a": 1}, Document: map[string]any{"b": "<"}, SQL: "a < 'b'"},
		},
		{Resource: "log", Input: "user", Status: verify.Refused, Code: "RF3001", Error: "RF3001: no"},
	}}
	var text, plain, junit strings.Builder
	require.NoError(t, report.Text(&text))
	require.Equal(t, `document  admin  exact, 10 rows, 5 allowed
document  user   DIFFERS: 10 rows, 1 leaked, 0 lost
log       user   refused: RF3001: no

document, user: a row leaks: the SQL selects it, and OPA does not allow it
  row       7
  at        p.rego:3:2
  input     {"a":1}
  document  {"b":"<"}
  SQL       a < 'b'

3 checks, 20 rows: 1 exact, 1 differ, 1 refused, 0 failed
`, text.String())
	require.NoError(t, report.JSON(&plain))
	var back verify.Report
	require.NoError(t, json.Unmarshal([]byte(plain.String()), &back))
	require.Equal(t, report.Checks[2], back.Checks[2])
	require.NoError(t, report.JUnit(&junit))
	require.Contains(t, junit.String(), `<testsuite name="document" tests="2" failures="1" errors="0"`)
	require.Contains(t, junit.String(), `<error message="RF3001: no" type="refused">`)
	require.NoError(t, xml.Unmarshal([]byte(junit.String()), new(struct{ XMLName xml.Name })))
}
