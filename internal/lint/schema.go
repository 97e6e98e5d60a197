package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/catalog"
	"github.com/rowfence/rowfence/sqlgen"
)

// Names are what a catalogue has to be read for, to check the resources.
func Names(resources []*compiler.Resource) catalog.Names {
	var n catalog.Names
	var fields func([]compiler.Field)
	fields = func(list []compiler.Field) {
		for _, f := range list {
			switch {
			case f.Relation != nil:
				n.Tables = append(n.Tables, f.Relation.Table)
				fields(f.Relation.Fields)
			case f.Const == nil && f.Column.Type.Kind == sqlgen.KindEnum:
				n.Types = append(n.Types, f.Column.Type.Enum)
			}
		}
	}
	for _, r := range resources {
		n.Tables = append(n.Tables, r.Table)
		fields(r.Fields)
	}
	slices.Sort(n.Tables)
	slices.Sort(n.Types)
	n.Tables, n.Types = slices.Compact(n.Tables), slices.Compact(n.Types)
	return n
}

// Schema compares resources with the database.
func Schema(resources []*compiler.Resource, c *catalog.Catalog) []Finding {
	var found []Finding
	if c.Encoding != "UTF8" {
		found = append(found, Finding{
			Severity: Error, Check: CheckEncoding,
			Reason: fmt.Sprintf("the database's encoding is %s: texts order and measure otherwise than in the policy", c.Encoding),
			Hint:   "use a database whose encoding is UTF8",
		})
	}
	for _, r := range resources {
		l := schemaLint{catalog: c, resource: r.Name, name: r.Table, found: &found}
		l.checkTable(r.Fields)
	}
	return found
}

// schemaLint is the comparison of one table: that of a resource, or of a relation.
type schemaLint struct {
	catalog  *catalog.Catalog
	resource string
	name     string // of the table, as the schema writes it
	above    []string
	table    *catalog.Table
	found    *[]Finding
}

// add says something of a field, or of the table where f is nil.
func (l *schemaLint) add(severity Severity, check Check, f *compiler.Field, reason, hint string) {
	path := l.above
	if f != nil {
		path = slices.Concat(path, f.Path)
	}
	*l.found = append(*l.found, Finding{
		Severity: severity, Check: check, Resource: l.resource, Field: strings.Join(path, "."), Reason: reason, Hint: hint,
	})
}

func (l *schemaLint) checkTable(fields []compiler.Field) {
	table, ok := l.catalog.Table(l.name)
	if !ok {
		l.add(Error, CheckTable, nil, fmt.Sprintf("the database has no table or view %s", l.name), l.tableHint())
		return
	}
	l.table = table
	for i := range fields {
		switch f := &fields[i]; {
		case f.Relation != nil:
			l.checkRelation(f)
		case f.Const == nil:
			l.checkColumn(f)
		}
	}
}

func (l *schemaLint) tableHint() string {
	want := l.name
	if !strings.Contains(want, ".") {
		var elsewhere []string
		for _, n := range l.catalog.Relations {
			if _, name, ok := strings.Cut(n, "."); ok && name == want {
				elsewhere = append(elsewhere, n)
			}
		}
		if len(elsewhere) > 0 {
			return fmt.Sprintf("write %s: its schema is not in the search path (%s)", choice(elsewhere), strings.Join(l.catalog.SearchPath, ", "))
		}
	}
	if strings.Count(want, ".") > 1 {
		return "write name or schema.name"
	}
	return didYouMean(want, l.catalog.Relations)
}

func (l *schemaLint) checkColumn(f *compiler.Field) {
	column, ok := l.column(f, f.Column.Name)
	if !ok {
		return
	}
	if l.checkType(f, column) && column.Nondeterministic != "" {
		l.add(Error, CheckCollation, f,
			fmt.Sprintf("column %s has the collation %s, under which different texts may be equal", column.Name, column.Nondeterministic),
			"give the column a deterministic collation")
	}
	l.checkNull(f, column)
}

// column is the table's column of the name, which the field f asks for.
func (l *schemaLint) column(f *compiler.Field, name string) (*catalog.Column, bool) {
	column, ok := l.table.Column(name)
	if !ok {
		var names []string
		for _, c := range l.table.Columns {
			names = append(names, c.Name)
		}
		hint := didYouMean(name, names)
		if hint == "" {
			hint = "it has " + list(names)
		}
		l.add(Error, CheckColumn, f, fmt.Sprintf("%v %s has no column %s", l.table.Kind, l.name, name), hint)
	}
	return column, ok
}

func (l *schemaLint) checkNull(f *compiler.Field, c *catalog.Column) {
	kind := l.table.Kind
	view := kind == catalog.KindView || kind == catalog.KindMaterializedView
	switch {
	case f.Column.NotNull && c.NotNull, !f.Column.NotNull && !c.NotNull:
	case !f.Column.NotNull:
		l.add(Warning, CheckNotNull, f, fmt.Sprintf("column %s is NOT NULL, and the schema does not say so", c.Name),
			"say not_null: true: the SQL is shorter for it")
	case view:
		l.add(Error, CheckNullable, f,
			fmt.Sprintf("the schema says not_null, and every column of a %v can be NULL for all that PostgreSQL knows, %s too: rows could leak", kind, c.Name),
			"leave out not_null, or name the table in the schema")
	case kind == catalog.KindForeignTable:
		l.add(Error, CheckNullable, f,
			fmt.Sprintf("the schema says not_null, and nothing enforces that for column %s of a foreign table: rows could leak", c.Name),
			"leave out not_null")
	case domainNotNull(c.Type):
		l.add(Error, CheckNullable, f,
			fmt.Sprintf("the schema says not_null, and column %s is NOT NULL by its domain %s only: an empty subquery gets a NULL in, and rows would leak", c.Name, c.Type.Text),
			fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL, or leave out not_null", l.name, c.Name))
	default:
		l.add(Error, CheckNullable, f,
			fmt.Sprintf("the schema says not_null, and column %s can be NULL: rows would leak", c.Name),
			fmt.Sprintf("leave out not_null, or ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", l.name, c.Name))
	}
}

func domainNotNull(t *catalog.Type) bool {
	for ; t != nil; t = t.Base {
		if t.NotNull {
			return true
		}
	}
	return false
}
