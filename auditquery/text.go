package auditquery

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/rowfence/rowfence/sqlgen"
)

// The columns of users that text is looked for in.
var (
	userKey  = sqlgen.Column{Table: "users", Name: "id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}, NotNull: true}
	userName = sqlgen.Column{Table: "users", Name: "username", Type: sqlgen.Type{Kind: sqlgen.KindText}, NotNull: true}
)

// words is where a log's bare words are looked for, beside the key's column: in
// the names of the users of these columns.
type words struct {
	log   string
	users []sqlgen.Column
}

// text is looked for in a column and in the names of users.
type text struct {
	in *words
	s  string
}

// maxTextBytes bounds a text: the search for one of 20,000 bytes took 15 seconds.
const maxTextBytes = 256

func readText(in *words) func(string) (value, string) {
	return func(s string) (value, string) {
		if len(s) > maxTextBytes {
			return nil, fmt.Sprintf("must be at most %d bytes long", maxTextBytes)
		}
		return text{in, s}, ""
	}
}

// findText refuses what would be looked for in every row: a text in which a
// trigram index finds nothing to look up. One that is excluded is none the worse
// for it, since no index serves an exclusion.
func findText(s string) string {
	if !hasTrigram(s) {
		return "is too short to be searched for: it must have three letters or digits in a row"
	}
	return ""
}

// hasTrigram reports whether pg_trgm makes a trigram of what surely stands in a
// row that contains s. It pads a word with two spaces in front and one behind,
// but only at ends that s itself shows, by another character beyond.
func hasTrigram(s string) bool {
	const front, behind, trigram = 2, 1, 3
	runes := []rune(s)
	for from := 0; from < len(runes); from++ {
		to := from
		for to < len(runes) && (unicode.IsLetter(runes[to]) || unicode.IsDigit(runes[to])) {
			to++
		}
		if to == from {
			continue
		}
		n := to - from
		if from > 0 {
			n += front
		}
		if to < len(runes) {
			n += behind
		}
		if n >= trigram {
			return true
		}
		from = to
	}
	return false
}

func (v text) String() string { return v.s }

// predicate asks for the ids of the users with such a name where they were
// resolved: PostgreSQL can then use an index on either side of the OR. Users
// that are too many to list are looked up row by row.
func (v text) predicate(column sqlgen.Column, r Resolved) sqlgen.Predicate {
	in := func(column sqlgen.Column) sqlgen.Predicate {
		return sqlgen.Match{Of: column, Sub: sqlgen.String(v.s), Kind: sqlgen.Anywhere, Fold: true}
	}
	either := sqlgen.Or{in(column)}
	users, listed := r.Texts[v.s]
	for _, user := range v.in.users {
		if listed {
			either = append(either, oneOfIDs(user, users))
			continue
		}
		user.Table = v.in.log // users may have a column of the same name
		either = append(either, sqlgen.Exists{From: "users", Where: sqlgen.And{sqlgen.Eq(userKey, user), in(userName)}})
	}
	return either
}

// LikePattern is the pattern of LIKE and ILIKE for values that contain the text:
// with it the names of Names.Texts are to be resolved, by username ILIKE.
func LikePattern(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// MaxUsersOfText is how many users a text of Names.Texts is resolved to at most.
// A text with more is left out of Resolved.Texts.
const MaxUsersOfText = 1000
