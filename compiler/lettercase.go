package compiler

import (
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/rowfence/rowfence/sqlgen"
)

// letterCase is lower or upper. Both map each rune by itself. PostgreSQL's own mapping
// of letters beyond ASCII depends on the collation; its map of ASCII does not.
type letterCase struct {
	of               func(rune) rune
	ascii, some, all *sqlgen.Function
	table            func() caseTable // of the runes beyond ASCII that it changes
}

// caseTable is what is mapped, and to what.
type caseTable struct {
	from, to []rune
	wholly   []sqlgen.Expr // both as texts
}

var (
	lowerCase = &letterCase{unicode.ToLower, sqlgen.LowerASCII, sqlgen.Lower, sqlgen.LowerAll, sync.OnceValue(func() caseTable { return tableOf(unicode.ToLower) })}
	upperCase = &letterCase{unicode.ToUpper, sqlgen.UpperASCII, sqlgen.Upper, sqlgen.UpperAll, sync.OnceValue(func() caseTable { return tableOf(unicode.ToUpper) })}
)

func tableOf(of func(rune) rune) (t caseTable) {
	var last rune = unicode.MaxASCII
	for _, c := range unicode.CaseRanges { // in order
		for r := max(rune(c.Lo), last+1); r <= rune(c.Hi); r++ {
			if m := of(r); m != r {
				t.from, t.to = append(t.from, r), append(t.to, m)
			}
			last = r
		}
	}
	t.wholly = []sqlgen.Expr{sqlgen.String(string(t.from)), sqlgen.String(string(t.to))}
	return t
}

func mapCase(c *letterCase) symbolic {
	return func(args []operand) value {
		args = args[:1]
		of, isString := texts(args...)
		if isString == sqlgen.Predicate(sqlgen.False) {
			return nil
		}
		return scalarValue(isString, sqlgen.Apply(c.all, append(of, c.table().wholly...)...))
	}
}

// cased is the function that maps all letters, if e is a call of it.
func cased(e sqlgen.Expr) (*letterCase, sqlgen.Call) {
	call, ok := e.(sqlgen.Call)
	switch {
	case ok && call.Of == sqlgen.LowerAll:
		return lowerCase, call
	case ok && call.Of == sqlgen.UpperAll:
		return upperCase, call
	default:
		return nil, call
	}
}

// caseMade reports whether s can be, or be part of, the value of e: what lower makes
// has no upper case letters.
func caseMade(e sqlgen.Expr, s string) bool {
	c, _ := cased(e)
	return c == nil || strings.IndexFunc(s, func(r rune) bool { return c.of(r) != r }) < 0
}

// caseFor is e with a shorter map of letters that does as well where e is only compared
// with some texts, all of which it can be: it maps to the runes of these. A rune that e
// maps to another and that stays as it is can't be one of theirs.
func caseFor(e sqlgen.Expr, compared ...string) sqlgen.Expr {
	c, call := cased(e)
	if c == nil {
		return e
	}
	table, runes := c.table(), strings.Join(compared, "")
	var from, to []rune
	for i, r := range table.to {
		if strings.ContainsRune(runes, r) {
			from, to = append(from, table.from[i]), append(to, r)
		}
	}
	if len(from) == 0 {
		return sqlgen.Apply(c.ascii, call.Args[0])
	}
	return sqlgen.Apply(c.some, call.Args[0], sqlgen.String(string(from)), sqlgen.String(string(to)))
}

// casesFor is [caseFor] of the texts that e can be, and which these are.
func casesFor(e sqlgen.Expr, lits []sqlgen.Literal) (sqlgen.Expr, []sqlgen.Literal) {
	if c, _ := cased(e); c == nil {
		return e, lits
	}
	lits = slices.DeleteFunc(slices.Clone(lits), func(l sqlgen.Literal) bool { return !caseMade(e, l.Value.(string)) })
	compared := make([]string, len(lits))
	for i, l := range lits {
		compared[i] = l.Value.(string)
	}
	return caseFor(e, compared...), lits
}
