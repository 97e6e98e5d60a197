package oracle

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/sqlgen"
)

// Column is what the database knows of a column, and a schema does not: which values
// fit. Of an array it is about the elements.
type Column struct {
	Type   string   // such as int2, varchar or the name of an enum, without its schema
	Mod    int32    // type modifier; -1 where there is none
	Labels []string // of an enum
	// Values are some that the table has, for a column of a domain: what else its
	// constraints allow is not known.
	Values []json.RawMessage
	Domain bool
}

// ColumnsOf reads the columns of a table from the catalogue, by name.
func ColumnsOf(ctx context.Context, db DB, table string) (map[string]Column, error) {
	rows, err := db.Query(ctx, `
		WITH RECURSIVE unwrapped AS (
			SELECT attname, atttypid AS id, atttypmod AS mod, false AS domain
			FROM pg_attribute
			WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
			UNION ALL
			SELECT attname,
				CASE WHEN typtype = 'd' THEN typbasetype ELSE typelem END,
				CASE WHEN typtype = 'd' THEN typtypmod ELSE mod END,
				domain OR typtype = 'd'
			FROM unwrapped JOIN pg_type ON oid = id
			WHERE typtype = 'd' OR typcategory = 'A'
		)
		SELECT attname::text, typname::text, mod, domain,
			ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = id ORDER BY enumsortorder)
		FROM unwrapped JOIN pg_type ON oid = id
		WHERE typtype <> 'd' AND typcategory <> 'A'`, sqlgen.QuoteName(table))
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
	}
	out := map[string]Column{}
	var name string
	var c Column
	_, err = pgx.ForEachRow(rows, []any{&name, &c.Type, &c.Mod, &c.Domain, &c.Labels}, func() error {
		out[name] = c
		c = Column{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("reading the columns of %s: there is no such table", table)
	}
	for name, c := range out {
		if !c.Domain {
			continue
		}
		if c.Values, err = someValues(ctx, db, table, name); err != nil {
			return nil, err
		}
		out[name] = c
	}
	return out, nil
}

func someValues(ctx context.Context, db DB, table, column string) ([]json.RawMessage, error) {
	quoted := sqlgen.QuoteName(column)
	rows, err := db.Query(ctx, fmt.Sprintf(
		"SELECT DISTINCT to_jsonb(%s) FROM (SELECT %[1]s FROM %s WHERE %[1]s IS NOT NULL LIMIT 1000) AS part LIMIT 50",
		quoted, sqlgen.QuoteName(table)))
	if err != nil {
		return nil, fmt.Errorf("reading values of %s.%s: %w", table, column, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	if err != nil {
		return nil, fmt.Errorf("reading values of %s.%s: %w", table, column, err)
	}
	return list, nil
}
