package lint_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/catalog"
	"github.com/rowfence/rowfence/internal/lint"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/policies"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

const tables = `
CREATE TYPE state AS ENUM ('active', 'draft');
CREATE TYPE colour AS ENUM ('red');
CREATE SCHEMA app;
CREATE TYPE app.level AS ENUM ('low');
CREATE DOMAIN email AS text;
CREATE DOMAIN must AS int NOT NULL;
CREATE DOMAIN labels AS text[];
CREATE DOMAIN own_state AS state;
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE good (
	u uuid, u0 uuid NOT NULL, t text, v varchar(9), b boolean, i2 smallint, i4 integer, i8 bigint, f double precision,
	n numeric(9, 2), ts timestamptz(3), d date, ip inet, j jsonb, e state, ea state[], ta text[], va varchar(3)[], ua uuid[],
	mail email, dl labels, gen int GENERATED ALWAYS AS (length(t)) STORED, level app.level
);
CREATE TABLE bad (
	c char(4), ca char(4)[], nm name, f4 real, f4a real[], ts timestamp, cd cidr, j json, by bytea, m money, big numeric,
	t text, i int NOT NULL, e state, de own_state, da email[], md text[][], ja jsonb[], iv int2vector, must must, loose text COLLATE loose, i0 int
);
CREATE TABLE app.hidden (id int NOT NULL);
CREATE TABLE audit_logs (id int NOT NULL);
CREATE VIEW good_view AS SELECT u0, t FROM good;
CREATE FOREIGN DATA WRAPPER w;
CREATE SERVER s FOREIGN DATA WRAPPER w;
CREATE FOREIGN TABLE far (a int NOT NULL) SERVER s;
`

func compare(t *testing.T, schema string) []string { return compareOn(t, tables, schema) }

// compareOn are the findings of a schema on a database in which the SQL has run.
func compareOn(t *testing.T, sql, schema string) []string {
	url := pgtest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	all := resources(t, schema)
	c, err := catalog.Read(t.Context(), url, 20*time.Second, lint.Names(all))
	require.NoError(t, err)
	found := lint.Schema(all, c)
	lint.Sort(found)
	var out []string
	for _, f := range found {
		out = append(out, line(f))
	}
	return out
}

// Every type that a schema has fits the types of PostgreSQL that the reference says.
func TestSchemaFits(t *testing.T) {
	require.Empty(t, compare(t, `
resources:
  good:
    table: good
    fields:
      u: {column: u, type: uuid}
      u0: {column: u0, type: uuid, not_null: true}
      t: {column: t, type: text}
      v: {column: v, type: text}
      b: {column: b, type: bool}
      i2: {column: i2, type: int}
      i4: {column: i4, type: int}
      i8: {column: i8, type: int}
      f: {column: f, type: float}
      n: {column: n, type: numeric}
      ts: {column: ts, type: timestamptz, as: unix_ns}
      d: {column: d, type: date}
      ip: {column: ip, type: inet}
      j: {column: j, type: jsonb}
      e: {column: e, type: enum(state)}
      ea: {column: ea, type: "enum(public.state)[]"}
      ta: {column: ta, type: "text[]"}
      va: {column: va, type: "text[]"}
      ua: {column: ua, type: "uuid[]"}
      mail: {column: mail, type: text}
      dl: {column: dl, type: "text[]"}
      gen: {column: gen, type: int}
      level: {column: level, type: enum(app.level)}
      c: {const: 1}
  view:
    table: public.good_view
    fields: {id: {column: u0, type: uuid}, t: {column: t, type: text}}
  hidden:
    table: app.hidden
    fields: {id: {column: id, type: int, not_null: true}}
`))
}

func TestSchemaDiffers(t *testing.T) {
	require.Equal(t, []string{
		"error type bad big: column big is numeric, and the schema says int (say type: numeric)",
		"error type bad by: column by is bytea, and the schema says text (cast it in a generated column or a view: no type of a schema is this one)",
		"error type bad c: column c is character, and the schema says text: the policy would see its texts with the spaces that fill them up, and SQL compares without those (ALTER the column to text)",
		"error type bad ca: column ca is character[], and the schema says text[]: the policy would see its texts with the spaces that fill them up, and SQL compares without those (ALTER the column to text)",
		"error type bad cd: column cd is cidr, and the schema says inet: the policy would see 10.0.0.1/32 where SQL compares 10.0.0.1 (ALTER the column to inet)",
		"error type bad da: column da is an array of the domain email: PostgreSQL does not compare that with other arrays, and the SQL fails when it runs (ALTER the column to text[])",
		"error type bad de: column de is of the domain own_state over an enum: PostgreSQL does not compare that with the enum, and the SQL fails when it runs (ALTER the column to state)",
		"error type bad e: column e is state, and the schema says text (say type: enum(state))",
		"error type bad f4: column f4 is real, and the schema says float: the policy would see 0.1 where SQL compares 0.10000000149011612 (ALTER the column to double precision)",
		"error type bad f4a: column f4a is real[], and the schema says float[]: the policy would see 0.1 where SQL compares 0.10000000149011612 (ALTER the column to double precision)",
		"error nullable bad i0: the schema says not_null, and column i0 can be NULL: rows would leak (leave out not_null, or ALTER TABLE bad ALTER COLUMN i0 SET NOT NULL)",
		"error type bad iv: column iv is int2vector, and the schema says int[] (cast it in a generated column or a view: no type of a schema is this one)",
		"error type bad j: column j is json, and the schema says jsonb: it keeps texts, and has no equality (ALTER the column to jsonb)",
		"error type bad ja: column ja is jsonb[], and the schema says text[] (cast it in a generated column or a view: no type of a schema is this one)",
		"error collation bad loose: column loose has the collation loose, under which different texts may be equal (give the column a deterministic collation)",
		"error type bad m: column m is money, and the schema says numeric: its texts depend on the session (ALTER the column to numeric)",
		"error array bad md: column md is an array of 2 dimensions: the policy would see arrays in it, and SQL compares their elements (use an array of one dimension, or jsonb)",
		"error column bad missing: table bad has no column tt (did you mean t or ts?)",
		"error nullable bad must: the schema says not_null, and column must is NOT NULL by its domain must only: an empty subquery gets a NULL in, and rows would leak (ALTER TABLE bad ALTER COLUMN must SET NOT NULL, or leave out not_null)",
		"error type bad nm: column nm is name, and the schema says text: texts that are compared with it are cut to 63 bytes (ALTER the column to text)",
		"error column bad none: table bad has no column whatever (it has c, ca, nm, f4, f4a, ts, cd, j, by, m, big, t, …)",
		"error type bad t: column t is text, and the schema says uuid (say type: text)",
		"error type bad ts: column ts is timestamp without time zone, and the schema says timestamptz: without a time zone it is no point in time (ALTER the column to timestamptz, saying of which time zone it is)",
		"error enum enums another: the database has no type stat (say type: enum(state))",
		"error type enums array: column ea is state[], and the schema says enum(state) (say type: enum(state)[])",
		"error type enums hidden: column level is app.level, and the schema says enum(colour) (say type: enum(app.level))",
		"error enum enums none: type email is no enumerated type (say type: text)",
		"error type enums text: column t is text, and the schema says enum(state) (say type: text)",
		"error nullable far a: the schema says not_null, and nothing enforces that for column a of a foreign table: rows could leak (leave out not_null)",
		"error table hidden: the database has no table or view hidden (write app.hidden: its schema is not in the search path (public))",
		"error table parts: the database has no table or view a.b.c (write name or schema.name)",
		"error table typo: the database has no table or view audit_log (did you mean audit_logs?)",
		"error nullable view id: the schema says not_null, and every column of a view can be NULL for all that PostgreSQL knows, u0 too: rows could leak (leave out not_null, or name the table in the schema)",
		"warning not-null bad i: column i is NOT NULL, and the schema does not say so (say not_null: true: the SQL is shorter for it)",
	}, compare(t, `
resources:
  bad:
    table: bad
    fields:
      c: {column: c, type: text}
      ca: {column: ca, type: "text[]"}
      nm: {column: nm, type: text}
      f4: {column: f4, type: float}
      f4a: {column: f4a, type: "float[]"}
      ts: {column: ts, type: timestamptz}
      cd: {column: cd, type: inet}
      j: {column: j, type: jsonb}
      by: {column: by, type: text}
      m: {column: m, type: numeric}
      big: {column: big, type: int}
      t: {column: t, type: uuid}
      i: {column: i, type: int}
      e: {column: e, type: text}
      de: {column: de, type: enum(state)}
      da: {column: da, type: "text[]"}
      md: {column: md, type: "text[]"}
      ja: {column: ja, type: "text[]"}
      iv: {column: iv, type: "int[]"}
      must: {column: must, type: int, not_null: true}
      loose: {column: loose, type: text}
      i0: {column: i0, type: int, not_null: true}
      missing: {column: tt, type: int}
      none: {column: whatever, type: int}
  enums:
    table: good
    fields:
      another: {column: e, type: enum(stat)}
      array: {column: ea, type: enum(state)}
      hidden: {column: level, type: enum(colour)}
      none: {column: mail, type: enum(email)}
      text: {column: t, type: enum(state)}
  far:    {table: far, fields: {a: {column: a, type: int, not_null: true}}}
  hidden: {table: hidden, fields: {id: {column: id, type: int, not_null: true}}}
  parts:  {table: a.b.c, fields: {id: {column: id, type: int}}}
  typo:   {table: audit_log, fields: {id: {column: id, type: int}}}
  view:   {table: good_view, fields: {id: {column: u0, type: uuid, not_null: true}}}
`))
}

// The bundled schema is that of the server's tables.
func TestBundledSchema(t *testing.T) {
	url := pgtest.URL(t)
	pool, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)))
	all := resources(t, string(policies.Schema()))
	c, err := catalog.Read(t.Context(), url, 20*time.Second, lint.Names(all))
	require.NoError(t, err)
	require.Empty(t, lint.Schema(all, c))
}
