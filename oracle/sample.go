package oracle

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// Rows reads all rows of the case's table for which a condition is true; of an empty
// one, all.
func Rows(ctx context.Context, db DB, c Case, where string) ([]Row, error) {
	if where == "" {
		where = "TRUE"
	}
	return c.rows(ctx, db, sqlgen.QuoteName(c.Resource.Table), where, 0, nil)
}

// Sample reads at most n rows of the case's table, from anywhere in it, about n where
// it has as many. Of a large table it reads some pages only.
func Sample(ctx context.Context, db DB, c Case, n int) ([]Row, error) {
	from, err := c.sampled(ctx, db, n)
	if err != nil {
		return nil, err
	}
	return c.rows(ctx, db, from, "TRUE", n, nil)
}

// SampleSelected reads at most n rows that the filter selects: a policy that allows
// little leaves few of them in a [Sample].
func SampleSelected(ctx context.Context, db DB, c Case, n int) ([]Row, error) {
	f, err := c.compile(ctx)
	if err != nil {
		return nil, err
	}
	where, args := f.SQL(1)
	return c.rows(ctx, db, sqlgen.QuoteName(c.Resource.Table), where, n, args)
}

// sampled is the table, or a sample of its pages where it has far more than n rows.
func (c Case) sampled(ctx context.Context, db DB, n int) (string, error) {
	table := sqlgen.QuoteName(c.Resource.Table)
	rows, err := db.Query(ctx, "SELECT greatest(reltuples, 0)::bigint, relpages FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'r'", table)
	if err != nil {
		return "", fmt.Errorf("looking up table %s: %w", table, err)
	}
	var size, pages int64
	if _, err = pgx.ForEachRow(rows, []any{&size, &pages}, func() error { return nil }); err != nil {
		return "", fmt.Errorf("looking up table %s: %w", table, err)
	}
	const (
		spare = 2 // a sample is of about so many rows: rather too many, and cut off
		large = 10000
	)
	method := "BERNOULLI"
	if pages > large {
		method = "SYSTEM"
	}
	if share := 100 * spare * float64(n) / float64(max(size, 1)); share < 100 {
		return fmt.Sprintf("%s TABLESAMPLE %s (%g)", table, method, share), nil
	}
	return table, nil
}

// rows reads rows and their documents; at most limit, unless that is 0.
func (c Case) rows(ctx context.Context, db DB, from, where string, limit int, args []any) ([]Row, error) {
	document, err := c.Resource.DocumentSQL()
	if err != nil {
		return nil, err
	}
	table := sqlgen.QuoteName(c.Resource.Table)
	sql := fmt.Sprintf("SELECT %s, %s, to_jsonb(%s.*) FROM %s WHERE %s", c.key(), document, table[strings.LastIndexByte(table, '.')+1:], from, where)
	if limit > 0 {
		sql += fmt.Sprintf(" LIMIT %d", limit)
	}
	result, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("reading rows of %s: %w", table, err)
	}
	var out []Row
	var row Row
	var text string
	_, err = pgx.ForEachRow(result, []any{&row.Key, &text, &row.Columns}, func() error {
		row.Document, err = ast.ValueFromReader(strings.NewReader(text))
		if err != nil {
			return fmt.Errorf("the document of a row is no JSON: %w", err)
		}
		out = append(out, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading rows of %s: %w", table, err)
	}
	return out, nil
}
