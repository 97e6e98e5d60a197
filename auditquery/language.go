package auditquery

import (
	"slices"
	"strings"

	"github.com/rowfence/rowfence/sqlgen"
)

// A language is the search language of one log: a table of keys.
type language struct {
	byName map[string]*key
	names  []string
	word   *key     // what a bare word is a value of,
	kind   *key     // unless it is a known value of this key; nil for no such key
	kinds  []string // its known values
}

// A key is what may stand before a colon.
type key struct {
	name   string // "" for text
	column sqlgen.Column
	// read makes a value of its text, or says what the param is not: the detail
	// follows the words Query param "name", or Query text "…".
	read  func(text string) (v value, detail string)
	find  func(text string) (detail string) // what is wrong with a text that read takes, unless it is excluded; may be nil
	every bool                              // given twice it means both, not either
	order int                               // among the language's keys
}

// A value is what a key is compared with. Values are comparable with ==, and
// equal when they mean the same.
type value interface {
	// String is the text that the key's read takes.
	String() string
	// predicate is the condition that the row has the value.
	predicate(column sqlgen.Column, r Resolved) sqlgen.Predicate
}

// newLanguage makes a language of its keys in the order in which conditions are
// written. The one without a name is text; kind is the name of the key whose
// known values can stand alone, "" for none.
func newLanguage(kind string, kinds []string, keys ...*key) *language {
	l := &language{byName: map[string]*key{}, kinds: kinds}
	for i, k := range keys {
		k.order = i
		if k.name == "" {
			l.word = k
			continue
		}
		l.byName[k.name] = k
		l.names = append(l.names, k.name)
	}
	l.kind = l.byName[kind]
	return l
}

// bare is the key of a word that stands alone.
func (l *language) bare(word string, quoted bool) *key {
	if !quoted && slices.Contains(l.kinds, strings.ToLower(word)) {
		return l.kind
	}
	return l.word
}
