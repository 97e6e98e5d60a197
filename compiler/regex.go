package compiler

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// regexMatch is regex.match of a known pattern.
func regexMatch(args []operand) value {
	if conjunction(isText(args[0]), isText(args[1])) == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	pattern, ok := knownText(args[0])
	if !ok {
		refuse(CodeBuiltin, "regex.match with a pattern that the row says has no translation", "write the pattern as a constant")
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil // an error of the function, which makes it undefined
	}
	return matchOf(args[1], re)
}

// matchOf is true of the texts in which the expression finds something.
func matchOf(op operand, re *syntax.Regexp) value {
	of, isString := texts(op)
	p := literalMatch(of[0], re)
	if p == nil {
		p = sqlgen.Holds{Of: sqlgen.Apply(sqlgen.MatchesRegex, of[0], sqlgen.String(regexText(re))), Want: true}
	}
	return truth(p).under(isString)
}

// literalMatch is the condition of an expression that is only a text, at the start, at
// the end or anywhere: an index may serve it. It is nil of any other.
func literalMatch(of sqlgen.Expr, re *syntax.Regexp) sqlgen.Predicate {
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	atStart, atEnd := false, false
	is := func(i int, op syntax.Op) bool { return len(parts) > 0 && parts[i].Op == op }
	if is(0, syntax.OpBeginText) {
		parts, atStart = parts[1:], true
	}
	if is(max(len(parts)-1, 0), syntax.OpEndText) {
		parts, atEnd = parts[:len(parts)-1], true
	}
	anything := func(i int) bool {
		return is(i, syntax.OpStar) && parts[i].Sub[0].Op == syntax.OpAnyChar
	}
	if atStart && anything(0) {
		parts, atStart = parts[1:], false
	}
	if atEnd && anything(max(len(parts)-1, 0)) {
		parts, atEnd = parts[:len(parts)-1], false
	}
	var text string
	switch {
	case len(parts) == 0:
	case len(parts) == 1 && is(0, syntax.OpLiteral) && parts[0].Flags&syntax.FoldCase == 0:
		text = string(parts[0].Rune)
	case len(parts) == 1 && is(0, syntax.OpEmptyMatch):
	default:
		return nil
	}
	checkUTF8(text)
	if strings.Contains(text, "\x00") {
		return sqlgen.False
	}
	match := func(kind sqlgen.MatchKind) sqlgen.Predicate {
		if !caseMade(of, text) {
			return sqlgen.False
		}
		return sqlgen.Match{Of: caseFor(of, text), Sub: sqlgen.String(text), Kind: kind}
	}
	switch {
	case atStart && atEnd:
		return compareOperands(sqlgen.EQ, scalar{e: of}, known{ast.String(text)})
	case atStart:
		return match(sqlgen.AtStart)
	case atEnd:
		return match(sqlgen.AtEnd)
	default:
		return match(sqlgen.Anywhere)
	}
}

// regexText is an expression of Go's as an advanced regular expression of PostgreSQL.
// It is written with what has one meaning in both, whatever the database's locale: no
// classes by name, no folding of case, no options. Both find the same texts, because
// neither looks at how a match is found: greedy and lazy are the same.
//
// PostgreSQL begins a match of ^ at the start of the text only, and ends one of $ at its
// end only; its dot and its complements of classes match a line break.
func regexText(re *syntax.Regexp) string {
	var w regexWriter
	w.write(re, 0)
	checkRegexSize(re, w.Len())
	return w.String()
}

type regexWriter struct{ strings.Builder }

const (
	wordCharacter = "[0-9A-Z_a-z]"
	boundary      = "(?:(?<!" + wordCharacter + ")(?=" + wordCharacter + ")|(?<=" + wordCharacter + ")(?!" + wordCharacter + "))"
	noBoundary    = "(?:(?<!" + wordCharacter + ")(?!" + wordCharacter + ")|(?<=" + wordCharacter + ")(?=" + wordCharacter + "))"
)

func (w *regexWriter) write(re *syntax.Regexp, depth int) {
	if depth > maxRegexDepth {
		refuse(CodeBuiltin, "a pattern this deep has no translation", "write a shorter pattern")
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		w.WriteString("(?:)")
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				w.class(folds(r))
			} else {
				w.class([]rune{r, r})
			}
		}
	case syntax.OpCharClass:
		w.class(re.Rune)
	case syntax.OpAnyChar:
		w.WriteByte('.')
	case syntax.OpAnyCharNotNL:
		w.WriteString(`[^\n]`)
	case syntax.OpBeginText:
		w.WriteByte('^')
	case syntax.OpEndText:
		w.WriteByte('$')
	case syntax.OpBeginLine:
		w.WriteString(`(?:^|(?<=\n))`)
	case syntax.OpEndLine:
		w.WriteString(`(?:$|(?=\n))`)
	case syntax.OpWordBoundary:
		w.WriteString(boundary)
	case syntax.OpNoWordBoundary:
		w.WriteString(noBoundary)
	case syntax.OpCapture:
		w.write(re.Sub[0], depth)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		w.atom(re.Sub[0], depth)
		w.quantifier(re)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if isAlternate(sub) {
				w.group(sub, depth)
				continue
			}
			w.write(sub, depth+1)
		}
	case syntax.OpAlternate:
		for i, sub := range re.Sub {
			if i > 0 {
				w.WriteByte('|')
			}
			w.write(sub, depth+1)
		}
	default:
		refuse(CodeBuiltin, "a pattern with "+re.String()+" has no translation", "write it with characters and classes")
	}
}

func isAlternate(re *syntax.Regexp) bool {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	return re.Op == syntax.OpAlternate
}

func (w *regexWriter) group(re *syntax.Regexp, depth int) {
	w.WriteString("(?:")
	w.write(re, depth+1)
	w.WriteByte(')')
}

// atom writes what a quantifier stands behind. An anchor takes none, nor does a
// quantifier.
func (w *regexWriter) atom(re *syntax.Regexp, depth int) {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpCharClass:
		w.write(re, depth+1)
	case syntax.OpLiteral:
		if len(re.Rune) == 1 {
			w.write(re, depth+1)
			return
		}
		w.group(re, depth)
	default:
		w.group(re, depth)
	}
}

func (w *regexWriter) quantifier(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpStar:
		w.WriteByte('*')
	case syntax.OpPlus:
		w.WriteByte('+')
	case syntax.OpQuest:
		w.WriteByte('?')
	default:
		if re.Min > maxRegexRepeat || re.Max > maxRegexRepeat {
			refuse(CodeBuiltin, fmt.Sprintf("a pattern that repeats more than %d times has no translation", maxRegexRepeat), "repeat less often")
		}
		switch {
		case re.Max < 0:
			fmt.Fprintf(w, "{%d,}", re.Min)
		case re.Max == re.Min:
			fmt.Fprintf(w, "{%d}", re.Min)
		default:
			fmt.Fprintf(w, "{%d,%d}", re.Min, re.Max)
		}
	}
}

// folds are the runes that are r but for their case, as ranges.
func folds(r rune) []rune {
	all := []rune{r}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		all = append(all, f)
	}
	slices.Sort(all)
	ranges := make([]rune, 0, 2*len(all))
	for _, f := range all {
		ranges = append(ranges, f, f)
	}
	return ranges
}

// class writes the characters of some ranges, which are in order: the shorter of these
// and of all others. PostgreSQL has no NUL.
func (w *regexWriter) class(ranges []rune) {
	if len(ranges) == 2 && ranges[0] == ranges[1] && ranges[0] != 0 {
		w.character(ranges[0], false)
		return
	}
	var in []rune
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i+1] > 0 {
			in = append(in, max(ranges[i], 1), ranges[i+1])
		}
	}
	out := complement(in)
	switch {
	case len(in) == 0:
		refuse(CodeBuiltin, "a pattern that no text of the row matches has no translation", "write another pattern")
	case len(out) == 0:
		w.WriteByte('.')
		return
	case len(out) < len(in):
		w.WriteString("[^")
		in = out
	default:
		w.WriteByte('[')
	}
	for i := 0; i < len(in); i += 2 {
		w.character(in[i], true)
		if in[i+1] > in[i]+1 {
			w.WriteByte('-')
		}
		if in[i+1] > in[i] {
			w.character(in[i+1], true)
		}
	}
	w.WriteByte(']')
}

// complement is all characters but those of some ranges.
func complement(ranges []rune) (out []rune) {
	next := rune(1)
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i] > next {
			out = append(out, next, ranges[i]-1)
		}
		next = ranges[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return out
}

// character writes one character, with an escape where it would be none or would not be
// seen.
func (w *regexWriter) character(r rune, inClass bool) {
	switch {
	case r == '\n':
		w.WriteString(`\n`)
	case r == '\t':
		w.WriteString(`\t`)
	case r > unicode.MaxASCII && unicode.IsGraphic(r) && !unicode.IsSpace(r) && utf8.ValidRune(r):
		w.WriteRune(r)
	case r < ' ' || r == 0x7f || r > unicode.MaxASCII && r <= 0xffff:
		fmt.Fprintf(w, `\u%04x`, r)
	case r > 0xffff:
		fmt.Fprintf(w, `\U%08x`, r)
	case strings.ContainsRune(`\.*+?()[]{}|^$`, r) && !inClass, strings.ContainsRune(`\[]^-`, r) && inClass:
		w.WriteByte('\\')
		w.WriteRune(r)
	default:
		w.WriteRune(r)
	}
}
