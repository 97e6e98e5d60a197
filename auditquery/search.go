package auditquery

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

const (
	maxQueryBytes = 64 << 10
	// A condition for each of the thousands of words that fit would keep the
	// planner busy for longer than the query.
	maxElements = 500
)

// Search is a query that was understood. The zero Search finds everything. Its
// terms stand in the order of the language's keys, so that the order of the keys
// in a query makes no other search, and no other SQL.
type Search struct{ terms []term }

// A term is one condition of a search.
type term struct {
	key     *key
	exclude bool
	value   value
}

// ParseAudit reads the q of GET /api/v2/audit, for [AuditLogs]. The error is
// Problems: all of them at once.
func ParseAudit(q string) (Search, error) { return auditLanguage.parse(q) }

// ParseConnections reads the q of GET /api/v2/connectionlog, for
// [ConnectionLogs]. The error is Problems: all of them at once.
func ParseConnections(q string) (Search, error) { return connectionLanguage.parse(q) }

func (l *language) parse(q string) (Search, error) {
	var problems Problems
	if len(q) > maxQueryBytes {
		problems.addAt(0, len(q), "Query must be at most %d bytes long", maxQueryBytes)
		return Search{}, problems
	}
	if at := invalidUTF8(q); at >= 0 {
		problems.addAt(at, 1, "Query must be valid UTF-8")
	}
	if at := strings.IndexByte(q, 0); at >= 0 {
		problems.addAt(at, 1, "Query can not contain NUL characters")
	}
	found := elements(q)
	if len(found) > maxElements {
		at := found[maxElements].at
		problems.addAt(at, len(q)-at, "Query must have at most %d elements", maxElements)
	}
	if problems != nil {
		return Search{}, problems
	}
	var s Search
	for _, e := range found {
		k, text, ok := l.lookup(e, &problems)
		if !ok {
			continue
		}
		v, detail := k.read(text)
		if detail == "" && !e.exclude && k.find != nil {
			detail = k.find(text)
		}
		if detail != "" && k.name == "" {
			problems.add(e, "Query text %q %s", clip(text), detail)
			continue
		}
		if detail != "" {
			problems.add(e, "Query param %q %s", k.name, detail)
			continue
		}
		if t := (term{k, e.exclude, v}); !slices.Contains(s.terms, t) {
			s.terms = append(s.terms, t)
		}
	}
	if problems != nil {
		return Search{}, problems
	}
	slices.SortStableFunc(s.terms, func(a, b term) int { return cmp.Compare(a.key.order, b.key.order) })
	return s, nil
}

// invalidUTF8 is the first byte that is not UTF-8, -1 if all are.
func invalidUTF8(s string) int {
	for i, r := range s {
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
			return i
		}
	}
	return -1
}

// lookup finds the key of an element and the text of its value.
func (l *language) lookup(e element, problems *Problems) (k *key, text string, ok bool) {
	body := e.text
	if e.exclude {
		body = body[1:]
	}
	switch {
	case e.unclosed:
		problems.add(e, "Query element %q has an unclosed quote", clip(e.text))
	case body == "":
		problems.add(e, "Query element %q excludes nothing; quote it to search for it", e.text)
	case body[0] == ':' || body[len(body)-1] == ':':
		problems.add(e, "Query element %q cannot start or end with ':'", clip(e.text))
	case len(e.parts) > 2:
		problems.add(e, "Query element %q can only contain 1 ':'", clip(e.text))
	case len(e.parts) == 1 && e.parts[0] == "":
		problems.add(e, "Query element %q has no text", clip(e.text))
	case len(e.parts) == 1:
		return l.bare(e.parts[0], e.quoted), e.parts[0], true
	default:
		k, ok := l.byName[strings.ToLower(e.parts[0])]
		if !ok {
			problems.add(e, "%q is not a valid query param%s", clip(e.parts[0]), hint(e.parts[0], l.names))
		}
		return k, e.parts[1], ok
	}
	return nil, "", false
}

// String is a query that means the search: parsed again, it is the same search
// as long as it is not over the length that a query may have.
func (s Search) String() string {
	var b strings.Builder
	for i, t := range s.terms {
		if i > 0 {
			b.WriteByte(' ')
		}
		if t.exclude {
			b.WriteByte('-')
		}
		if t.key.name != "" {
			b.WriteString(t.key.name)
			b.WriteByte(':')
		}
		b.WriteString(quote(t.value.String(), t.key.name == ""))
	}
	return b.String()
}

// Names are what a search mentions by name, each once and sorted; nil where it
// mentions none. They are as they were written, and the caller's "me" is not among them.
// Organizations are names only. Texts are what is looked for in the names of users.
type Names struct{ Usernames, Emails, Organizations, Texts []string }

// Names are what the search mentions by name and Predicate needs resolved.
func (s Search) Names() Names {
	var n Names
	for _, t := range s.terms {
		switch v := t.value.(type) {
		case username:
			if v != me {
				n.Usernames = append(n.Usernames, string(v))
			}
		case email:
			n.Emails = append(n.Emails, string(v))
		case organizationName:
			n.Organizations = append(n.Organizations, string(v))
		case text:
			n.Texts = append(n.Texts, v.s)
		}
	}
	for _, names := range []*[]string{&n.Usernames, &n.Emails, &n.Organizations, &n.Texts} {
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	return n
}

// Resolved is what the names of a search stand for. A name that is missing
// stands for nobody, and matches no row.
type Resolved struct {
	Me            uuid.UUID              // the caller
	Usernames     map[string][]uuid.UUID // by user name, as Names has it
	Emails        map[string][]uuid.UUID // by email, as Names has it
	Organizations map[string][]uuid.UUID // by name, as Names has it
	// Texts are the users whose name contains a text, ignoring case; see
	// [LikePattern]. A text that is missing is looked for row by row, and one
	// that nobody's name contains has an empty list.
	Texts map[string][]uuid.UUID
	Now   time.Time // what since: counts back from; zero is the clock
}

// Predicate is the search as a condition on its log, not simplified: True when
// nothing is set, else only the conditions that are. Columns are those of the
// log's table, qualified only within a sub-select.
func (s Search) Predicate(r Resolved) sqlgen.Predicate {
	if r.Now.IsZero() {
		r.Now = time.Now()
	}
	var all sqlgen.And
	for rest := s.terms; len(rest) > 0; {
		k := rest[0].key
		n := 1
		for n < len(rest) && rest[n].key == k {
			n++
		}
		var either sqlgen.Or
		for _, t := range rest[:n] {
			p := t.value.predicate(k.column, r)
			switch {
			case t.exclude:
				all = append(all, sqlgen.Not{Of: p})
			case k.every:
				all = append(all, p)
			default:
				either = append(either, p)
			}
		}
		if either != nil {
			all = append(all, either)
		}
		rest = rest[n:]
	}
	if all == nil {
		return sqlgen.True
	}
	return all
}
