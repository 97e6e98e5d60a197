package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// A symbolic builtin is a builtin function of operands of which one, at least,
// depends on the row.
type symbolic func(args []operand) value

var symbolics map[string]symbolic

func init() { // the tables refer to functions that refer to them
	symbolics = map[string]symbolic{
		"internal.member_2": func(args []operand) value { return truth(memberOf(args[0], args[1])) },

		"startswith": match(sqlgen.AtStart),
		"endswith":   match(sqlgen.AtEnd),
		"contains":   match(sqlgen.Anywhere),

		"is_null":    isType(rankNull),
		"is_boolean": isType(rankBool),
		"is_number":  isType(rankNumber),
		"is_string":  isType(rankString),
		"is_array":   isType(rankArray),
		"is_object":  isType(rankObject),
		"is_set":     isType(rankSet),
		"type_name":  typeName,

		"object.get": objectGet,
		"count":      count,
	}
	for name, op := range comparisons {
		symbolics[name] = comparison(op)
	}
	for _, family := range []map[string]symbolic{textBuiltins, collectionBuiltins, timeBuiltins, addressBuiltins, numberBuiltins} {
		maps.Copy(symbolics, family)
	}
}

// ofAnyNumber are the functions besides those of numbers that take a [computed] number
// or an [extreme].
var ofAnyNumber = map[string]bool{
	"equal": true, "neq": true, "lt": true, "lte": true, "gt": true, "gte": true,
	"internal.member_2": true,
	"is_null":           true, "is_boolean": true, "is_number": true, "is_string": true, "is_array": true, "is_object": true, "is_set": true,
	"type_name": true, "substring": true,
	"time.date": true, "time.clock": true, "time.weekday": true, "time.add_date": true, "time.diff": true, "time.format": true,
}

// ofAnyType are the functions for which it may do to know that a value is a number.
var ofAnyType = map[string]bool{
	"equal": true, "neq": true, "lt": true, "lte": true, "gt": true, "gte": true, "internal.member_2": true,
	"is_null": true, "is_boolean": true, "is_number": true, "is_string": true, "is_array": true, "is_object": true, "is_set": true,
	"type_name": true,
}

func mapped(ops []operand, f func(operand) operand) []operand {
	out := make([]operand, len(ops))
	for i, op := range ops {
		out[i] = f(op)
	}
	return out
}

var comparisons = map[string]sqlgen.Op{
	"equal": sqlgen.EQ, "neq": sqlgen.NE, "lt": sqlgen.LT, "lte": sqlgen.LE, "gt": sqlgen.GT, "gte": sqlgen.GE,
}

// counted are the operands with each number of elements as SQL.
func counted(ops []operand) []operand {
	out := slices.Clone(ops)
	for i, op := range ops {
		if t, ok := op.(tally); ok {
			out[i] = t.scalar()
		}
	}
	return out
}

// refuseUnplaced refuses what would have to know the place of an element.
func refuseUnplaced(ops []operand) {
	for _, op := range ops {
		if u, ok := op.(untranslated); ok {
			refuse(CodeBuiltin, u.what+" has no translation", "compare another part of it")
		}
		if _, ok := op.(unplaced); ok {
			refuse(CodeIteration, "the place of an element in an array comprehension or a relation is not known", "loop over the values only")
		}
	}
}

// callBuiltin is the value of a builtin function. Of known arguments OPA computes
// it; of others it is what the translation says, for each combination of the
// arguments' alternatives.
func (t *translator) callBuiltin(name string, args []value) value {
	var out value
	ways := 1
	for _, a := range args {
		if ways *= len(a); ways > maxCombinations {
			refuse(CodeBuiltin, name+" of what many fields make that may be NULL", "call fewer functions, one in the other, or show NULL as null")
		}
	}
	combine(args, make([]operand, 0, len(args)), sqlgen.True, func(ops []operand, when sqlgen.Predicate) {
		out = append(out, t.applyBuiltin(name, ops).under(when)...)
	})
	return merge(out)
}

// combine visits each choice of an alternative of every argument.
func combine(args []value, ops []operand, when sqlgen.Predicate, visit func([]operand, sqlgen.Predicate)) {
	if len(args) == 0 {
		visit(ops, when)
		return
	}
	for i, a := range args[0] {
		if both := conjunction(when, a.when); both != sqlgen.Predicate(sqlgen.False) {
			own := ops
			if i < len(args[0])-1 { // whoever is called keeps what it gets
				own = ops[:len(ops):len(ops)]
			}
			combine(args[1:], append(own, a.op), both, visit)
		}
	}
}

func (t *translator) applyBuiltin(name string, ops []operand) value {
	for _, op := range ops {
		if rankOf(op) != rankNumber || !ofAnyType[name] {
			refuseUnplaced([]operand{op})
		}
	}
	refuseRows(name, ops)
	plain := make([]*ast.Term, len(ops))
	for i, op := range ops {
		k, ok := op.(known)
		if !ok {
			if name == "max" || name == "min" {
				return t.extremeOf(ops[0], name == "min")
			}
			if comparisons[name] == 0 {
				ops = counted(ops)
			}
			if v, ok := t.ofCollections(name, ops); ok {
				return v
			}
			apply := symbolics[name]
			if apply == nil {
				refuse(CodeBuiltin, name+" of a value of the row has no translation", "compute it outside the policy, or compare the field itself")
			}
			if numberBuiltins[name] == nil && !ofAnyNumber[name] {
				ops = mapped(ops, settled)
			}
			return checkSize(name, apply(ops))
		}
		plain[i] = ast.NewTerm(k.v)
	}
	return t.evalBuiltin(name, plain)
}

// maxWritten bounds the SQL of a value: some functions say an argument several times.
const maxWritten = 1000

func checkSize(name string, v value) value {
	for _, a := range v {
		var e sqlgen.Expr
		switch op := a.op.(type) {
		case scalar:
			e = op.e
		case array:
			e = op.e
		}
		if e != nil && sqlgen.Size(e) > maxWritten {
			refuse(CodeBuiltin, name+" of what many other functions make: the SQL would be too long", "call fewer functions, one in the other")
		}
	}
	return v
}

// evalBuiltin computes a builtin function of known arguments. An error makes it
// undefined, as in OPA's evaluation.
func (t *translator) evalBuiltin(name string, args []*ast.Term) (out value) {
	decl, fn := ast.BuiltinMap[name], topdown.GetBuiltin(name)
	switch {
	case name == ast.NowNanos.Name:
		return knownValue(ast.Number(strconv.FormatInt(t.now.UnixNano(), 10)))
	case decl == nil, fn == nil, decl.IsNondeterministic():
		refuse(CodeBuiltin, name+" has no fixed value", "pass its value in the input")
	case decl.Relation:
		refuse(CodeBuiltin, name+" may have several values", "call it where nothing depends on the row")
	case name == ast.Member.Name:
		if n := args[0].Value; rego.IsBeyondDouble(n) {
			for _, e := range elements(args[1].Value) {
				checkAlike(n, e)
			}
		}
	}
	defer func() {
		if r := recover(); r != nil { // OPA's, of an argument that it does not expect
			refuse(CodeEval, fmt.Sprintf("%s stopped: %v", name, r), "pass other arguments")
		}
	}()
	err := fn(topdown.BuiltinContext{Context: t.ctx, Cancel: topdown.NewCancel()}, args, func(r *ast.Term) error {
		out = knownValue(r.Value)
		return nil
	})
	if err != nil {
		return nil
	}
	return out
}

func comparison(op sqlgen.Op) symbolic {
	return func(args []operand) value { return truth(compareOperands(op, args[0], args[1])) }
}

// match is startswith, endswith or contains: of strings only; of anything else the
// function fails and is undefined.
func match(kind sqlgen.MatchKind) symbolic {
	return func(args []operand) value {
		of, isString := asText(args[0])
		sub, subIsString := asText(args[1])
		guard := conjunction(isString, subIsString)
		if guard == sqlgen.Predicate(sqlgen.False) {
			return nil
		}
		if k, ok := args[1].(known); ok {
			s := string(k.v.(ast.String))
			if strings.Contains(s, "\x00") {
				return truth(sqlgen.False).under(guard)
			}
			if x, ok := args[0].(scalar); ok && kind == sqlgen.AtStart && sqlgen.TypeOf(x.e).Kind == sqlgen.KindUUID {
				return truth(prefixUUID(x.e, s)).under(guard)
			}
			if !caseMade(of, s) {
				return truth(sqlgen.False).under(guard)
			}
			of = caseFor(of, s)
		}
		if k, ok := args[0].(known); ok && strings.Contains(string(k.v.(ast.String)), "\x00") {
			refuse(CodeLiteral, "a text with a NUL searched for a field", "PostgreSQL has no NUL")
		}
		return truth(sqlgen.Match{Of: of, Sub: sub, Kind: kind}).under(guard)
	}
}

// asText is an operand as text, where it is a string.
func asText(op operand) (sqlgen.Expr, sqlgen.Predicate) {
	switch op := op.(type) {
	case known:
		s, ok := op.v.(ast.String)
		checkUTF8(string(s))
		return sqlgen.String(string(s)), sqlgen.Const(ok)
	case scalar:
		return textOf(op.e), sqlgen.Const(rankOf(op) == rankString)
	case jsonValue:
		return sqlgen.JSONString{Of: op.e}, sqlgen.JSONTypeIs{Of: op.e, Types: []string{"string"}}
	}
	return nil, sqlgen.False
}

func isType(r rank) symbolic {
	return func(args []operand) value {
		switch op := args[0].(type) {
		case extreme:
			settled(op)
		case jsonValue:
			if int(r) >= len(jsonTypes) {
				return truth(sqlgen.False)
			}
			return truth(sqlgen.JSONTypeIs{Of: op.e, Types: []string{jsonTypes[r]}})
		}
		return truth(sqlgen.Const(rankOf(args[0]) == r))
	}
}

// typeName is the name of the JSON type.
func typeName(args []operand) value {
	name := func(r rank) value { return knownValue(ast.String(append(jsonTypes[:], "set")[r])) }
	switch op := args[0].(type) {
	case extreme:
		settled(op)
	case jsonValue:
		var out value
		for r, t := range jsonTypes {
			out = append(out, name(rank(r)).under(sqlgen.JSONTypeIs{Of: op.e, Types: []string{t}})...)
		}
		return out
	}
	return name(rankOf(args[0]))
}

// isBuiltin reports whether the name is a builtin function's, and its arity.
func isBuiltin(name string) (arity int, ok bool) {
	b, ok := ast.BuiltinMap[name]
	if !ok {
		return 0, false
	}
	return b.Decl.Arity(), true
}
