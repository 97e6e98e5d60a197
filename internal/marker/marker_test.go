package marker

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/sqlgen"
)

var owner = sqlgen.Column{Name: "owner", Type: sqlgen.Type{Kind: sqlgen.KindText}}

func filters(m Marker) (sqlgen.Filter, error) {
	switch m.Name {
	case "mine":
		return sqlgen.When(sqlgen.Eq(owner, sqlgen.String("me"))), nil
	case "either":
		return sqlgen.When(sqlgen.Or{sqlgen.Eq(owner, sqlgen.String("me")), sqlgen.Null{Of: owner}}), nil
	case "all":
		return sqlgen.Always(), nil
	case "nothing":
		return sqlgen.Never(), nil
	default:
		return sqlgen.Never(), errors.New("no such filter")
	}
}

func TestReplace(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"SELECT 1 WHERE /* authorize: mine */ TRUE", "SELECT 1 WHERE (owner = $3)"},
		{"SELECT 1 WHERE /* authorize: mine */ FALSE", "SELECT 1 WHERE (owner = $3)"},
		{"SELECT 1 WHERE /*authorize:mine*/ true", "SELECT 1 WHERE (owner = $3)"},
		{"SELECT 1 WHERE /* authorize: mine */\n\tTRUE AND x = $1", "SELECT 1 WHERE (owner = $3) AND x = $1"},
		{"SELECT 1 WHERE NOT /* authorize: either */ TRUE", "SELECT 1 WHERE NOT (owner = $3 OR owner IS NULL)"},
		{"SELECT 1 WHERE /* authorize: mine as d */ TRUE OR /* authorize: mine AS Other */ TRUE", "SELECT 1 WHERE (d.owner = $3) OR (other.owner = $4)"},
		{`SELECT 1 WHERE /* authorize: mine as "Odd ""one" */ TRUE`, `SELECT 1 WHERE ("Odd ""one".owner = $3)`},
		{"SELECT 1 WHERE /* authorize: all */ TRUE AND /* authorize: nothing */ TRUE", "SELECT 1 WHERE (TRUE) AND (FALSE)"},
		{"SELECT '/* authorize: mine */ TRUE' WHERE /* authorize: mine */ TRUE", "SELECT '/* authorize: mine */ TRUE' WHERE (owner = $3)"},
		{"SELECT 'it''s /* ' || E'\\' /* authorize: mine */ TRUE' WHERE /* authorize: mine */ TRUE", "SELECT 'it''s /* ' || E'\\' /* authorize: mine */ TRUE' WHERE (owner = $3)"},
		{`SELECT "/* authorize: mine */ TRUE" WHERE /* authorize: mine */ TRUE`, `SELECT "/* authorize: mine */ TRUE" WHERE (owner = $3)`},
		{"SELECT $q$ /* authorize: mine */ TRUE $q$ WHERE /* authorize: mine */ TRUE", "SELECT $q$ /* authorize: mine */ TRUE $q$ WHERE (owner = $3)"},
		{"SELECT $$ ' $$, a$b$c, $1 WHERE /* authorize: mine */ TRUE", "SELECT $$ ' $$, a$b$c, $1 WHERE (owner = $3)"},
		{"SELECT 1 /* a /* nested */ comment */ -- another's\nWHERE /* authorize: mine */ TRUE", "SELECT 1 /* a /* nested */ comment */ -- another's\nWHERE (owner = $3)"},
		{"SELECT 'a\\' WHERE /* authorize: mine */ TRUE", "SELECT 'a\\' WHERE (owner = $3)"},
		{"SELECT 1 /* authorize: none */", "SELECT 1 /* authorize: none */"},
	} {
		have, args, err := Replace(c.query, []any{1, 2}, filters)
		require.NoError(t, err, c.query)
		require.Equal(t, c.want, have)
		require.Len(t, args, 2+strings.Count(c.want, "owner ="))
	}
}

// No marker is overlooked because a string ends elsewhere than PostgreSQL says.
func TestReplaceFindsAll(t *testing.T) {
	const at = "/* authorize: mine */ TRUE"
	for _, between := range []string{
		"$€$'$€$, " + at + ", $€$'$€$",
		"E'a'\n'\\'', " + at + ", E'\\''",
		"E'a' -- '\n -- '\r\t'\\'', " + at + ", E'\\''",
	} {
		query := "SELECT " + at + ", " + between
		have, _, err := Replace(query, nil, filters)
		require.NoError(t, err)
		require.NotContains(t, have, "TRUE", query)
	}
}

func TestReplaceRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                                                        "it has no marker",
		"SELECT '/* authorize: mine */ TRUE'":                             "it has no marker",
		"SELECT 1 WHERE /* authorize: other */ TRUE":                      "no such filter",
		"SELECT 1 WHERE /* authorize: mine */":                            "stands neither TRUE nor FALSE",
		"SELECT 1 WHERE /* authorize: mine */TRUE":                        "stands neither TRUE nor FALSE",
		"SELECT 1 WHERE /* authorize: mine */ TRUENESS":                   "stands neither TRUE nor FALSE",
		"SELECT 1 WHERE /* authorize: mine */ x":                          "stands neither TRUE nor FALSE",
		"SELECT 1 WHERE /* authorize: */ TRUE":                            "is no marker",
		"SELECT 1 WHERE /* authorise: mine */ TRUE":                       "is no marker",
		"SELECT 1 WHERE /* Authorize: mine */ TRUE":                       "is no marker",
		"SELECT 1 WHERE /* authorize: mine d */ TRUE":                     "is no marker",
		"SELECT 1 WHERE TRUE -- authorize: mine":                          "is no marker",
		"SELECT 1 WHERE /* authorize mine */ TRUE":                        "is no marker",
		"SELECT 1 WHERE TRUE -- Authorize mine":                           "is no marker",
		"SELECT $1 WHERE /* authorize: mine */ TRUE":                      "the placeholder $1, and 0 arguments",
		"SELECT $99999999999999999999 WHERE /* authorize: mine */ TRUE":   "and 0 arguments",
		"SELECT 1 /* authorize: none as d */":                             "has an alias",
		"SELECT /* authorize: none */ 1 WHERE /* authorize: mine */ TRUE": "and another one",
		"SELECT 1 WHERE /* authorize: mine */ TRUE AND x = 'open":         "a string is not closed",
		"SELECT 1 WHERE /* authorize: mine */ TRUE AND \"open":            "a name in quotes is not closed",
		"SELECT 1 WHERE /* authorize: mine */ TRUE AND $q$ open":          "a dollar quote is not closed",
		"SELECT 1 WHERE /* authorize: mine */ TRUE /* /* open */":         "a comment is not closed",
	} {
		have, _, err := Replace(query, nil, filters)
		require.ErrorContains(t, err, want, query)
		require.Empty(t, have)
	}
}

// The caller's arguments are left alone.
func TestReplaceCopiesArguments(t *testing.T) {
	args := make([]any, 1, 8)
	_, first, err := Replace("/* authorize: mine */ TRUE", args, filters)
	require.NoError(t, err)
	first[1] = "changed"
	require.Nil(t, args[:2][1])
}

// FuzzReplace: every query gives a query in which no marker is left, or an error.
func FuzzReplace(f *testing.F) {
	for _, q := range []string{
		"SELECT 1 WHERE /* authorize: mine */ TRUE", "E'\\'' /* authorize: mine as d */ TRUE", "$a$ $$ $a$ /*/**/*/", "\"a\"\"/*\"", "-- \n", "é$x$",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		out, _, err := Replace(query, make([]any, 9), filters)
		if err != nil {
			if out != "" {
				t.Fatal("a query beside an error")
			}
			return
		}
		left, err := Find(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", query, out, err)
		}
		for _, m := range left {
			if m.Name != None {
				t.Fatalf("%q became %q, which has the marker %q", query, out, m.Name)
			}
		}
	})
}
