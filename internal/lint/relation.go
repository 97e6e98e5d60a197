package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/catalog"
)

// checkRelation compares a relation and its fields with the other table.
func (l *schemaLint) checkRelation(f *compiler.Field) {
	rel := f.Relation
	child := schemaLint{
		catalog: l.catalog, resource: l.resource, name: rel.Table,
		above: slices.Concat(l.above, f.Path), found: l.found,
	}
	child.checkTable(rel.Fields)
	if child.table == nil {
		return
	}
	joins := true
	for _, j := range rel.Join {
		own, okOwn := l.column(f, j.Parent)
		theirs, okTheirs := child.column(nil, j.Child)
		joins = joins && okOwn && okTheirs
		if okOwn && okTheirs && !comparable(own.Type, theirs.Type) {
			l.add(Error, CheckJoin, f,
				fmt.Sprintf("it joins %s.%s, which is %s, with %s.%s, which is %s: PostgreSQL does not compare them, and the SQL fails when it runs",
					rel.Table, j.Child, theirs.Type.Text, l.name, j.Parent, own.Type.Text),
				"join columns of one type")
		}
	}
	if rel.Order != "" {
		child.column(nil, rel.Order)
	}
	if joins && !rel.Many {
		l.checkOne(f, child.table)
	}
}

// checkOne looks for what makes the promises of one true: that no two rows join, and
// that there is one where the schema says not_null.
func (l *schemaLint) checkOne(f *compiler.Field, child *catalog.Table) {
	var theirs []string
	pairs := map[string]string{}
	for _, j := range f.Relation.Join {
		theirs = append(theirs, j.Child)
		pairs[j.Parent] = j.Child
	}
	if !child.Unique(theirs) {
		hint := fmt.Sprintf("CREATE UNIQUE INDEX ON %s (%s), or use many", f.Relation.Table, strings.Join(theirs, ", "))
		if child.Kind != catalog.KindTable && child.Kind != catalog.KindPartitionedTable {
			hint = "name a table that has a unique index, or use many"
		}
		l.add(Error, CheckOne, f,
			fmt.Sprintf("the schema says one, and nothing in the database keeps two rows of %s from having the same %s: rows could leak",
				f.Relation.Table, strings.Join(theirs, ", ")), hint)
	}
	if f.Relation.NotNull && (len(pairs) < len(f.Relation.Join) || !l.table.HasRow(child, pairs)) {
		l.add(Error, CheckOne, f,
			fmt.Sprintf("the schema says not_null, and no foreign key of columns that are NOT NULL sees to it that there is a row of %s: rows could leak", f.Relation.Table),
			"leave out not_null, or add the foreign key")
	}
}

// families are the types that PostgreSQL compares with each other.
var families = map[string]string{
	"int2": "number", "int4": "number", "int8": "number", "float4": "number", "float8": "number", "numeric": "number",
	"text": "text", "varchar": "text", "bpchar": "text", "name": "text",
	"date": "time", "timestamp": "time", "timestamptz": "time",
	"inet": "inet", "cidr": "inet", "interval": "span", "time": "span",
}

// comparable reports whether PostgreSQL has an = of the two types.
func comparable(a, b *catalog.Type) bool {
	plainA, plainB := a.Plain(), b.Plain()
	switch {
	case plainA.Name == "json", plainA.IsEnum() && (a.Base != nil || b.Base != nil): // it sees no enum in a domain
		return false
	case a.Same(b):
		return true
	case ofDomain(plainA), ofDomain(plainB):
		return false
	case plainA.Same(plainB):
		return true
	}
	family := families[plainA.Name]
	return family != "" && family == families[plainB.Name]
}

// ofDomain reports whether t is an array of a domain, which is another type than the
// array of what the domain is made of.
func ofDomain(t *catalog.Type) bool { return t.Elem != nil && t.Elem.Base != nil }
