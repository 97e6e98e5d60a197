package catalog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/catalog"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

func read(t *testing.T, setup string, names catalog.Names) *catalog.Catalog {
	url := pgtest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), setup)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	c, err := catalog.Read(t.Context(), url, 20*time.Second, names)
	require.NoError(t, err)
	return c
}

func TestRead(t *testing.T) {
	c := read(t, `
CREATE TYPE status AS ENUM ('open', 'done');
CREATE DOMAIN email AS text NOT NULL CHECK (VALUE LIKE '%@%');
CREATE DOMAIN work_email AS email;
CREATE SCHEMA app;
CREATE TABLE app.documents (
	id uuid PRIMARY KEY, gone int, state status NOT NULL, states status[], mail work_email, mails work_email[],
	grid int[][], title varchar(20), size int GENERATED ALWAYS AS (length(title)) STORED, iv int2vector
);
ALTER TABLE app.documents DROP COLUMN gone;
CREATE TABLE "Odd Name" ("Column" text);
CREATE VIEW v AS SELECT id, title FROM app.documents;
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one;
CREATE TABLE log (at timestamptz NOT NULL, note text) PARTITION BY RANGE (at);
CREATE TABLE log_old PARTITION OF log FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
CREATE SEQUENCE numbers;
`, catalog.Names{
		Tables: []string{"app.documents", "documents", "Odd Name", "v", "mv", "log", "numbers", "a.b.c", "pg_class"},
		Types:  []string{"status", "public.status", "other.status", "email", "none"},
	})
	require.Equal(t, "UTF8", c.Encoding)
	require.Equal(t, []string{"public"}, c.SearchPath)
	require.Equal(t, []string{"Odd Name", "app.documents", "log", "mv", "v"}, c.Relations)
	for _, name := range []string{"documents", "numbers", "a.b.c"} {
		_, ok := c.Table(name)
		require.False(t, ok, name)
	}
	table := func(name string, kind catalog.Kind) *catalog.Table {
		found, ok := c.Table(name)
		require.True(t, ok, name)
		require.Equal(t, kind, found.Kind)
		return found
	}
	table("v", catalog.KindView)
	table("mv", catalog.KindMaterializedView)
	table("Odd Name", catalog.KindTable)
	table("pg_class", catalog.KindTable)
	at, ok := table("log", catalog.KindPartitionedTable).Column("at")
	require.True(t, ok)
	require.True(t, at.NotNull)

	docs := table("app.documents", catalog.KindTable)
	require.Equal(t, "app", docs.Schema)
	have := map[string]string{}
	for _, col := range docs.Columns {
		have[col.Name] = col.Type.Text
		require.Equal(t, col.Name == "id" || col.Name == "state", col.NotNull, col.Name)
	}
	require.Equal(t, map[string]string{
		"id": "uuid", "state": "status", "states": "status[]", "mail": "work_email", "mails": "work_email[]",
		"grid": "integer[]", "title": "character varying", "size": "integer", "iv": "int2vector",
	}, have)
	column := func(name string) *catalog.Column {
		col, ok := docs.Column(name)
		require.True(t, ok, name)
		return col
	}
	status, ok := c.Type("status")
	require.True(t, ok)
	require.True(t, status.IsEnum())
	require.Equal(t, []string{"open", "done"}, status.Labels)
	require.True(t, column("state").Type.Same(status))
	require.True(t, column("states").Type.Elem.Same(status))
	mail := column("mail").Type
	require.Equal(t, "text", mail.Plain().Name)
	require.True(t, mail.Base.NotNull)
	require.Equal(t, "text", column("mails").Type.Elem.Plain().Name)
	require.Equal(t, 2, column("grid").Dimensions)
	require.Nil(t, column("iv").Type.Elem, "int2vector is no array")
	require.Nil(t, column("title").Type.Elem)

	_, ok = c.Type("public.status")
	require.True(t, ok)
	for _, name := range []string{"other.status", "none"} {
		_, ok = c.Type(name)
		require.False(t, ok, name)
	}
}

// A column can be NULL where it can in a table that is a part of the table.
func TestNotNullOfParts(t *testing.T) {
	c := read(t, `
CREATE TABLE parent (a int NOT NULL, b int NOT NULL);
CREATE TABLE child (c int) INHERITS (parent);
CREATE TABLE grandchild () INHERITS (child);
ALTER TABLE grandchild ALTER b DROP NOT NULL;
CREATE FOREIGN DATA WRAPPER w;
CREATE SERVER s FOREIGN DATA WRAPPER w;
CREATE FOREIGN TABLE far (a int NOT NULL) SERVER s;
`, catalog.Names{Tables: []string{"parent", "child", "far"}})
	notNull := func(table, column string) bool {
		found, ok := c.Table(table)
		require.True(t, ok, table)
		col, ok := found.Column(column)
		require.True(t, ok, column)
		return col.NotNull
	}
	require.True(t, notNull("parent", "a"))
	require.False(t, notNull("parent", "b"))
	require.False(t, notNull("child", "b"))
	require.False(t, notNull("far", "a"), "nothing enforces it")
}

func TestReadFails(t *testing.T) {
	_, err := catalog.Read(t.Context(), "postgres://u:secret@:bad/x", time.Second, catalog.Names{})
	require.ErrorContains(t, err, "reading the database URL")
	require.NotContains(t, err.Error(), "secret")
	_, err = catalog.Read(t.Context(), "postgres://u:secret@127.0.0.1:1/x", time.Second, catalog.Names{})
	require.ErrorContains(t, err, "connecting to the database")
	require.NotContains(t, err.Error(), "secret")
}
