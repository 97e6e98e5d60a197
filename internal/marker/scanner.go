package marker

import (
	"regexp"
	"strconv"
	"strings"
)

// scanner goes through a query as PostgreSQL's lexer does, as far as it takes to tell
// comments from what only looks like one: strings, names in quotes, dollar quotes.
// Backslashes escape in E'…' strings only: standard_conforming_strings is on.
type scanner struct {
	text string
	at   int
	open string // what the text ends in without being closed
	// highest is the greatest number of a placeholder.
	highest int
}

// dollar is the start of a dollar quote: to PostgreSQL everything beyond ASCII is a
// letter. A $ that continues a name starts none.
var dollar = regexp.MustCompile(`^\$([A-Za-z_[:^ascii:]][A-Za-z0-9_[:^ascii:]]*)?\$`)

var placeholder = regexp.MustCompile(`^\$([0-9]+)`)

// nextLine is what may stand between the parts of a string, with a line break in it.
var nextLine = regexp.MustCompile(`^(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*'`)

// comment finds the next comment.
func (s *scanner) comment() (start, end int, ok bool) {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.HasPrefix(rest, "--"):
			start = s.at
			s.at += lineEnd(rest)
			return start, s.at, true
		case strings.HasPrefix(rest, "/*"):
			start = s.at
			if !s.block() {
				return 0, 0, false
			}
			return start, s.at, true
		case rest[0] == '\'':
			s.quoted('\'', s.escapes(), "a string")
		case rest[0] == '"':
			s.quoted('"', false, "a name in quotes")
		case rest[0] == '$' && !s.inName() && dollar.MatchString(rest):
			s.dollarQuoted(dollar.FindString(rest))
		case rest[0] == '$' && !s.inName() && placeholder.MatchString(rest):
			digits := placeholder.FindStringSubmatch(rest)[1]
			n, _ := strconv.Atoi(digits) // one that is too great is the greatest
			s.highest = max(s.highest, n)
			s.at += 1 + len(digits)
		default:
			s.at++
		}
	}
	return 0, 0, false
}

func lineEnd(text string) int {
	if i := strings.IndexAny(text, "\n\r"); i >= 0 {
		return i
	}
	return len(text)
}

// block goes behind a comment, in which others may stand.
func (s *scanner) block() bool {
	depth := 0
	for i := s.at; i < len(s.text); i++ {
		switch {
		case strings.HasPrefix(s.text[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s.text[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				s.at = i + 1
				return true
			}
		}
	}
	s.at, s.open = len(s.text), "a comment"
	return false
}

// quoted goes behind a string or name. A quote in it is doubled. A string with escapes
// may go on in the next line, and has them there, too.
func (s *scanner) quoted(quote byte, escapes bool, what string) {
	for i := s.at + 1; i < len(s.text); i++ {
		switch {
		case s.text[i] == '\\' && escapes:
			i++
		case s.text[i] == quote && i+1 < len(s.text) && s.text[i+1] == quote:
			i++
		case s.text[i] == quote && escapes && nextLine.MatchString(s.text[i+1:]):
			i += len(nextLine.FindString(s.text[i+1:]))
		case s.text[i] == quote:
			s.at = i + 1
			return
		}
	}
	s.at, s.open = len(s.text), what
}

// escapes reports whether the string at hand is E'…'.
func (s *scanner) escapes() bool {
	return s.at > 0 && (s.text[s.at-1] == 'E' || s.text[s.at-1] == 'e') && (s.at == 1 || !isNamePart(s.text[s.at-2]))
}

func (s *scanner) inName() bool { return s.at > 0 && isNamePart(s.text[s.at-1]) }

func isNamePart(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func (s *scanner) dollarQuoted(tag string) {
	end := strings.Index(s.text[s.at+len(tag):], tag)
	if end < 0 {
		s.at, s.open = len(s.text), "a dollar quote"
		return
	}
	s.at += end + 2*len(tag)
}
