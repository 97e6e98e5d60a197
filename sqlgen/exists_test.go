package sqlgen

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A child of docs that has columns of the same names.
var (
	childName = Column{Table: "child", Name: "name", Type: text.Type}
	childDoc  = Column{Table: "child", Name: "doc_id"} // a join does not say its type
	docID     = Column{Name: "id"}
)

func children(where ...Predicate) Predicate {
	return Exists{"child", "child", "docs", Eq(childDoc, docID), false, unwrapAnd(where)}
}

func TestShortAliases(t *testing.T) {
	in := func(table, alias string, where ...Predicate) Predicate {
		return Exists{table, alias, "app.docs", nil, false, And(where)}
	}
	name := func(table string) Column { return Column{Table: table, Name: "name", Type: text.Type} }
	elem := func(table string, of Expr, where Predicate) Predicate {
		return ExistsElement{of, false, Element{table, "value", "key", "position"}, where}
	}
	long := strings.Repeat("é", 31)
	for _, c := range []struct {
		name string
		pred Predicate
		want string
	}{
		{"beside each other", Or{in("app.parts", "a", Null{name("a")}), in("app.parts", "b", Null{name("b")})},
			"(exists app.parts parts (and (null parts.name))) | (exists app.parts parts (and (null parts.name)))"},
		{"inside each other", in("parts", "a", in("parts", "b", Eq(name("a"), name("b")), Eq(name("b"), text))),
			"(exists parts parts (and (exists parts parts2 (and (= parts.name parts2.name) (= parts2.name name)))))"},
		{"the table itself", in("app.docs", "a", Eq(name("a"), text)),
			"(exists app.docs docs2 (and (= docs2.name name)))"},
		{"the table itself, twice", in("docs", "a", in("docs", "b", Eq(name("a"), name("b")))),
			"(exists docs docs2 (and (exists docs docs3 (and (= docs2.name docs3.name)))))"},
		{"an alias that is the name of another", in("parts", "notes", in("notes", "parts", Eq(name("parts"), name("notes")))),
			"(exists parts parts (and (exists notes notes (and (= notes.name parts.name)))))"},
		{"an element of the name", elem("parts", tags, in("parts", "a", Eq(name("a"), Column{"parts", "value", text.Type, true}))),
			"(exists-element parts tags (exists parts parts2 (and (= parts2.name parts.value))))"},
		{"an element inside of the name", in("parts", "a", elem("parts", Column{"a", "tags", tags.Type, false}, Eq(name("parts"), text))),
			"(exists parts parts2 (and (exists-element parts parts2.tags (= parts.name name))))"},
		{"an element that hides the alias", in("parts", "a", elem("a", tags, Null{name("a")}), Null{name("a")}),
			"(exists parts parts (and (exists-element a tags (null a.name)) (null parts.name)))"},
		{"a column of a table around", in("parts", "a", Eq(name("a"), name("parts"))),
			"(exists parts parts2 (and (= parts2.name parts.name)))"},
		{"a long name", in(long, "a", in(long, "b", Eq(name("a"), name("b")))),
			"(exists L L (and (exists L L2 (and (= \"L\".name \"L2\".name)))))"},
		{"a name of 63 bytes", in(long+"x", "a", in(long+"x", "b", Eq(name("a"), name("b")))),
			"(exists Lx Lx (and (exists Lx L2 (and (= \"Lx\".name \"L2\".name)))))"},
	} {
		got := printed(ShortAliases(c.pred))
		if or, ok := ShortAliases(c.pred).(Or); ok {
			got = printed(or[0]) + " | " + printed(or[1])
		}
		assert.Equal(t, c.want, strings.ReplaceAll(got, long, "L"), c.name)
	}
}

// A filter's own columns say their table inside a subquery, by whatever name the
// query has for it.
func TestExistsAs(t *testing.T) {
	f := When(And{NotNull(text), children(
		Eq(childName, text),
		Exists{"app.docs", "docs2", "docs", nil, false, And{Eq(Column{Table: "docs2", Name: "id"}, childDoc), Compare{NE, Column{Table: "docs2", Name: "name", Type: text.Type}, text}}},
	)})
	const sql = "NAME IS NOT NULL AND EXISTS (SELECT FROM child WHERE child.doc_id = DOCS.id AND child.name COLLATE \"C\" = DOCS.name AND " +
		"EXISTS (SELECT FROM app.docs AS docs2 WHERE docs2.id = child.doc_id AND docs2.name COLLATE \"C\" <> DOCS.name))"
	for alias, want := range map[string]string{
		"":        strings.NewReplacer("NAME", "name", "DOCS", "docs").Replace(sql),
		"d":       strings.NewReplacer("NAME", "d.name", "DOCS", "d").Replace(sql),
		"Docs ?":  strings.NewReplacer("NAME", `"Docs ?".name`, "DOCS", `"Docs ?"`).Replace(sql),
		"docs2":   strings.NewReplacer("docs2", "docs22", "NAME", "docs2.name", "DOCS", "docs2").Replace(sql),
		"child":   strings.NewReplacer("FROM child", "FROM child AS child2", "child.", "child2.", "NAME", "child.name", "DOCS", "child").Replace(sql),
		"app.x":   strings.NewReplacer("NAME", "app.x.name", "DOCS", "app.x").Replace(sql),
		"child22": strings.NewReplacer("NAME", "child22.name", "DOCS", "child22").Replace(sql),
	} {
		g := f
		if alias != "" {
			g = f.As(alias)
		}
		assert.Equal(t, want, g.Inline(), alias)
	}
}

// onlyChild is the one child that there may be.
func onlyChild(where ...Predicate) Predicate {
	return Exists{"child", "child", "docs", Eq(childDoc, docID), true, unwrapAnd(where)}
}

// Subqueries that disagree on whose the columns without a table are make a filter that
// selects nothing.
func TestExistsDisagree(t *testing.T) {
	inner := Exists{"notes", "notes", "other", nil, false, Null{text}}
	assert.Equal(t, ResultNever, When(children(inner)).Result())
	inner.Outer = ""
	assert.Equal(t, ResultNever, When(children(Not{inner})).Result())
	inner.Outer = "docs"
	assert.Equal(t, ResultWhen, When(children(inner)).Result())
}
