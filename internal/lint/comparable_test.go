package lint

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/catalog"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
)

// What is said to be comparable PostgreSQL compares, and nothing else.
func TestComparable(t *testing.T) {
	url := pgtest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `
CREATE TYPE state AS ENUM ('a'); CREATE TYPE other AS ENUM ('a');
CREATE DOMAIN own_state AS state; CREATE DOMAIN email AS text; CREATE DOMAIN labels AS text[];
CREATE TABLE t (
	u uuid, t text, v varchar(9), c char(4), n name, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, num numeric,
	b boolean, d date, ts timestamp, tz timestamptz, ip inet, net cidr, j json, jb jsonb, e state, o other, de own_state,
	mail email, ta text[], va varchar[], ia int[], la bigint[], da email[], l labels, ea state[], m money, by bytea, iv interval, tm time
)`)
	require.NoError(t, err)
	c, err := catalog.Read(t.Context(), url, 20*time.Second, catalog.Names{Tables: []string{"t"}})
	require.NoError(t, err)
	table, ok := c.Table("t")
	require.True(t, ok)
	equal := 0
	for _, a := range table.Columns {
		for _, b := range table.Columns {
			_, err := conn.Exec(t.Context(), fmt.Sprintf("SELECT FROM t x JOIN t y ON x.%s = y.%s", a.Name, b.Name))
			if have := comparable(a.Type, b.Type); have != (err == nil) {
				t.Errorf("%s = %s: we say %v, PostgreSQL %v", a.Type.Text, b.Type.Text, have, err)
			}
			if err == nil {
				equal++
			}
		}
	}
	t.Logf("%d pairs of %d types, %d of them comparable", len(table.Columns)*len(table.Columns), len(table.Columns), equal)
}
