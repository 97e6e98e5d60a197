package lint

import (
	"fmt"
	"strings"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/internal/catalog"
	"github.com/rowfence/rowfence/sqlgen"
)

// kinds are the types of PostgreSQL that schemas have, by PostgreSQL's own names.
var kinds = map[string]sqlgen.Kind{
	"uuid":        sqlgen.KindUUID,
	"text":        sqlgen.KindText,
	"varchar":     sqlgen.KindText,
	"bool":        sqlgen.KindBool,
	"int2":        sqlgen.KindInt,
	"int4":        sqlgen.KindInt,
	"int8":        sqlgen.KindInt,
	"float8":      sqlgen.KindFloat,
	"numeric":     sqlgen.KindNumeric,
	"timestamptz": sqlgen.KindTimestamptz,
	"date":        sqlgen.KindDate,
	"inet":        sqlgen.KindInet,
	"jsonb":       sqlgen.KindJSONB,
}

// strangers are types that look like one of a schema's and are not, with the reason
// and a way out: the SQL would differ from the policy.
var strangers = map[string]struct{ reason, hint string }{
	"bpchar":    {"the policy would see its texts with the spaces that fill them up, and SQL compares without those", "ALTER the column to text"},
	"name":      {"texts that are compared with it are cut to 63 bytes", "ALTER the column to text"},
	"citext":    {"it compares without regard to case, and the policy does not", "ALTER the column to text"},
	"float4":    {"the policy would see 0.1 where SQL compares 0.10000000149011612", "ALTER the column to double precision"},
	"money":     {"its texts depend on the session", "ALTER the column to numeric"},
	"timestamp": {"without a time zone it is no point in time", "ALTER the column to timestamptz, saying of which time zone it is"},
	"cidr":      {"the policy would see 10.0.0.1/32 where SQL compares 10.0.0.1", "ALTER the column to inet"},
	"json":      {"it keeps texts, and has no equality", "ALTER the column to jsonb"},
}

// checkType reports whether the column has the type that the schema says.
func (l *schemaLint) checkType(f *compiler.Field, c *catalog.Column) bool {
	want, have := f.Column.Type, c.Type.Plain()
	elem := have
	if have.Elem != nil {
		elem = have.Elem.Plain()
	}
	mismatch := func(reason, hint string) bool {
		text := fmt.Sprintf("column %s is %s, and the schema says %v", c.Name, c.Type.Text, want)
		if c.Type.Base != nil {
			text = fmt.Sprintf("column %s is of the domain %s over %s, and the schema says %v", c.Name, c.Type.Text, have.Text, want)
		}
		if reason != "" {
			text += ": " + reason
		}
		l.add(Error, CheckType, f, text, hint)
		return false
	}
	declared := l.declared(have)
	switch stranger, strange := strangers[elem.Name]; {
	case want.Kind == sqlgen.KindEnum:
		enum, ok := l.catalog.Type(want.Enum)
		switch {
		case !ok:
			hint := ""
			if declared != "" {
				hint = "say type: " + declared
			}
			l.add(Error, CheckEnum, f, fmt.Sprintf("the database has no type %s", want.Enum), hint)
			return false
		case !enum.IsEnum():
			l.add(Error, CheckEnum, f, fmt.Sprintf("type %s is no enumerated type", want.Enum), declaredHint(declared))
			return false
		case want.Array != (have.Elem != nil), !elem.Same(enum):
			return mismatch("", declaredHint(declared))
		}
	case strange:
		return mismatch(stranger.reason, stranger.hint)
	case want.Array != (have.Elem != nil), elem.Schema != "pg_catalog", kinds[elem.Name] != want.Kind:
		return mismatch("", declaredHint(declared))
	}
	return l.checkForm(f, c, have)
}

// checkForm refuses types that hold the right values, but for which PostgreSQL has
// not the operators, and arrays of several dimensions.
func (l *schemaLint) checkForm(f *compiler.Field, c *catalog.Column, have *catalog.Type) bool {
	switch {
	case f.Column.Type.Kind == sqlgen.KindEnum && c.Type.Base != nil:
		l.add(Error, CheckType, f,
			fmt.Sprintf("column %s is of the domain %s over an enum: PostgreSQL does not compare that with the enum, and the SQL fails when it runs", c.Name, c.Type.Text),
			fmt.Sprintf("ALTER the column to %s", have.Text))
		return false
	case have.Elem != nil && have.Elem.Base != nil:
		l.add(Error, CheckType, f,
			fmt.Sprintf("column %s is an array of the domain %s: PostgreSQL does not compare that with other arrays, and the SQL fails when it runs", c.Name, have.Elem.Text),
			fmt.Sprintf("ALTER the column to %s[]", have.Elem.Plain().Text))
		return false
	case c.Dimensions > 1:
		l.add(Error, CheckArray, f,
			fmt.Sprintf("column %s is an array of %d dimensions: the policy would see arrays in it, and SQL compares their elements", c.Name, c.Dimensions),
			"use an array of one dimension, or jsonb")
		return false
	}
	return true
}

// declared is how a schema would name the type; empty where it has no name for it.
func (l *schemaLint) declared(t *catalog.Type) string {
	elem, array := t, ""
	if t.Elem != nil {
		elem, array = t.Elem.Plain(), "[]"
	}
	if elem.IsEnum() {
		name := elem.Name
		if strings.Contains(elem.Text, ".") && !strings.Contains(name, ".") { // not in the search path
			name = elem.Schema + "." + name
		}
		return "enum(" + name + ")" + array
	}
	kind, ok := kinds[elem.Name]
	if !ok || elem.Schema != "pg_catalog" || kind == sqlgen.KindJSONB && array != "" {
		return ""
	}
	return sqlgen.Type{Kind: kind, Array: array != ""}.String()
}

func declaredHint(declared string) string {
	if declared == "" {
		return "cast it in a generated column or a view: no type of a schema is this one"
	}
	return "say type: " + declared
}
