package oracle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/sqlgen"
)

// record is a row of a table: its cells by column.
type record map[string]cell

// relation is a field of rows of another table, whose columns are called as those of
// the tables around.
type relation struct {
	name, table string
	one         bool
	always      bool        // there always is a row
	join        [][2]string // columns of the table, and of the table around
	columns     []column
	relations   []relation
}

const notNull = "NOT NULL" // in the place of what NULL looks like

var (
	texts    = quoted("text", "a", "b", "", "Z", "read", "a%b")
	owners   = quoted("text", "a", "b")
	ids      = quoted("uuid", uuidA, uuidB, uuidC)
	booleans = []cell{{"true", true}, {"false", false}}

	noteColumns = []column{
		{"t", "text", "text", "", texts, `""`},
		{"i", "int", "int", "", numbers("0", "1", "2", "3"), `-1`},
		{"u", "uuid", "uuid", "", ids, `""`},
		{"b0", "boolean", "bool", "", booleans, notNull},
	}
	orgColumns = []column{
		{"t", "text", "text", "", texts, `"none"`},
		{"i0", "int", "int", "", numbers("1", "2", "3"), notNull},
		{"b", "boolean", "bool", "", booleans, "false"},
		{"j", "jsonb", "jsonb", "", jsons(`{"g1": ["read"]}`, `["a", "b"]`, `"a"`, "null"), "{}"},
	}
	makerRelation = relation{name: "maker", table: "Org Table", one: true, join: [][2]string{{"u", "u"}}, columns: orgColumns}

	// relations of a thing. A thing has no part, or several; a part no note, or several.
	relations = []relation{
		{
			name: "parts", table: "parts", join: [][2]string{{"thing", "row_id"}},
			columns: []column{
				{"t", "text", "text", "", texts, `""`},
				{"t0", "text", "text", "", texts, notNull},
				{"i", "bigint", "int", "", numbers("0", "1", "2", "3", "40000"), `0`},
				{"b", "boolean", "bool", "", booleans, `false`},
				{"u", "uuid", "uuid", "", ids, `""`},
				{"ta", "text[]", "text[]", "", arrays("text[]", []any{"a", "b"}, []any{}, []any{"x", nil}), `""`},
				{"j", "jsonb", "jsonb", "", jsons(`{"g1": ["read", "write"]}`, `["read", 1]`, "null", `{"n": 5}`), "{}"},
				{"ts", "timestamptz", "timestamptz", "", times("2006-01-02T15:04:05.999999999Z07:00"), `""`},
			},
			relations: []relation{
				{name: "notes", table: "app.notes", join: [][2]string{{"part", "row_id"}}, columns: noteColumns, relations: []relation{makerRelation}},
				makerRelation,
			},
		},
		{
			name: "org", table: "Org Table", one: true, join: [][2]string{{"u", "u"}}, columns: orgColumns,
			relations: []relation{
				{name: "members", table: "elem1", join: [][2]string{{"org", "u"}}, columns: noteColumns},
				{name: "above", table: "Org Table", one: true, join: [][2]string{{"u", "above"}}, columns: orgColumns},
			},
		},
		{name: "home", table: "homes", one: true, always: true, join: [][2]string{{"owner", "deep_owner"}}, columns: noteColumns},
		{name: "same", table: "things", join: [][2]string{{"i0", "i0"}, {"v", "u"}}, columns: columns[2:3], relations: []relation{
			{name: "same", table: "things", join: [][2]string{{"row_id", "row_id"}}, columns: columns[6:7]},
		}},
	}
)

// writeSchema writes the field of a schema, of which NULL and no row look as the
// convention says.
func (r relation) writeSchema(b *strings.Builder, indent, convention string) {
	kind, order, shown := "many", ", order: row_id", ""
	if r.one {
		kind, order = "one", ""
		shown = map[string]string{"absent": "absent: true", "value": `"null": "none"`}[convention]
		if r.always {
			shown = "not_null: true"
		}
	}
	join := make([]string, len(r.join))
	for i, on := range r.join {
		join[i] = on[0] + ": " + on[1]
	}
	fmt.Fprintf(b, "%s%s:\n%[1]s  %[3]s: {table: %s, join: {%s}%s}\n", indent, r.name, kind, r.table, strings.Join(join, ", "), order)
	if shown != "" {
		fmt.Fprintf(b, "%s  %s\n", indent, shown)
	}
	fmt.Fprintf(b, "%s  fields:\n%[1]s    kind: {const: %s}\n", indent, r.table)
	for _, c := range r.columns {
		nulls := ""
		switch {
		case c.null == notNull:
			nulls = ", not_null: true"
		case convention == "absent":
			nulls = ", absent: true"
		case convention == "value" && c.null != `{}`:
			nulls = `, "null": ` + c.null
		}
		fmt.Fprintf(b, "%s    %s: {column: %s, type: %q%s%s}\n", indent, c.name, c.name, c.schemaType, c.extra, nulls)
	}
	for _, below := range r.relations {
		below.writeSchema(b, indent+"    ", convention)
	}
}

// lay puts the documents of the rows that belong to a row into its document.
func (r relation) lay(doc map[string]any, row record, tables map[string][]record, convention string) {
	docs := []any{}
	for _, child := range tables[r.table] {
		if slices.ContainsFunc(r.join, func(on [2]string) bool { return row[on[1]] == null || child[on[0]].doc != row[on[1]].doc }) {
			continue
		}
		below := map[string]any{"kind": r.table}
		for _, c := range r.columns {
			switch v := child[c.name]; {
			case v.sql != "NULL" || convention == "null" || convention == "value" && c.null == `{}`:
				below[c.name] = v.doc
			case convention == "value":
				var shown any
				if err := json.Unmarshal([]byte(c.null), &shown); err != nil {
					panic(err)
				}
				below[c.name] = shown
			}
		}
		for _, next := range r.relations {
			next.lay(below, child, tables, convention)
		}
		docs = append(docs, below)
	}
	switch {
	case !r.one:
		doc[r.name] = docs
	case len(docs) == 1:
		doc[r.name] = docs[0]
	case convention == "null":
		doc[r.name] = nil
	case convention == "value":
		doc[r.name] = "none"
	}
}

// makeRelated makes the tables of the relations and fills them. It has random numbers
// of its own, so that the rows of the test table stay as they are.
func makeRelated(t testing.TB, db *pgxpool.Pool, things []record) map[string][]record {
	rng := rand.New(rand.NewPCG(3, 5))
	tables := map[string][]record{"things": things}
	add := func(table string, columns []column, own record) record {
		own["row_id"] = numbers(fmt.Sprint(len(tables[table])))[0]
		for _, c := range columns {
			if _, given := own[c.name]; given {
				continue
			}
			if own[c.name] = likely(rng, c.values); c.null != notNull && rng.IntN(4) == 0 {
				own[c.name] = null
			}
		}
		tables[table] = append(tables[table], own)
		return own
	}
	parts, org := relations[0], relations[1]
	for _, thing := range things {
		for range []int{0, 0, 1, 1, 2, 3}[rng.IntN(6)] {
			part := add(parts.table, parts.columns, record{"thing": thing["row_id"]})
			for range []int{0, 0, 1, 2}[rng.IntN(4)] {
				add("app.notes", noteColumns, record{"part": part["row_id"]})
			}
		}
	}
	add(parts.table, parts.columns, record{"thing": null})
	for i, id := range []cell{ids[0], ids[1], quoted("uuid", "00000000-0000-0000-0000-000000000000")[0]} {
		add(org.table, orgColumns, record{
			"u": id, "above": []cell{ids[1], null, ids[0]}[i], "t": []cell{texts[0], texts[1], null}[i],
			"i0": numbers("1", "2", "1")[i], "b": []cell{null, booleans[0], booleans[1]}[i], "j": orgColumns[3].values[i],
		})
		for j := range []int{3, 0, 2}[i] {
			add("elem1", noteColumns, record{"org": id, "t": []cell{texts[0], texts[1], null}[j]})
		}
	}
	for i, owner := range owners {
		add("homes", noteColumns, record{"owner": owner, "t": []cell{texts[0], null}[i]})
	}

	var sql strings.Builder
	sql.WriteString("CREATE SCHEMA app;")
	types := map[string]string{"row_id": "bigint", "thing": "bigint", "part": "bigint", "above": "uuid", "org": "uuid", "owner": "text"}
	for _, c := range slices.Concat(parts.columns, orgColumns, noteColumns) {
		types[c.name] = c.sqlType
	}
	names := make([]string, 0, len(tables))
	for name := range tables {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	for _, name := range names {
		if name == "things" {
			continue
		}
		var columns, values []string
		for c := range tables[name][0] {
			columns = append(columns, c)
		}
		slices.Sort(columns)
		for _, row := range tables[name] {
			var cells []string
			for _, c := range columns {
				cells = append(cells, row[c].sql)
			}
			values = append(values, "("+strings.Join(cells, ",")+")")
		}
		for i, c := range columns {
			columns[i] = c + " " + types[c]
		}
		fmt.Fprintf(&sql, "CREATE TABLE %s (%s); INSERT INTO %[1]s VALUES %[3]s;", sqlgen.QuoteName(name), strings.Join(columns, ", "), strings.Join(values, ","))
	}
	_, err := db.Exec(t.Context(), sql.String())
	require.NoError(t, err)
	return tables
}
