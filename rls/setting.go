package rls

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/rowfence/rowfence/sqlgen"
)

// prefix is what the names of all settings begin with.
const prefix = "rowfence"

// maxNameBytes is what PostgreSQL cuts a part of a name to where SET says it.
const maxNameBytes = 63

// setting is a parameter of a condition, and where its value stands.
type setting struct {
	name  string
	param sqlgen.Param // of the condition
	of    string       // the template's parameter
	uuids bool         // those among its texts
}

// read is the SQL of the value, which is computed once for a statement: the setting is
// read, and its text converted, in a sub-select that depends on no row. Without a value
// it is NULL; a setting that a transaction has had is ” after it, and not NULL.
func (s setting) read() string {
	text := "NULLIF(" + s.current() + ", '')"
	t := s.param.Type
	switch {
	case t == sqlgen.Type{Kind: sqlgen.KindText}:
		return "(SELECT substr(" + text + ", 2))"
	case t.Array: // a sub-select alone after ANY would be one of rows
		return "(SELECT " + text + "::" + t.SQL() + ")::" + t.SQL()
	default:
		return "(SELECT " + text + "::" + t.SQL() + ")"
	}
}

func (s setting) current() string { return currentSetting(s.name) }

// currentSetting is NULL, or ”, where the setting has no value. Names of settings have
// no quotes.
func currentSetting(name string) string { return "current_setting('" + name + "', true)" }

// text is a value as the setting holds it, never empty.
func (s setting) text(value sqlgen.Literal) string {
	if s.uuids {
		value = sqlgen.CanonicalUUIDs(value)
	}
	if value.Type == (sqlgen.Type{Kind: sqlgen.KindText}) {
		return "=" + value.Text()
	}
	return value.Text()
}

// form says how the setting holds a value.
func (s setting) form() string {
	if s.param.Type == (sqlgen.Type{Kind: sqlgen.KindText}) {
		return "text after ="
	}
	return s.param.Type.SQL()
}

// word is a text as a part of a name of lower-case letters, digits and underscores. One
// that is cut, or has other characters, ends in its hash: no two texts are one word.
func word(s string) string {
	w := plainWord(s)
	if w == s && len(w) <= maxNameBytes {
		return w
	}
	sum := sha256.Sum256([]byte(s))
	end := "_" + hex.EncodeToString(sum[:6])
	return w[:min(len(w), maxNameBytes-len(end))] + end
}

// plainWord is a text with underscores for other characters, which it may share with
// another text.
func plainWord(s string) string {
	w := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '_'
		}
	}, s)
	if w == "" || '0' <= w[0] && w[0] <= '9' {
		w = "_" + w
	}
	return w
}

// settingsOf names the settings of the parameters that a condition mentions: by their
// paths, and a number where two would have one name.
func settingsOf(scope string, pred sqlgen.Predicate, uuids map[string]string) []setting {
	var out []setting
	taken := map[string]bool{}
	for _, p := range sqlgen.Params(pred) {
		s := setting{param: p, of: p.Name}
		if of, ok := uuids[p.Name]; ok {
			s.of, s.uuids = of, true
		}
		base := strings.Trim(plainWord(strings.NewReplacer(`["`, ".", `"]`, "").Replace(p.Name)), "_")
		base = base[:min(len(base), maxNameBytes-len("_999"))]
		name := base
		for i := 2; taken[name] || name == ""; i++ {
			name = base + "_" + strconv.Itoa(i)
		}
		taken[name] = true
		s.name = scope + "." + name
		out = append(out, s)
	}
	return out
}
