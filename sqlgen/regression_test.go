package sqlgen

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRegressions keeps what was once wrong: the simplified predicate selected
// other rows than its definition, or its SQL did not run.
func TestRegressions(t *testing.T) {
	c := func(t Type, n int) Column { return columns[t][n] }
	textType, document := Type{Kind: KindText}, Type{Kind: KindJSONB}
	s, name := c(textType, 0), c(textType, 1)
	j, jn := c(document, 0), c(document, 1)
	f, i, u := c(Type{Kind: KindFloat}, 0), c(Type{Kind: KindInt}, 0), c(Type{Kind: KindUUID}, 0)
	array := c(Type{Kind: KindText, Array: true}, 0)
	nan, negativeZero := Float(math.NaN()), Float(math.Copysign(0, -1))
	names := func(elems ...Literal) Literal { return ListOf(textType, elems) }

	pair := ExistsElement{Of: j, Values: true, Element: NewElement("elem", func(string) bool { return false })}
	pair.Where = Eq(pair.ElementValue(), ToJSON{pair.ElementKey()})

	judge := newJudge(t)
	for what, p := range map[string]Predicate{
		"no value excluded, and NULL":            Excluded{s, names()},
		"no value excluded, below not":           Not{Excluded{s, names()}},
		"an empty parameter excludes":            Excluded{s, Param{"none", names().Type}},
		"the text of a JSON null is NULL":        Null{JSONString{jn}},
		"the text of a JSON null differs":        Not{Eq(JSONString{jn}, String("a"))},
		"the text of a JSON null is no match":    Not{Match{JSONString{jn}, String("a"), AtStart, false}},
		"[null] is contained":                    And{JSONContains{JSON(`[null]`), JSONArray{s}}, NotNull(s)},
		"[null] is contained, of NULL":           And{JSONContains{JSON(`[null]`), JSONArray{s}}, Null{s}},
		"[null] is not NULL":                     Null{JSONArray{s}},
		"NaN is the greatest":                    And{Compare{LT, f, nan}, Compare{GT, f, Float(1)}},
		"NaN is above":                           Or{Compare{GE, f, nan}, Compare{LT, f, Float(1)}},
		"NaN equals itself":                      And{Compare{GE, f, nan}, Compare{LE, f, nan}},
		"negative zero is zero":                  And{Eq(f, negativeZero), Eq(f, Float(0))},
		"negative zero is a member":              And{Member{f, ListOf(f.Type, []Literal{negativeZero, Float(1)})}, Eq(f, Float(0))},
		"literals of two types":                  And{Eq(i, Int(1)), Eq(i, Float(1))},
		"text of json text, ordered":             Compare{LT, Text{JSONString{j}}, s},
		"a key from a json text":                 NotNull(JSONGet{j, JSONString{jn}}),
		"a column as an index":                   NotNull(JSONGet{j, Column{"t", "user", Type{Kind: KindInt}, true}}),
		"an array of a text":                     JSONContains{j, JSONArray{Param{"a", textType}}},
		"an array of a number":                   JSONContains{j, JSONArray{Param{"one", Type{Kind: KindInt}}}},
		"an array of a uuid":                     JSONContains{j, JSONArray{Param{"uuid", Type{Kind: KindUUID}}}},
		"arguments alone":                        Eq(Param{"one", Type{Kind: KindInt}}, Param{"one", Type{Kind: KindInt}}),
		"an argument in an argument":             Member{Param{"a", textType}, Param{"names", names().Type}},
		"an argument into a document":            NotNull(JSONGet{Param{"doc", document}, s}),
		"the text of an int argument":            Eq(Text{Param{"one", Type{Kind: KindInt}}}, s),
		"a question mark in a name":              Eq(name, String("?")),
		"an argument at places of several types": And{Or{Eq(i, Int(404)), Eq(Column{"t", "user", Type{Kind: KindInt}, true}, Int(404))}, Not{Eq(JSONGet{j, Int(404)}, JSON("1"))}},
		"an argument before itself":              Compare{LE, Int(2), Length{Apply(SliceArray, j, Int(0), Int(2))}},
		"the sign of a number written out":       Compare{GE, Apply(Times, ToNumeric{i}, Apply(Sign, Number("2"))), Number("0.99999999999999999997")},
		"hostile members":                        Member{s, names(String(`\`), String("'"), String("NULL"), String("a,b"), String(""), String(`"`))},
		"uuid members":                           Member{u, ListOf(u.Type, []Literal{UUID(uuidPool[0]), UUID(uuidPool[1])})},
		"no NULL beside the order of an array":   Not{Member{s, array}},
		"an element that is its own key":         pair,
	} {
		t.Run(what, func(t *testing.T) {
			require.NoError(t, judge.agree([]Predicate{p}, map[string]Literal{
				"none": names(), "names": names(String("a"), String("b")), "a": String("a"),
				"one": Int(1), "uuid": UUID(uuidPool[0]), "doc": JSON(`{"a": 1}`),
			}))
		})
	}
}

// TestNames asks PostgreSQL's parser what a rendered name is.
func TestNames(t *testing.T) {
	db := newJudge(t).simple
	var all []string
	for w := range keywords {
		all = append(all, w)
	}
	rows, err := db.Query(t.Context(), "SELECT word FROM pg_get_keywords()") // those that we do not quote
	require.NoError(t, err)
	for rows.Next() {
		var w string
		require.NoError(t, rows.Scan(&w))
		all = append(all, w)
	}
	require.NoError(t, rows.Err())
	all = append(all, "plain", "Upper", "two words", "1st", "größe", "a?b", "a-b", "$1", "@p", ":x", "/*", "--", "%", "()", "\t", "🙂")
	for _, name := range all {
		require.NoError(t, CheckName(name), name)
		quoted := quoteName(name)
		var parts []string
		require.NoError(t, db.QueryRow(t.Context(), "SELECT parse_ident($1)", quoted).Scan(&parts), quoted)
		require.Equal(t, []string{name}, parts)
		// as a table, an alias and a column
		for _, sql := range []string{
			"SELECT %[1]s, %[1]s.%[1]s FROM (SELECT 1 AS %[1]s) AS %[1]s WHERE %[1]s = 1",
			"CREATE TEMPORARY TABLE %[1]s (%[1]s int)",
			"SELECT FROM %[1]s WHERE %[1]s IS NULL AND NOT %[1]s.%[1]s = 1",
			"DROP TABLE %[1]s",
		} {
			_, err := db.Exec(t.Context(), fmt.Sprintf(sql, quoted))
			require.NoError(t, err, sql, quoted)
		}
	}
}
