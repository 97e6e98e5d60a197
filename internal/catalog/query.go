package catalog

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// reader asks PostgreSQL's catalogue inside a transaction.
type reader struct {
	tx    pgx.Tx
	types map[uint32]*Type
}

func (r *reader) limit(ctx context.Context, timeout time.Duration) error {
	ms := strconv.FormatInt(max(timeout.Milliseconds(), 1), 10)
	if _, err := r.tx.Exec(ctx, "SELECT set_config('statement_timeout', $1, true)", ms); err != nil {
		return fmt.Errorf("limiting the time of statements: %w", err)
	}
	return nil
}

const databaseSQL = `SELECT current_setting('server_encoding'), current_schemas(false)::text[]`

func (r *reader) database(ctx context.Context, c *Catalog) error {
	if err := r.tx.QueryRow(ctx, databaseSQL).Scan(&c.Encoding, &c.SearchPath); err != nil {
		return fmt.Errorf("reading the database's settings: %w", err)
	}
	return nil
}

// A name that is not qualified is what is visible; of a qualified one the schema
// counts. No permission on a schema is needed, as to_regclass needs it.
const tablesSQL = `
SELECT want.place, c.oid, n.nspname::text, c.relname::text, c.relkind::text,
	c.relkind <> 'p' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS want(schema, name, place)
JOIN pg_catalog.pg_class c ON c.relname = want.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE CASE WHEN want.schema = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = want.schema END`

func (r *reader) tables(ctx context.Context, names []name) (map[string]*Table, error) {
	out := map[string]*Table{}
	byOID := map[uint32]*Table{}
	var oids []uint32
	err := r.each(ctx, "looking for tables", tablesSQL, []any{schemas(names), plain(names)}, func(row pgx.Rows) error {
		var place int
		t := &Table{}
		if err := row.Scan(&place, &t.oid, &t.Schema, &t.Name, &t.Kind, &t.parts); err != nil {
			return err
		}
		if have := byOID[t.oid]; have != nil { // named in two ways
			t = have
		} else {
			byOID[t.oid] = t
			oids = append(oids, t.oid)
		}
		out[names[place-1].full] = t
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, read := range []func(context.Context, []uint32, map[uint32]*Table) error{r.columns, r.uniqueKeys, r.foreignKeys} {
		if err := read(ctx, oids, byOID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// An index on expressions has no column for them, and one on a part of the rows says
// nothing of the others. Columns that are only included are not among the keys.
const uniqueSQL = `
SELECT x.indrelid, ARRAY(
	SELECT a.attname::text FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = x.indrelid AND a.attnum = ANY((x.indkey::int2[])[0:x.indnkeyatts - 1])
)
FROM pg_catalog.pg_index x
WHERE x.indrelid = ANY($1::oid[]) AND x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
ORDER BY x.indexrelid`

func (r *reader) uniqueKeys(ctx context.Context, oids []uint32, tables map[uint32]*Table) error {
	return r.each(ctx, "reading unique indexes", uniqueSQL, []any{oids}, func(row pgx.Rows) error {
		var table uint32
		var key []string
		err := row.Scan(&table, &key)
		if err == nil {
			tables[table].unique = append(tables[table].unique, key)
		}
		return err
	})
}

const foreignSQL = `
SELECT k.conrelid, k.confrelid, array_agg(a.attname::text ORDER BY pair.place), array_agg(b.attname::text ORDER BY pair.place)
FROM pg_catalog.pg_constraint k
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS pair(own, theirs, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.own
JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.theirs
WHERE k.contype = 'f' AND k.convalidated AND k.conrelid = ANY($1::oid[])
GROUP BY k.oid, k.conrelid, k.confrelid
ORDER BY k.oid`

func (r *reader) foreignKeys(ctx context.Context, oids []uint32, tables map[uint32]*Table) error {
	return r.each(ctx, "reading foreign keys", foreignSQL, []any{oids}, func(row pgx.Rows) error {
		var table uint32
		var own, theirs []string
		key := foreignKey{columns: map[string]string{}}
		if err := row.Scan(&table, &key.table, &own, &theirs); err != nil {
			return err
		}
		for i := range own {
			key.columns[own[i]] = theirs[i]
		}
		tables[table].foreign = append(tables[table].foreign, key)
		return nil
	})
}

// A table's rows are also those of its partitions and of the tables that inherit from
// it, where a column can be NULL although it can't in the table itself. Nothing
// enforces what a foreign table says, nor a constraint that is not valid yet.
const columnsSQL = `
WITH RECURSIVE part AS (
	SELECT oid AS root, oid FROM unnest($1::oid[]) AS oid
	UNION
	SELECT part.root, i.inhrelid FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid
)
SELECT a.attrelid, a.attname::text, a.atttypid, a.attndims::int,
	(
		SELECT bool_and(p.attnotnull AND c.relkind <> 'f' AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_constraint k
			WHERE k.conrelid = p.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[p.attnum] AND NOT k.convalidated
		))
		FROM part
		JOIN pg_catalog.pg_class c ON c.oid = part.oid
		JOIN pg_catalog.pg_attribute p ON p.attrelid = part.oid AND p.attname = a.attname AND NOT p.attisdropped
		WHERE part.root = a.attrelid
	),
	coalesce((SELECT l.collname::text FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation AND NOT l.collisdeterministic), '')
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`

func (r *reader) columns(ctx context.Context, oids []uint32, tables map[uint32]*Table) error {
	type typed struct {
		column Column
		table  uint32
		of     uint32
	}
	var all []typed
	var types []uint32
	err := r.each(ctx, "reading columns", columnsSQL, []any{oids}, func(row pgx.Rows) error {
		var c typed
		err := row.Scan(&c.table, &c.column.Name, &c.of, &c.column.Dimensions, &c.column.NotNull, &c.column.Nondeterministic)
		all = append(all, c)
		types = append(types, c.of)
		return err
	})
	if err != nil {
		return err
	}
	if err := r.load(ctx, types); err != nil {
		return err
	}
	for _, c := range all {
		c.column.Type = r.types[c.of]
		tables[c.table].Columns = append(tables[c.table].Columns, c.column)
	}
	return nil
}

const namedTypesSQL = `
SELECT want.place, t.oid
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS want(schema, name, place)
JOIN pg_catalog.pg_type t ON t.typname = want.name
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE CASE WHEN want.schema = '' THEN pg_catalog.pg_type_is_visible(t.oid) ELSE n.nspname = want.schema END`

func (r *reader) named(ctx context.Context, names []name) (map[string]*Type, error) {
	oids := map[string]uint32{}
	var list []uint32
	err := r.each(ctx, "looking for types", namedTypesSQL, []any{schemas(names), plain(names)}, func(row pgx.Rows) error {
		var place int
		var oid uint32
		err := row.Scan(&place, &oid)
		if err == nil {
			oids[names[place-1].full] = oid
			list = append(list, oid)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := r.load(ctx, list); err != nil {
		return nil, err
	}
	out := map[string]*Type{}
	for name, oid := range oids {
		out[name] = r.types[oid]
	}
	return out, nil
}

// typesSQL asks for types, what domains are made of, and the elements of arrays. A
// type with an element is an array only where it is the element's array type.
const typesSQL = `
WITH RECURSIVE wanted AS (
	SELECT t.oid, t.typbasetype, t.typelem FROM pg_catalog.pg_type t WHERE t.oid = ANY($1::oid[])
	UNION
	SELECT t.oid, t.typbasetype, t.typelem FROM wanted JOIN pg_catalog.pg_type t ON t.oid IN (wanted.typbasetype, wanted.typelem)
)
SELECT t.oid, n.nspname::text, t.typname::text, pg_catalog.format_type(t.oid, NULL), t.typbasetype,
	coalesce((SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid), 0),
	t.typnotnull, t.typtype = 'e',
	ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder)
FROM wanted JOIN pg_catalog.pg_type t ON t.oid = wanted.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace`

func (r *reader) load(ctx context.Context, oids []uint32) error {
	type links struct{ base, elem uint32 }
	found := map[uint32]links{}
	err := r.each(ctx, "reading types", typesSQL, []any{oids}, func(row pgx.Rows) error {
		t, l := &Type{}, links{}
		if err := row.Scan(&t.oid, &t.Schema, &t.Name, &t.Text, &l.base, &l.elem, &t.NotNull, &t.enum, &t.Labels); err != nil {
			return err
		}
		r.types[t.oid] = t
		found[t.oid] = l
		return nil
	})
	if err != nil {
		return err
	}
	for oid, l := range found {
		r.types[oid].Base = r.types[l.base] // nil for 0
		r.types[oid].Elem = r.types[l.elem]
	}
	return nil
}

// The names that are looked through for one that may be meant; not more than one can wait for.
const relationsSQL = `
SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname::text ELSE n.nspname || '.' || c.relname END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
	AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1 LIMIT 10000`

func (r *reader) relations(ctx context.Context) ([]string, error) {
	var out []string
	err := r.each(ctx, "reading the names of tables", relationsSQL, nil, func(row pgx.Rows) error {
		var name string
		err := row.Scan(&name)
		out = append(out, name)
		return err
	})
	return out, err
}

func (r *reader) each(ctx context.Context, doing, sql string, args []any, visit func(pgx.Rows) error) error {
	rows, err := r.tx.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func schemas(names []name) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n.schema
	}
	return out
}

func plain(names []name) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n.name
	}
	return out
}
