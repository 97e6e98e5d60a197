package oracle

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/pglocal/pgtest"
	"github.com/rowfence/rowfence/rego"
)

// TestArraysOfEachType holds functions of arrays against OPA, on columns of all types
// of elements.
func TestArraysOfEachType(t *testing.T) {
	ctx := context.Background()
	db := pgtest.New(t)
	columns := []struct{ name, element, values, constant string }{
		{"ints", "bigint", "1,2,9223372036854775807,-3", "3"},
		{"floats", "double precision", "0.1,0.2,2.5,1e300", "2.5"},
		{"numerics", "numeric", "0.1,2.50,12345678901234567890,-3", "2.5"},
		{"bools", "boolean", "true,false,true", "true"},
		{"texts", "text", "'b','a','Z','é'", `"b"`},
		{"uuids", "uuid", "'" + uuidA + "','" + uuidB + "'", `"` + uuidB + `"`},
		{"dates", "date", "'2026-01-02','1999-12-31'", `"2026-01-02"`},
		{"inets", "inet", "'10.0.0.1','9.0.0.0/8','::1'", `"9.0.0.0/8"`},
	}
	types := map[string]string{"bigint": "int", "double precision": "float", "boolean": "bool"}
	var names, ddl, fields, rows []string
	var lists [][]string
	for _, c := range columns {
		names = append(names, c.name)
		ddl = append(ddl, c.name+" "+c.element+"[]")
		shown := types[c.element]
		if shown == "" {
			shown = c.element
		}
		fields = append(fields, fmt.Sprintf("%s: {column: %[1]s, type: %q}", c.name, shown+"[]"))
		all := strings.Split(c.values, ",")
		array := func(values ...string) string {
			return "ARRAY[" + strings.Join(values, ",") + "]::" + c.element + "[]"
		}
		lists = append(lists, []string{"NULL", array(), array("NULL"), array(all[0]), array(all...), array(append(all[1:], "NULL")...), array(all[1:]...)})
	}
	for i := range lists[0] {
		var row []string
		for _, l := range lists {
			row = append(row, l[i])
		}
		rows = append(rows, "("+strings.Join(row, ",")+")")
	}
	_, err := db.Exec(ctx, "CREATE TABLE arrays ("+strings.Join(ddl, ", ")+"); INSERT INTO arrays VALUES "+strings.Join(rows, ","))
	require.NoError(t, err)
	schema, err := compiler.ParseSchema([]byte("{resources: {r: {table: arrays, fields: {" + strings.Join(fields, ", ") + "}}}}"))
	require.NoError(t, err)
	resource, err := schema.Resource("r")
	require.NoError(t, err)

	check := func(body string) {
		t.Helper()
		policy, err := rego.Load(ctx, rego.Module("policy.rego", "package authz\n\nimport rego.v1\n\nallow if "+body))
		require.NoError(t, err)
		query, err := policy.Prepare(ctx, "data.authz.allow")
		require.NoError(t, err)
		c := Case{Query: query, Resource: resource}
		all, err := Rows(ctx, db, c, "")
		require.NoError(t, err)
		report, err := Check(ctx, db, c, all)
		require.NoError(t, err, body)
		require.NoError(t, report.Err(), body)
	}
	for i, c := range columns {
		for _, fn := range []string{"max", "min"} {
			for _, op := range []string{"==", "!=", "<", "<=", ">", ">="} {
				for _, not := range []string{"", "not "} {
					check(fmt.Sprintf("%s%s(input.object.%s) %s %s", not, fn, names[i], op, c.constant))
				}
			}
		}
	}
	for _, body := range []string{"sum(input.object.ints) == 3", "sum(input.object.ints) > 1", "sum(input.object.ints) + 1 == 9223372036854775808", "not sum(input.object.ints) < 5", "sum(input.object.texts) == 0"} {
		check(body)
	}
}
