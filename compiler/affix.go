package compiler

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// textSet is the text, or the texts of an array or set, that an argument may be.
type textSet struct {
	when sqlgen.Predicate // where the argument is that
	// some is the condition under which one of the texts satisfies another.
	some func(func(operand) sqlgen.Predicate) sqlgen.Predicate
}

// anyAffix is true where one of some texts begins, or ends, with one of others.
func anyAffix(kind sqlgen.MatchKind) symbolic {
	return func(args []operand) value {
		var out value
		taken := columnsOf(args)
		for _, of := range textSets(args[0], sqlgen.NewElement("text", taken)) {
			for _, affix := range textSets(args[1], sqlgen.NewElement("affix", taken)) {
				when := conjunction(of.when, affix.when)
				if when == sqlgen.Predicate(sqlgen.False) {
					continue
				}
				some := of.some(func(x operand) sqlgen.Predicate {
					return affix.some(func(y operand) sqlgen.Predicate { return matches(kind, x, y) })
				})
				out = append(out, truth(some).under(when)...)
			}
		}
		return merge(out)
	}
}

// matches is match of operands that are strings.
func matches(kind sqlgen.MatchKind, x, y operand) sqlgen.Predicate {
	if s, ok := knownText(x); ok {
		if affix, ok := knownText(y); ok {
			return sqlgen.Const(kind == sqlgen.AtStart && strings.HasPrefix(s, affix) || kind == sqlgen.AtEnd && strings.HasSuffix(s, affix))
		}
	}
	return isTruthy(match(kind)([]operand{x, y}))
}

// textSets are what an argument may be: a text, or a collection of texts only. name
// names the elements of a collection of the row.
func textSets(op operand, name sqlgen.Element) []textSet {
	switch op := op.(type) {
	case known:
		if s, ok := op.v.(ast.String); ok {
			return []textSet{oneText(known{s}, sqlgen.True)}
		}
		if r := rankOfValue(op.v); r != rankArray && r != rankSet {
			return nil
		}
		var elems []value
		for _, e := range elements(op.v) {
			elems = append(elems, knownValue(e))
		}
		return textsOf(elems)
	case scalar:
		return []textSet{oneText(op, isText(op))}
	case list:
		return textsOf(op.elems)
	case array:
		return textsOfArray(op, name)
	case jsonValue:
		is := func(t string) sqlgen.Predicate { return sqlgen.JSONTypeIs{Of: op.e, Types: []string{t}} }
		text := oneText(scalar{e: sqlgen.JSONString{Of: op.e}}, is("string"))
		over := sqlgen.ExistsElement{Of: op.e, Element: name}
		elem := over.ElementValue()
		isText := sqlgen.JSONTypeIs{Of: elem, Types: []string{"string"}}
		texts := textsOfLoop(over, scalar{e: sqlgen.JSONString{Of: elem}}, sqlgen.Not{Of: isText})
		texts.when = conjunction(is("array"), texts.when)
		return []textSet{text, texts}
	}
	if r := rankOf(op); r < rankArray && r != rankAny || r == rankObject {
		return nil
	}
	refuse(CodeBuiltin, "a match with "+describe(op)+" has no translation", "loop over it, and call startswith or endswith")
	return nil
}

func oneText(op operand, when sqlgen.Predicate) textSet {
	return textSet{when, func(is func(operand) sqlgen.Predicate) sqlgen.Predicate { return is(op) }}
}

func textsOf(elems []value) []textSet {
	var all []sqlgen.Predicate
	for _, e := range elems {
		var any []sqlgen.Predicate
		for _, a := range e {
			any = append(any, conjunction(a.when, isText(a.op)))
		}
		all = append(all, disjunction(any))
	}
	return []textSet{{conjunction(all...), func(is func(operand) sqlgen.Predicate) sqlgen.Predicate {
		var any []sqlgen.Predicate
		for _, e := range elems {
			for _, a := range e {
				if isText(a.op) != sqlgen.Predicate(sqlgen.False) {
					any = append(any, conjunction(a.when, is(a.op)))
				}
			}
		}
		return disjunction(any)
	}}}
}

func textsOfArray(op array, name sqlgen.Element) []textSet {
	over := sqlgen.ExistsElement{Of: op.e, Element: name}
	elem := over.ElementValue()
	if rankOf(scalar{e: elem}) != rankString { // only of none it is no error
		empty := sqlgen.Compare{Op: sqlgen.EQ, L: sqlgen.Length{Of: op.e}, R: sqlgen.Int(0)}
		return []textSet{{empty, func(func(operand) sqlgen.Predicate) sqlgen.Predicate { return sqlgen.False }}}
	}
	var other sqlgen.Predicate = sqlgen.False
	if sqlgen.Nullable(elem) {
		other = sqlgen.Null{Of: elem}
	}
	return []textSet{textsOfLoop(over, scalar{e: elem}, other)}
}

// textsOfLoop is the texts that a loop goes over, and that none of the elements is
// something else.
func textsOfLoop(over sqlgen.ExistsElement, elem operand, other sqlgen.Predicate) textSet {
	some := func(p sqlgen.Predicate) sqlgen.Predicate {
		if p == sqlgen.Predicate(sqlgen.False) {
			return p
		}
		loop := over
		loop.Where = p
		return loop
	}
	return textSet{conjunction(sqlgen.Not{Of: some(other)}), func(is func(operand) sqlgen.Predicate) sqlgen.Predicate { return some(is(elem)) }}
}

// columnsOf reports the names of the columns that operands read, which the elements of
// a loop must not have.
func columnsOf(ops []operand) func(string) bool {
	names := map[string]bool{}
	note := func(e sqlgen.Expr) sqlgen.Expr {
		if c, ok := e.(sqlgen.Column); ok {
			names[c.Name] = true
		}
		return e
	}
	var visit func(operand)
	visit = func(op operand) {
		switch op := op.(type) {
		case scalar:
			sqlgen.RewriteExpr(op.e, note)
		case array:
			sqlgen.RewriteExpr(op.e, note)
		case jsonValue:
			sqlgen.RewriteExpr(op.e, note)
		case list:
			for _, e := range op.elems {
				for _, a := range e {
					sqlgen.Rewrite(a.when, note)
					visit(a.op)
				}
			}
		}
	}
	for _, op := range ops {
		visit(op)
	}
	return func(name string) bool { return names[name] }
}
