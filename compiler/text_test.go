package compiler

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode"

	"github.com/gobwas/glob"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/sqlgen"
)

// TestCaseTable: the tables have every rune whose case they change.
func TestCaseTable(t *testing.T) {
	for _, c := range []*letterCase{lowerCase, upperCase} {
		table := c.table()
		n := 0
		for r := rune(unicode.MaxASCII + 1); r <= unicode.MaxRune; r++ {
			if c.of(r) != r {
				require.Equal(t, r, table.from[n])
				require.Equal(t, c.of(r), table.to[n])
				require.Equal(t, c.of(r), c.of(c.of(r)), "%U", r)
				n++
			}
		}
		require.Len(t, table.from, n)
	}
}

// TestCaseFor: the map of letters that is made for a constant finds what the whole map
// does, whatever letter the constant has.
func TestCaseFor(t *testing.T) {
	x := sqlgen.Column{Name: "x", Type: sqlgen.Type{Kind: sqlgen.KindText}}
	for _, c := range []*letterCase{lowerCase, upperCase} {
		table := c.table()
		whole := sqlgen.Apply(c.all, append([]sqlgen.Expr{x}, table.wholly...)...)
		constants := append([]rune("aAzZkKsSiI09_@[é日"), append(table.from, table.to...)...)
		for _, constant := range constants {
			if !caseMade(whole, string(constant)) {
				require.NotEqual(t, constant, c.of(constant))
				continue
			}
			found := finds(c, caseFor(whole, string(constant)).(sqlgen.Call), constant)
			for _, r := range constants {
				if found(r) != (c.of(r) == constant) {
					t.Fatalf("%c is mapped to %c, and the map for %c does not do the same", r, c.of(r), constant)
				}
			}
		}
	}
}

// finds is which runes the SQL of call maps to the constant.
func finds(c *letterCase, call sqlgen.Call, constant rune) func(rune) bool {
	mapped := map[rune]rune{}
	if call.Of == c.some {
		to := []rune(call.Args[2].(sqlgen.Literal).Value.(string))
		for i, r := range []rune(call.Args[1].(sqlgen.Literal).Value.(string)) {
			mapped[r] = to[i]
		}
	}
	return func(r rune) bool {
		if m, ok := mapped[r]; ok {
			r = m
		}
		if r <= unicode.MaxASCII {
			r = c.of(r)
		}
		return r == constant
	}
}

func TestRegexText(t *testing.T) {
	for pattern, want := range map[string]string{
		`a`:                                     `a`,
		`^a.b$`:                                 `^a[^\n]b$`,
		`(?s)a.b`:                               `a.b`,
		`(?i)ks`:                                "[Kk\u212a][Ss\u017f]",
		`\d+\D*?`:                               `[0-9]+[^0-9]*`,
		`[^a-c\n]`:                              `[^\na-c]`,
		`[\]\\^-]`:                              `[\-\\-\^]`,
		`[\x00-\x20]`:                           `[\u0001- ]`,
		`\x{1F600}|\x{85}`:                      `[\u0085😀]`,
		`(ab)*(?:c|de)?`:                        `(?:ab)*(?:c|de)?`,
		`(a|bc)d`:                               `(?:a|bc)d`,
		`(?:a*)+`:                               `(?:a*)+`,
		`(?:a{2}){3,}`:                          `(?:a{2}){3,}`,
		`a{2,255}`:                              `a{2,255}`,
		`***:a`:                                 ``,
		`\*\*\*:a`:                              `\*\*\*:a`,
		`a||b`:                                  `a|(?:)|b`,
		`(?m)^a$`:                               `(?:^|(?<=\n))a(?:$|(?=\n))`,
		`\ba`:                                   boundary + `a`,
		`\B`:                                    noBoundary,
		`a\{1}\.\$\^\|\(\)`:                     `a\{1\}\.\$\^\|\(\)`,
		"a'\"`%_\t\u2028":                       "a'\"`%_\\t\\u2028",
		`a{256}`:                                `a pattern that repeats more than 255 times has no translation`,
		`\x00`:                                  `a pattern that no text of the row matches has no translation`,
		`[^\x00-\x{10FFFF}]`:                    `a pattern that no text of the row matches has no translation`,
		`(?:\b|a)*`:                             `a pattern that repeats an anchor has no translation`,
		`(?:\b|\B)(?:\b|\B)(?:\b|\B)(?:\b|\B)a`: `a pattern this large has no translation`,
		`(?:[^@]?[^#]?){250}`:                   `a pattern this large has no translation`,
		strings.Repeat("(?:a|", 60) + "b" + strings.Repeat("c)", 60): `a pattern this deep has no translation`,
	} {
		re, err := syntax.Parse(pattern, syntax.Perl)
		if want == "" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, textOrReason(re), pattern)
	}
}

// textOrReason is the translation, or why there is none.
func textOrReason(re *syntax.Regexp) (text string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case refusal:
			text = r.err.Reason
		default:
			panic(r)
		}
	}()
	return regexText(re)
}

func FuzzGlob(f *testing.F) {
	for _, pattern := range []string{"a*", "**.b", "{a,b*,}c", "[!a-c]?", `\*[ab]`, "{a{b,c},}", "*{*0,}"} {
		f.Add(pattern, ".", "a.b")
		f.Add(pattern, "", "abc")
		f.Add(pattern, "]^", "b]0")
	}
	f.Fuzz(func(t *testing.T, pattern, delimiters, text string) {
		g, err := glob.Compile(pattern, []rune(delimiters)...)
		if err != nil || strings.ContainsRune(pattern+delimiters+text, unicode.ReplacementChar) {
			return
		}
		re, err := regexp.Compile(globRegex(pattern, []rune(delimiters)))
		if err != nil {
			return // it is refused
		}
		require.Equal(t, g.Match(text), re.MatchString(text), "%q %q", pattern, re)
	})
}
