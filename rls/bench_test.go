package rls_test

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rls"
)

// BenchmarkList lists the 25 latest of 200,000 logs that a subject of two organizations
// of middling size may read: with the filter in the query, by the policy alone, by the
// policy as it would be with its setting converted for each row, and by the policy with
// one of the organizations named in the query.
func BenchmarkList(b *testing.B) {
	e := newEngine(b, "package authz\nallow if input.object.org in input.subject.orgs", `
resources: {log: {table: logs, fields: {org: {column: organization_id, type: uuid}}}}
params: {input.subject.orgs: "text[]"}`)
	target := rls.Target{Resource: "log", Action: "read"}
	c := condition(b, e, target)
	db := pgtest.New(b)
	ctx := b.Context()
	for _, sql := range []string{
		`CREATE TABLE logs (id bigint PRIMARY KEY, organization_id uuid NOT NULL, time timestamptz NOT NULL, text text NOT NULL)`,
		`INSERT INTO logs SELECT i, ('00000000-0000-4000-8000-' || lpad((200 * random() ^ 3)::int::text, 12, '0'))::uuid, now() - i * interval '1 s', repeat('x', 200) FROM generate_series(1, 200000) AS i`,
		`CREATE INDEX ON logs (organization_id, time DESC, id DESC)`,
		`VACUUM ANALYZE logs`,
	} {
		_, err := db.Exec(ctx, sql)
		require.NoError(b, err)
	}
	roles++
	role := fmt.Sprintf("bench %d", roles)
	_, err := db.Exec(ctx, fmt.Sprintf(`CREATE ROLE %q; GRANT SELECT ON logs TO %[1]q; ALTER TABLE logs ENABLE ROW LEVEL SECURITY`, role))
	require.NoError(b, err)
	defer func() {
		_, err := db.Exec(context.WithoutCancel(ctx), fmt.Sprintf(`DROP OWNED BY %q; DROP ROLE %[1]q`, role))
		require.NoError(b, err)
	}()
	orgs := []string{"00000000-0000-4000-8000-000000000050", "00000000-0000-4000-8000-000000000051"}
	who := subject(b, ann, "", orgs...)
	settings, err := rls.For(ctx, e, who, target)
	require.NoError(b, err)
	filter, err := e.Filter(ctx, who, "read", "log")
	require.NoError(b, err)
	where, args := filter.SQL(1)
	const latest = "SELECT id FROM logs WHERE %s ORDER BY time DESC, id DESC LIMIT 25"
	for _, bench := range []struct {
		name, policy, where string
		args                []any
	}{
		{"filter", "true", where, args},
		{"policy", c.SQL(), "TRUE", nil},
		{"policy-converting-for-each-row", regexp.MustCompile(`\(SELECT (NULLIF\([^)]*\)[^)]*\)::uuid\[\])\)::uuid\[\]`).ReplaceAllString(c.SQL(), "$1"), "TRUE", nil},
		{"policy-and-organization", c.SQL(), "organization_id = $1", []any{orgs[0]}},
		{"policy-and-filter", c.SQL(), where, args},
	} {
		b.Run(bench.name, func(b *testing.B) {
			tx, err := db.Begin(ctx)
			require.NoError(b, err)
			defer func() { require.NoError(b, tx.Rollback(ctx)) }()
			_, err = tx.Exec(ctx, fmt.Sprintf("CREATE POLICY p ON logs FOR SELECT TO %q USING (%s); SET LOCAL ROLE %[1]q", role, bench.policy))
			require.NoError(b, err)
			require.NoError(b, settings.Set(ctx, tx))
			for b.Loop() {
				rows, err := tx.Query(ctx, fmt.Sprintf(latest, bench.where), append([]any{pgx.QueryExecModeCacheDescribe}, bench.args...)...)
				require.NoError(b, err)
				found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
				require.NoError(b, err)
				require.Len(b, found, 25)
			}
		})
	}
}
