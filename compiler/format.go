package compiler

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/rowfence/rowfence/sqlgen"
)

// concat is the texts of an array with another between them. Of anything but texts it
// is an error.
func concat(args []operand) value {
	if isText(args[0]) == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	switch coll := args[1].(type) {
	case known:
		if rankOfValue(coll.v) == rankObject {
			return nil
		}
		var elems []value
		for _, e := range elements(coll.v) {
			elems = append(elems, knownValue(e))
		}
		if elems == nil && rankOfValue(coll.v) < rankArray {
			return nil
		}
		return concatList(args[0], elems)
	case list:
		if coll.set && len(coll.elems) > 1 {
			refuse(CodeBuiltin, "concat of a set that depends on the row has no translation", "concat an array")
		}
		return concatList(args[0], coll.elems)
	case array:
		return concatArray(args[0], coll)
	case jsonValue:
		ts, all := texts(args[0])
		of := sqlgen.Apply(sqlgen.TextsOfJSON, coll.e)
		return scalarValue(conjunction(all, sqlgen.NotNull(of)), sqlgen.Apply(sqlgen.Joined, of, ts[0]))
	}
	if r := rankOf(args[1]); r < rankArray && r != rankAny || r == rankObject {
		return nil
	}
	refuse(CodeBuiltin, "concat of "+describe(args[1])+" has no translation", "concat the elements of an array literal, or an array field")
	return nil
}

func concatList(sep operand, elems []value) value {
	return eachChoice(elems, func(ops []operand) value {
		parts := ops[:min(1, len(ops))]
		for _, op := range ops[len(parts):] {
			parts = append(parts[:len(parts):len(parts)], sep, op)
		}
		ts, all := texts(parts...)
		if all == sqlgen.Predicate(sqlgen.False) {
			return nil
		}
		return concatenation(ts).under(conjunction(isText(sep), all))
	})
}

// concatArray is concat of an array column. SQL skips elements that are NULL, at which
// OPA stops.
func concatArray(sep operand, coll array) value {
	t := sqlgen.TypeOf(coll.e)
	switch {
	case rankOf(scalar{e: sqlgen.Column{Type: t.Elem()}}) != rankString: // only of none it is no error
		empty := sqlgen.Compare{Op: sqlgen.EQ, L: sqlgen.Length{Of: coll.e}, R: sqlgen.Int(0)}
		return knownValue(ast.String("")).under(conjunction(isText(sep), empty))
	case !textual(t.Elem()):
		refuse(CodeBuiltin, "concat of "+describe(coll)+" has no translation", "give the field the type text[]")
	}
	ts, all := texts(sep)
	if _, column := coll.e.(sqlgen.Column); column {
		all = conjunction(all, sqlgen.Not{Of: sqlgen.HasNull{Of: coll.e}})
	}
	return scalarValue(all, sqlgen.Apply(sqlgen.Joined, textArray(coll.e), ts[0]))
}

// maxCombinations bounds the ways in which the parts of a text can be there.
const maxCombinations = 256

// eachChoice is a value for each choice of the alternatives of several.
func eachChoice(vals []value, of func([]operand) value) value {
	n := 1
	for _, v := range vals {
		if n *= len(v); n > maxCombinations {
			refuse(CodeBuiltin, "a text of many parts that may be NULL has no translation", "make a text of fewer parts")
		}
	}
	var out value
	combine(vals, nil, sqlgen.True, func(ops []operand, when sqlgen.Predicate) {
		refuseUnplaced(ops)
		out = append(out, of(ops).under(when)...)
	})
	return merge(out)
}

// concatenation is texts one behind the other, the known ones in one piece.
func concatenation(parts []sqlgen.Expr) value {
	var out []sqlgen.Expr
	var constant strings.Builder
	flush := func() {
		if constant.Len() > 0 {
			out = append(out, sqlgen.String(constant.String()))
			constant.Reset()
		}
	}
	for _, p := range parts {
		if lit, ok := p.(sqlgen.Literal); ok {
			constant.WriteString(lit.Value.(string))
			continue
		}
		flush()
		out = append(out, p)
	}
	if len(out) == 0 {
		return knownValue(ast.String(constant.String()))
	}
	flush()
	if len(out) == 1 {
		return scalarValue(sqlgen.True, out[0])
	}
	return scalarValue(sqlgen.True, sqlgen.Apply(sqlgen.Concat, out...))
}

// sprintf of a known format, with %s, %d and %v for values that it has an exact text
// of.
func sprintf(args []operand) value {
	format, ok := knownText(args[0])
	switch {
	case isText(args[0]) == sqlgen.Predicate(sqlgen.False):
		return nil
	case !ok:
		refuse(CodeBuiltin, "sprintf with a format that the row says has no translation", "write the format as a constant")
	}
	of, isList := args[1].(list)
	switch r := rankOf(args[1]); {
	case r != rankArray && r != rankAny:
		return nil
	case !isList:
		refuse(CodeBuiltin, "sprintf of "+describe(args[1])+" has no translation", "write the arguments as an array literal")
	}
	elems := of.elems
	pieces, verbs := parseFormat(format)
	if len(verbs) != len(elems) {
		refuse(CodeBuiltin, "sprintf with another number of arguments than its format has", "give each % one argument")
	}
	return eachChoice(elems, func(ops []operand) value {
		parts := make([]sqlgen.Expr, 0, 2*len(pieces))
		for i, op := range ops {
			parts = append(parts, sqlgen.String(pieces[i]), formatted(verbs[i], op))
		}
		return concatenation(append(parts, sqlgen.String(pieces[len(ops)])))
	})
}

// parseFormat is the texts around the verbs of a format, and the verbs.
func parseFormat(format string) (pieces []string, verbs []byte) {
	if strings.Contains(format, "\x00") {
		refuse(CodeLiteral, "a text with a NUL beside a value of the row", "PostgreSQL has no NUL")
	}
	checkUTF8(format)
	var piece strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			piece.WriteByte(format[i])
			continue
		}
		if i++; i == len(format) || !strings.ContainsRune("sdv%", rune(format[i])) {
			refuse(CodeBuiltin, "sprintf with other verbs than %s, %d and %v has no translation", "use these, without flags and widths")
		}
		if format[i] == '%' {
			piece.WriteByte('%')
			continue
		}
		pieces, verbs = append(pieces, piece.String()), append(verbs, format[i])
		piece.Reset()
	}
	return append(pieces, piece.String()), verbs
}

// formatted is the text that a verb makes of a value.
func formatted(verb byte, op operand) sqlgen.Expr {
	hint := "use %v, or compare the values themselves"
	switch op := op.(type) {
	case known:
		var text string
		err := topdown.GetBuiltin(ast.Sprintf.Name)(topdown.BuiltinContext{}, []*ast.Term{ast.StringTerm("%" + string(verb)), ast.ArrayTerm(ast.NewTerm(op.v))}, func(t *ast.Term) error {
			text = string(t.Value.(ast.String))
			return nil
		})
		if err != nil || strings.Contains(text, "\x00") {
			refuse(CodeLiteral, "a text with a NUL beside a value of the row", "PostgreSQL has no NUL")
		}
		checkUTF8(text)
		return sqlgen.String(text)
	case scalar:
		whole := !op.nanos && sqlgen.TypeOf(op.e).Kind == sqlgen.KindInt
		switch {
		case rankOf(op) == rankNumber && !whole: // OPA looks at how a number is written
			hint = "use an int field, or compare the values themselves"
		case verb == 'v', (verb == 'd') == whole:
			return textOf(op.e)
		}
	}
	refuse(CodeBuiltin, "sprintf with %"+string(verb)+" of "+describe(op)+" has no translation", hint)
	return nil
}

// formatInt is an integer to a base.
func formatInt(args []operand) value {
	base, ok := args[1].(known)
	if !ok {
		refuse(CodeBuiltin, "format_int to a base that the row says has no translation", "write the base as a constant")
	}
	to, _ := base.v.(ast.Number)
	if to != "2" && to != "8" && to != "10" && to != "16" || rankOf(args[0]) != rankNumber && rankOf(args[0]) != rankAny {
		return nil
	}
	if n, ok := args[0].(scalar); ok && !n.nanos && sqlgen.TypeOf(n.e).Kind == sqlgen.KindInt {
		switch to {
		case "10":
			return scalarValue(sqlgen.True, sqlgen.Text{Of: n.e})
		case "16":
			return scalarValue(sqlgen.True, sqlgen.Apply(sqlgen.Hex, n.e))
		}
	}
	refuse(CodeBuiltin, "format_int of "+describe(args[0])+" to the base "+base.v.String()+" has no translation", "format an int field to the base 10 or 16")
	return nil
}

// templateString is a template string. OPA gives each of its expressions as a set,
// which is empty where the expression is undefined.
func templateString(args []operand) value {
	parts, ok := args[0].(list)
	if !ok {
		refuse(CodeBuiltin, "this template string has no translation", "use concat")
	}
	elems := make([]value, len(parts.elems))
	for i, part := range parts.elems {
		for _, a := range part {
			elems[i] = append(elems[i], templatePart(a.op).under(a.when)...)
		}
	}
	return eachChoice(elems, func(ops []operand) value {
		parts := make([]sqlgen.Expr, len(ops))
		for i, op := range ops {
			parts[i] = formatted('v', op)
		}
		return concatenation(parts)
	})
}

// templatePart is the value of an expression in a template string. An undefined one has
// a text, too.
func templatePart(op operand) value {
	undefined := known{ast.String("<undefined>")}
	switch op := op.(type) {
	case known:
		set, ok := op.v.(ast.Set)
		switch {
		case !ok:
			return asTemplateText(op)
		case set.Len() == 0:
			return value{{sqlgen.True, undefined}}
		case set.Len() == 1:
			return asTemplateText(known{set.Slice()[0].Value})
		}
	case scalar:
		return value{{sqlgen.True, op}}
	case list:
		if op.set && len(op.elems) == 1 {
			var out value
			for _, a := range op.elems[0] {
				out = append(out, asTemplateText(a.op).under(a.when)...)
			}
			return out
		}
	case ruleSet:
		if out, ok := onlyElement(op); ok {
			if defined := out.defined(); defined != sqlgen.Predicate(sqlgen.True) {
				out = append(out, alt{sqlgen.Not{Of: defined}, undefined})
			}
			return out
		}
	}
	refuse(CodeBuiltin, "a template string with "+describe(op)+" has no translation", "use concat")
	return nil
}

// onlyElement is the element of a set that has one at most.
func onlyElement(set ruleSet) (out value, ok bool) {
	switch {
	case len(set.entries) == 0:
		return nil, true
	case len(set.entries) > 1, len(set.entries[0].from.scopes) > 0:
		return nil, false
	}
	for _, a := range set.entries[0].key {
		out = append(out, asTemplateText(a.op).under(conjunction(set.entries[0].from.when, a.when))...)
	}
	return out, true
}

// asTemplateText is a value whose %v is its text in a template string: that of a known
// number is as it is written there.
func asTemplateText(op operand) value {
	k, ok := op.(known)
	if !ok {
		return value{{sqlgen.True, op}}
	}
	if _, isString := k.v.(ast.String); isString {
		return value{{sqlgen.True, op}}
	}
	return knownValue(ast.String(k.v.String()))
}
