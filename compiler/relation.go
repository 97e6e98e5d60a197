package compiler

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rowfence/rowfence/sqlgen"
)

// Relation says which rows of another table a field stands for.
type Relation struct {
	Many    bool   // an array of all the rows; else an object, of at most one row
	Table   string // name or schema.name
	Join    []Join // sorted by Child; all of them hold
	Order   string // the column that the array is sorted by; "" for any order
	NotNull bool   // there always is a row; never with Many
	Fields  []Field
}

// Join is a pair of columns that are equal, as SQL's = compares them.
type Join struct {
	Child  string // of the relation's table
	Parent string // of the table around
}

// isRelation reports whether a field of a schema is rows of another table.
func isRelation(f map[string]any) bool {
	_, many := f["many"]
	_, one := f["one"]
	return many || one
}

func (p *schemaParser) relation(at string, f map[string]any) *Relation {
	rel := &Relation{NotNull: p.flag(at, f, "not_null")}
	kind, not := "one", []string{"as", "column", "many", "type"}
	if _, rel.Many = f["many"]; rel.Many {
		kind, not = "many", []string{"absent", "as", "column", "not_null", "null", "one", "type"}
	}
	for _, k := range not {
		if _, ok := f[k]; ok {
			p.fail(CodeSchemaRelation, at, fmt.Sprintf("%s stands beside %s", k, kind), "")
		}
	}
	at += "." + kind
	from := p.object(at, f[kind])
	if rel.Many {
		p.keys(at, from, "many", "join", "order", "table")
	} else {
		p.keys(at, from, "one", "join", "table")
	}
	rel.Table = p.text(at, from, "table")
	switch err := sqlgen.CheckName(rel.Table); {
	case rel.Table == "":
		p.fail(CodeSchemaRelation, at, "table is missing", "")
	case err != nil:
		p.fail(CodeSchemaName, at+".table", err.Error(), "")
	}
	if rel.Order = p.text(at, from, "order"); rel.Order != "" {
		p.columnName(at+".order", rel.Order)
	}
	rel.Join = p.join(at+".join", from)
	fields := map[string]map[string]any{}
	for path, field := range p.object(at+".fields", f["fields"]) {
		fields[path] = p.object(at+".fields."+path, field)
	}
	rel.Fields = p.fields(at, fields)
	return rel
}

func (p *schemaParser) join(at string, from map[string]any) []Join {
	columns := p.object(at, from["join"])
	var out []Join
	for _, child := range slices.Sorted(maps.Keys(columns)) {
		parent := p.text(at, columns, child)
		p.columnName(at, child)
		p.columnName(at, parent)
		out = append(out, Join{child, parent})
	}
	if len(out) == 0 {
		p.fail(CodeSchemaRelation, at, "no columns are joined", "write join: {column of the relation's table: column of the table around}")
	}
	return out
}

// object reads a part of the schema that has keys; none where it is missing.
func (p *schemaParser) object(at string, v any) map[string]any {
	obj, ok := v.(map[string]any)
	if !ok && v != nil {
		p.fail(CodeSchemaSyntax, at, fmt.Sprintf("want keys and values, have %v", v), "")
	}
	return obj
}
