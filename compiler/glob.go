package compiler

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gobwas/glob"
	globs "github.com/gobwas/glob/syntax"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/rowfence/rowfence/sqlgen"
)

// globMatch is glob.match of a known pattern and known delimiters.
func globMatch(args []operand) value {
	if conjunction(isText(args[0]), isText(args[2])) == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	pattern, okPattern := knownText(args[0])
	given, okDelimiters := args[1].(known)
	if !okPattern || !okDelimiters {
		refuse(CodeBuiltin, "glob.match with a pattern or delimiters that the row says has no translation", "write both as constants")
	}
	var delimiters []rune
	switch v := given.v.(type) {
	case ast.Null:
	case *ast.Array:
		var err error
		if delimiters, err = builtins.RuneSliceOperand(v, 2); err != nil {
			return nil
		}
		if len(delimiters) == 0 {
			delimiters = []rune{'.'}
		}
	default:
		return nil
	}
	if _, err := glob.Compile(pattern, delimiters...); err != nil {
		return nil
	}
	if len(delimiters) > 0 {
		refuseIndexedGlob(pattern, delimiters)
	}
	re, err := syntax.Parse(globRegex(pattern, delimiters), syntax.Perl)
	if err != nil {
		refuse(CodeBuiltin, "glob.match with this pattern has no translation", "write a shorter pattern")
	}
	return matchOf(args[2], re)
}

// refuseIndexedGlob refuses the patterns of which OPA's index of rules says another
// thing than the function itself. Where a rule is excluded by the index, glob.match is
// not called. The index cuts pattern and text at the delimiters, byte by byte and
// without those behind a backslash, and compares the pieces.
func refuseIndexedGlob(pattern string, delimiters []rune) {
	if strings.Contains(pattern, `\`) {
		refuse(CodeBuiltin, "glob.match with a backslash in the pattern: OPA's index of rules compares it with the text", `write [*] for \*, or use regex.match`)
	}
	isDelimiter := func(r rune) bool { return slices.Contains(delimiters, r) }
	byBytes := slices.ContainsFunc(delimiters, func(r rune) bool { return r >= utf8.RuneSelf && r <= unicode.MaxLatin1 })
	pieces := strings.FieldsFunc(pattern, isDelimiter)
	if !byBytes && slices.ContainsFunc(pieces, func(p string) bool { return p != "*" && strings.ContainsAny(p, "[?{*") }) {
		return // which the index does not look at
	}
	star := strings.IndexByte(pattern, '*')
	if star >= 0 && (byBytes || strings.IndexFunc(pattern[star:], isDelimiter) >= 0) {
		refuse(CodeBuiltin, "glob.match with a piece that is only *: OPA's index of rules may pass over a text with a backslash before a delimiter", "write {*} in the place of that *, or use regex.match")
	}
}

// globRegex is a valid glob pattern as a regular expression of Go.
func globRegex(pattern string, delimiters []rune) string {
	one := "(?s:.)"
	if len(delimiters) > 0 {
		one = "[^"
		for _, d := range delimiters {
			one += classRune(d)
		}
		one += "]"
	}
	var b strings.Builder
	b.WriteString(`\A(?:`)
	lex := globs.NewLexer(pattern)
	for {
		switch t := lex.Next(); t.Type {
		case globs.EOF, globs.Error:
			b.WriteString(`)\z`)
			return b.String()
		case globs.Text:
			b.WriteString(regexp.QuoteMeta(t.Data))
		case globs.Single:
			b.WriteString(one)
		case globs.Any:
			b.WriteString(one + "*")
		case globs.Super:
			b.WriteString("(?s:.)*")
		case globs.TermsOpen:
			b.WriteString("(?:")
		case globs.TermSeparator:
			b.WriteString("|")
		case globs.TermsClose:
			b.WriteString(")")
		case globs.RangeOpen:
			globClass(&b, lex)
		}
	}
}

// globClass writes a class, up to its end. It has no escapes and no delimiters.
func globClass(b *strings.Builder, lex *globs.Lexer) {
	b.WriteByte('[')
	for {
		switch t := lex.Next(); t.Type {
		case globs.Not:
			b.WriteByte('^')
		case globs.RangeBetween:
			b.WriteByte('-')
		case globs.RangeClose, globs.EOF, globs.Error:
			b.WriteByte(']')
			return
		default:
			for _, r := range t.Data {
				b.WriteString(classRune(r))
			}
		}
	}
}

// classRune is a rune inside a class of Go's.
func classRune(r rune) string {
	if strings.ContainsRune(`\[]^-`, r) {
		return `\` + string(r)
	}
	return string(r)
}
