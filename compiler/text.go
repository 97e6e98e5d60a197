package compiler

import (
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/rowfence/rowfence/sqlgen"
)

// textBuiltins are the builtin functions of strings.
var textBuiltins = map[string]symbolic{
	"lower": mapCase(lowerCase),
	"upper": mapCase(upperCase),

	"trim":        trim(sqlgen.Trim),
	"trim_left":   trim(sqlgen.TrimLeft),
	"trim_right":  trim(sqlgen.TrimRight),
	"trim_space":  trimSpace,
	"trim_prefix": trimAffix(sqlgen.TrimPrefix),
	"trim_suffix": trimAffix(sqlgen.TrimSuffix),

	"replace":           replace,
	"strings.replace_n": replaceN,
	"strings.reverse":   reverse,
	"substring":         substring,
	"indexof":           indexOf,
	"strings.count":     occurrences,
	"split":             split,

	"concat":                   concat,
	"sprintf":                  sprintf,
	"format_int":               formatInt,
	"internal.template_string": templateString,

	"strings.any_prefix_match": anyAffix(sqlgen.AtStart),
	"strings.any_suffix_match": anyAffix(sqlgen.AtEnd),

	"regex.match": regexMatch,
	"glob.match":  globMatch,
}

// texts are operands as texts, and where they all are strings.
func texts(ops ...operand) ([]sqlgen.Expr, sqlgen.Predicate) {
	out := make([]sqlgen.Expr, len(ops))
	guards := make([]sqlgen.Predicate, len(ops))
	for i, op := range ops {
		out[i], guards[i] = asText(op)
	}
	all := conjunction(guards...)
	if all != sqlgen.Predicate(sqlgen.False) {
		for _, op := range ops {
			if s, ok := knownText(op); ok && strings.Contains(s, "\x00") {
				refuse(CodeLiteral, "a text with a NUL beside a value of the row", "PostgreSQL has no NUL")
			}
		}
	}
	return out, all
}

// knownText is an operand that is a known string.
func knownText(op operand) (string, bool) {
	k, ok := op.(known)
	if !ok {
		return "", false
	}
	s, ok := k.v.(ast.String)
	return string(s), ok
}

// textFunction is a SQL function of operands that all have to be strings.
func textFunction(f *sqlgen.Function, ops ...operand) value {
	args, all := texts(ops...)
	if all == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	return scalarValue(all, sqlgen.Apply(f, args...))
}

// scalarValue is an expression that is no array where a condition holds.
func scalarValue(when sqlgen.Predicate, e sqlgen.Expr) value { return value{{when, scalar{e: e}}} }

// unchanged is an operand where it is a string.
func unchanged(op operand) value {
	if _, ok := op.(known); ok {
		return value{{sqlgen.True, op}}
	}
	e, isString := asText(op)
	if isString == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	return scalarValue(isString, e)
}

// trim drops the characters of a set from the ends of a text.
func trim(f *sqlgen.Function) symbolic {
	return func(args []operand) value {
		if cut, ok := knownText(args[1]); ok {
			cut = strings.ReplaceAll(cut, "\x00", "") // no text of the row has one
			if cut == "" {
				return unchanged(args[0])
			}
			return textFunction(f, args[0], known{ast.String(cut)})
		}
		return textFunction(f, args[0], args[1])
	}
}

// whiteSpace is what strings.TrimSpace trims.
const whiteSpace = "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

func trimSpace(args []operand) value {
	return textFunction(sqlgen.Trim, args[0], known{ast.String(whiteSpace)})
}

// trimAffix drops a text from an end of another, once.
func trimAffix(f *sqlgen.Function) symbolic {
	return func(args []operand) value {
		if affix, ok := knownText(args[1]); ok && (affix == "" || strings.Contains(affix, "\x00")) {
			return unchanged(args[0])
		}
		return textFunction(f, args[0], args[1])
	}
}

func replace(args []operand) value {
	if conjunction(isText(args[0]), isText(args[1]), isText(args[2])) == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	old, ok := knownText(args[1])
	switch {
	case !ok:
		refuse(CodeBuiltin, "replace of a text that the row says has no translation", "replace a constant: OPA puts the new text between the bytes where the old one is empty")
	case old == "":
		refuse(CodeBuiltin, "replace of an empty text has no translation", "OPA puts the new text between the bytes of the string; replace something")
	case strings.Contains(old, "\x00"):
		return unchanged(args[0]).under(isText(args[2]))
	}
	return textFunction(sqlgen.Replace, args...)
}

// isText is where an operand is a string.
func isText(op operand) sqlgen.Predicate {
	_, is := asText(op)
	return is
}

// replaceN is strings.replace_n of known patterns. SQL replaces one after the other,
// and OPA all at once: the same where no replacement makes a text of another pattern.
func replaceN(args []operand) value {
	patterns, ok := args[0].(known)
	if !ok {
		refuse(CodeBuiltin, "strings.replace_n of patterns that the row says has no translation", "make the patterns known")
	}
	obj, ok := patterns.v.(ast.Object)
	if !ok {
		return nil
	}
	type pair struct{ old, new string }
	var pairs []pair
	texts := true
	obj.Foreach(func(k, v *ast.Term) {
		old, okOld := k.Value.(ast.String)
		with, okNew := v.Value.(ast.String)
		texts = texts && okOld && okNew
		pairs = append(pairs, pair{string(old), string(with)})
	})
	if !texts {
		return nil
	}
	out := unchanged(args[1])
	for i, p := range pairs {
		later := ""
		for _, l := range pairs[i+1:] {
			later += l.old
			if p.new == "" && utf8.RuneCountInString(l.old) > 1 { // what stands around it would meet
				later += p.old
			}
		}
		if p.old == "" || strings.ContainsAny(p.old+p.new, later) && later != "" {
			refuse(CodeBuiltin, "strings.replace_n of patterns that share characters has no translation", "call replace for one after the other")
		}
		if strings.Contains(p.old, "\x00") {
			continue
		}
		var next value
		for _, a := range out {
			next = append(next, replace([]operand{a.op, known{ast.String(p.old)}, known{ast.String(p.new)}}).under(a.when)...)
		}
		out = next
	}
	return out
}

func reverse(args []operand) value { return textFunction(sqlgen.Reverse, args[0]) }

// longest is more than the characters that a text of PostgreSQL can have, and so little
// that the sum of two fits an int.
const longest = 1<<30 - 1

// substring counts runes. Below zero its length means all, and its start is an error.
func substring(args []operand) value {
	from, okFrom := intArgument(args[1], 2, "substring")
	length, okLength := intArgument(args[2], 3, "substring")
	of, all := texts(args[0])
	if !okFrom || !okLength || all == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	all = conjunction(all, from.when, length.when)
	start := sqlgen.Expr(sqlgen.Int(min(from.n, longest) + 1))
	switch {
	case from.e == nil && from.n < 0:
		return nil
	case from.e != nil:
		start = sqlgen.Apply(sqlgen.Place, from.e)
		zero := sqlgen.Int(0)
		if sqlgen.TypeOf(from.e).Kind == sqlgen.KindNumeric {
			zero = sqlgen.Number("0")
		}
		all = conjunction(all, sqlgen.Compare{Op: sqlgen.GE, L: from.e, R: zero})
	}
	switch {
	case length.e == nil && length.n < 0:
		return scalarValue(all, sqlgen.Apply(sqlgen.Substring, of[0], start))
	case length.e == nil:
		return scalarValue(all, sqlgen.Apply(sqlgen.SubstringOf, of[0], start, sqlgen.Int(min(length.n, longest))))
	default:
		return scalarValue(all, sqlgen.Apply(sqlgen.SubstringOf, of[0], start, sqlgen.Apply(sqlgen.Span, length.e)))
	}
}

// intOperand is an integer: n, or e where the condition holds.
type intOperand struct {
	n    int64
	e    sqlgen.Expr
	when sqlgen.Predicate
}

// intArgument reads an argument that has to be an integer of 64 bits. OPA looks at how a
// number is written: what a column of another type than int shows may or may not be one.
func intArgument(op operand, pos int, of string) (arg intOperand, ok bool) {
	switch op := op.(type) {
	case known:
		n, err := builtins.IntOperand(op.v, pos)
		return intOperand{n: int64(n), when: sqlgen.True}, err == nil
	case scalar:
		if !op.nanos && sqlgen.TypeOf(op.e).Kind == sqlgen.KindInt {
			return intOperand{e: op.e, when: sqlgen.True}, true
		}
	case computed:
		if op.whole != nil {
			e := op.whole.numeric()
			arg = intOperand{e: e, when: sqlgen.True}
			if op.whole.bits > 62 {
				arg.when = conjunction(
					sqlgen.Compare{Op: sqlgen.GE, L: e, R: sqlgen.Number("-9223372036854775808")},
					sqlgen.Compare{Op: sqlgen.LE, L: e, R: sqlgen.Number("9223372036854775807")})
			}
			return arg, true
		}
	}
	if r := rankOf(op); r != rankNumber && r != rankAny {
		return arg, false
	}
	refuse(CodeBuiltin, of+" with "+describe(op)+" as a number has no translation", "use a constant or an int field")
	return arg, false
}

// indexOf is the place of a text in another, in runes; an error where it is empty.
func indexOf(args []operand) value {
	if sub, ok := knownText(args[1]); ok {
		switch {
		case sub == "":
			return nil
		case strings.Contains(sub, "\x00"):
			return knownValue(ast.IntNumberTerm(-1).Value).under(isText(args[0]))
		}
		return textFunction(sqlgen.IndexOf, args...)
	}
	ts, all := texts(args...)
	if all == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	notEmpty := sqlgen.Compare{Op: sqlgen.NE, L: ts[1], R: sqlgen.String("")}
	return scalarValue(conjunction(all, notEmpty), sqlgen.Apply(sqlgen.IndexOf, ts...))
}

// occurrences is strings.count: how often a text stands in another, one behind the
// other.
func occurrences(args []operand) value {
	sub, ok := knownText(args[1])
	switch {
	case ok && strings.Contains(sub, "\x00"):
		return knownValue(ast.IntNumberTerm(0).Value).under(isText(args[0]))
	case ok && sub == "":
		return textFunction(sqlgen.Gaps, args[0])
	case ok && utf8.RuneCountInString(sub) == 1:
		return textFunction(sqlgen.OccurrencesOfCharacter, args...)
	case ok:
		return textFunction(sqlgen.Occurrences, args...)
	}
	ts, all := texts(args...)
	if all == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	empty := func(op sqlgen.Op) sqlgen.Predicate {
		return conjunction(all, sqlgen.Compare{Op: op, L: ts[1], R: sqlgen.String("")})
	}
	return append(scalarValue(empty(sqlgen.EQ), sqlgen.Apply(sqlgen.Gaps, ts[0])),
		scalarValue(empty(sqlgen.NE), sqlgen.Apply(sqlgen.Occurrences, ts...))...)
}

// split is the array of the parts of a text.
func split(args []operand) value {
	by, ok := knownText(args[1])
	f := sqlgen.Split
	switch {
	case !ok:
		f = sqlgen.SplitAny
	case by == "":
		return arrayOf(sqlgen.Characters, args[0])
	case strings.Contains(by, "\x00"):
		var out value
		for _, a := range unchanged(args[0]) {
			out = append(out, alt{a.when, list{elems: []value{{{sqlgen.True, a.op}}}}})
		}
		return out
	}
	return arrayOf(f, args...)
}

func arrayOf(f *sqlgen.Function, ops ...operand) value {
	args, all := texts(ops...)
	if all == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	return value{{all, array{sqlgen.Apply(f, args...)}}}
}

// splitPart is the part of a split at a known place: a function of its own, of which
// only the places that there are need a look at the separators.
func splitPart(c array, i int64) (value, bool) {
	parts, ok := c.e.(sqlgen.Call)
	if !ok || parts.Of != sqlgen.Split {
		return nil, false
	}
	part := sqlgen.Apply(sqlgen.SplitPart, parts.Args[0], parts.Args[1], sqlgen.Int(i+1))
	switch i {
	case 0:
		return scalarValue(sqlgen.True, part), true
	case 1:
		return scalarValue(sqlgen.Match{Of: parts.Args[0], Sub: parts.Args[1], Kind: sqlgen.Anywhere}, part), true
	default:
		there := sqlgen.Compare{Op: sqlgen.GT, L: sqlgen.Length{Of: c.e}, R: sqlgen.Int(i)}
		return scalarValue(there, part), true
	}
}
