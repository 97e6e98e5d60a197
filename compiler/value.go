package compiler

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// value is a Rego term that may depend on the row: one of several operands, each
// under its condition. The conditions exclude each other. Where none holds, the
// term is undefined.
type value []alt

type alt struct {
	when sqlgen.Predicate
	op   operand
}

// operand is a Rego value, known or read from the row. Under its alternative's
// condition it is never undefined and its SQL is never NULL.
type operand interface{ operand() }

type (
	// known is a value that does not depend on the row.
	known struct{ v ast.Value }
	// scalar is a SQL value of a type that is one JSON type to the policy.
	scalar struct {
		e     sqlgen.Expr
		nanos bool // a timestamp seen as a number
	}
	// column of an array type, or such a parameter.
	array struct{ e sqlgen.Expr }
	// jsonValue is a jsonb value of any JSON type.
	jsonValue struct{ e sqlgen.Expr }
	// object is a part of the input that holds fields.
	object struct{ n *node }
	// list is an array or set literal with parts that depend on the row.
	list struct {
		elems []value
		set   bool
	}
	// record is an object literal with parts that depend on the row. Its keys do not.
	record struct {
		keys []ast.Value
		vals []value
	}
	// unplaced is the place of an element in an array whose order is not known.
	unplaced struct{}
	// untranslated is a part of a value that is there, and has no SQL.
	untranslated struct{ what string }
	// tally is the number of elements of a set: only whether it is 0 is asked.
	tally struct{ of ruleSet }
	// ruleSet is a partial set or object rule, or a comprehension.
	ruleSet struct {
		entries []entry
		kind    rank        // an array for an array comprehension
		t       *translator // names the loops
		repeats bool        // an array that may have an element more often than is said
		param   sqlgen.Expr // the array of exactly its elements, of a set that is a parameter
		// of such an array, the elements of the one set that it goes through: it has an
		// element for each of them; nil where it goes through others, too
		elements []entry
	}
)

// entry is a member of a partial set (val is nil) or object.
type entry struct {
	from solution // in which it is there
	key  value
	val  value
}

func (known) operand()        {}
func (scalar) operand()       {}
func (array) operand()        {}
func (jsonValue) operand()    {}
func (object) operand()       {}
func (list) operand()         {}
func (record) operand()       {}
func (unplaced) operand()     {}
func (untranslated) operand() {}
func (tally) operand()        {}
func (ruleSet) operand()      {}

func knownValue(v ast.Value) value {
	if b, ok := v.(ast.Boolean); ok { // most of them
		if b {
			return knownTrue
		}
		return knownFalse
	}
	return value{{sqlgen.True, known{v}}}
}

var (
	knownTrue  = value{{sqlgen.True, known{ast.Boolean(true)}}}
	knownFalse = value{{sqlgen.True, known{ast.Boolean(false)}}}
)

// truth is a boolean that is true exactly where p is.
func truth(p sqlgen.Predicate) value {
	return value{{p, knownTrue[0].op}, {sqlgen.Not{Of: p}, knownFalse[0].op}}
}

// defined is the condition under which the value is not undefined.
func (v value) defined() sqlgen.Predicate {
	if len(v) == 1 {
		return v[0].when
	}
	any := make(sqlgen.Or, len(v))
	for i, a := range v {
		any[i] = a.when
	}
	return disjunction(any)
}

// constant is the value where it depends on nothing.
func (v value) constant() (ast.Value, bool) {
	if len(v) != 1 || v[0].when != sqlgen.Predicate(sqlgen.True) {
		return nil, false
	}
	k, ok := v[0].op.(known)
	return k.v, ok
}

// under is the value where a condition holds, and undefined elsewhere.
func (v value) under(p sqlgen.Predicate) value {
	out := make(value, len(v))
	for i, a := range v {
		out[i] = alt{conjunction(p, a.when), a.op}
	}
	return out
}

// fieldValue is what the policy sees of a column.
func fieldValue(f *Field) value {
	var op operand
	switch {
	case f.Column.Type.Array:
		op = array{f.Column}
	case f.Column.Type.Kind == sqlgen.KindJSONB:
		op = jsonValue{f.Column}
	default:
		op = scalar{f.Column, f.Nanos}
	}
	if f.Column.NotNull {
		return value{{sqlgen.True, op}}
	}
	v := value{{sqlgen.NotNull(f.Column), op}}
	if f.Null != nil {
		v = append(v, alt{sqlgen.Null{Of: f.Column}, known{f.Null}})
	}
	return v
}

// paramType is the type that a parameter is bound with: an enum's value as text,
// because it may be none of the labels.
func paramType(t sqlgen.Type) sqlgen.Type {
	if t.Kind == sqlgen.KindEnum {
		return sqlgen.Type{Kind: sqlgen.KindText, Array: t.Array}
	}
	return t
}

func paramValue(p *Param) value {
	e := sqlgen.Param{Name: p.name(), Type: paramType(p.Type)}
	switch {
	case p.Type.Array:
		return value{{sqlgen.True, array{e}}}
	case p.Type.Kind == sqlgen.KindJSONB:
		return value{{sqlgen.True, jsonValue{e}}}
	default:
		return value{{sqlgen.True, scalar{e: e}}}
	}
}

// isObject reports whether the node is an object of which some parts are not known.
func (n *node) isObject() bool {
	return n.children != nil && n.field == nil && n.related == nil && n.param == nil && n.computed == nil
}

func (n *node) asValue() value {
	switch {
	case n.made != nil:
		return n.made
	case n.field != nil:
		return fieldValue(n.field)
	case n.related != nil:
		return n.related.asValue()
	case n.param != nil:
		return paramValue(n.param)
	case n.computed != nil:
		return n.computed
	case n.children != nil:
		return value{{sqlgen.True, object{n}}}
	default:
		return knownValue(n.known)
	}
}

// conjunction joins conditions without the constants that say nothing, and each once
// only: a helper rule is asked whether it is defined and whether it is true, and to
// say the same twice at every level would double the predicate at each. Two that no
// values satisfy make it False, so that a body is not read beyond them.
func conjunction(ps ...sqlgen.Predicate) sqlgen.Predicate {
	size, only := 0, sqlgen.Predicate(sqlgen.True)
	for _, p := range ps {
		switch q := p.(type) {
		case sqlgen.Const:
			if !q {
				return sqlgen.False
			}
		case sqlgen.And:
			size += len(q)
			only = p
		default:
			size++
			only = p
		}
	}
	if size < 2 {
		return only
	}
	if len(ps) == 2 {
		if whole := holdsOther(ps[0], ps[1]); whole != nil {
			return whole
		}
	}
	terms := terms{make(sqlgen.And, 0, size)}
	for _, p := range ps {
		switch q := p.(type) {
		case sqlgen.Const:
		case sqlgen.And:
			for _, t := range q {
				if !terms.add(t) {
					return sqlgen.False
				}
			}
		default:
			if !terms.add(p) {
				return sqlgen.False
			}
		}
	}
	if len(terms.of) == 1 {
		return terms.of[0]
	}
	return terms.of
}

// holdsOther is one of two conditions that has the terms of the other, too, in their
// order; nil where neither has.
func holdsOther(a, b sqlgen.Predicate) sqlgen.Predicate {
	x, isAndX := a.(sqlgen.And)
	y, isAndY := b.(sqlgen.And)
	switch {
	case len(x) > maxLookedAt || len(y) > maxLookedAt:
	case isAndX && isAndY:
		if !slices.ContainsFunc(y, func(q sqlgen.Predicate) bool { return !hasTerm(x, q) }) {
			return a
		}
		if len(x) <= len(y) && slices.EqualFunc(x, y[:len(x)], identical) {
			return b
		}
	case isAndX:
		if hasTerm(x, b) {
			return a
		}
	case isAndY:
		if len(y) > 0 && identical(a, y[0]) {
			return b
		}
	case identical(a, b):
		return a
	}
	return nil
}

func hasTerm(all sqlgen.And, p sqlgen.Predicate) bool {
	return slices.ContainsFunc(all, func(q sqlgen.Predicate) bool { return identical(p, q) })
}

// terms are those of a conjunction.
type terms struct{ of sqlgen.And }

// add adds a term, unless it is there; possible is false where it excludes another.
func (t *terms) add(p sqlgen.Predicate) (possible bool) {
	for _, have := range t.of[:min(len(t.of), maxLookedAt)] {
		if identical(have, p) {
			return true
		}
		if excluded(have, p) {
			return false
		}
	}
	t.of = append(t.of, p)
	return true
}

// excluded reports whether two comparisons of values that are never NULL exclude each
// other.
func excluded(a, b sqlgen.Predicate) bool {
	x, okX := a.(sqlgen.Compare)
	y, okY := b.(sqlgen.Compare)
	if !okX || !okY || !disjoint(x.Op, y.Op) && !disjoint(x.Op, y.Op.Flip()) || sqlgen.Nullable(x.L) || sqlgen.Nullable(x.R) {
		return false
	}
	return contradictory(a, b)
}

// maxLookedAt bounds the conditions among which a repeated one is looked for.
const maxLookedAt = 16

// identical reports whether two conditions are one and the same in memory. It looks
// no deeper, and so costs nothing.
func identical(a, b sqlgen.Predicate) bool {
	switch x := a.(type) {
	case sqlgen.And:
		y, ok := b.(sqlgen.And)
		return ok && len(x) == len(y) && len(x) > 0 && &x[0] == &y[0]
	case sqlgen.Or:
		y, ok := b.(sqlgen.Or)
		return ok && len(x) == len(y) && len(x) > 0 && &x[0] == &y[0]
	case sqlgen.Not:
		y, ok := b.(sqlgen.Not)
		return ok && identical(x.Of, y.Of)
	case sqlgen.Null:
		y, ok := b.(sqlgen.Null)
		return ok && sameLeaf(x.Of, y.Of)
	case sqlgen.Holds:
		y, ok := b.(sqlgen.Holds)
		return ok && x.Want == y.Want && sameLeaf(x.Of, y.Of)
	default:
		return false
	}
}

// sameLeaf reports whether two expressions are the same column or parameter.
func sameLeaf(a, b sqlgen.Expr) bool {
	switch x := a.(type) {
	case sqlgen.Column:
		y, ok := b.(sqlgen.Column)
		return ok && x == y
	case sqlgen.Param:
		y, ok := b.(sqlgen.Param)
		return ok && x == y
	default:
		return false
	}
}

func disjunction(ps []sqlgen.Predicate) sqlgen.Predicate {
	some, last := 0, sqlgen.Predicate(sqlgen.False)
	for _, p := range ps {
		if c, ok := p.(sqlgen.Const); !ok {
			some, last = some+1, p
		} else if c {
			return sqlgen.True
		}
	}
	if some < 2 {
		return last
	}
	out := make(sqlgen.Or, 0, some)
	for _, p := range ps {
		if _, ok := p.(sqlgen.Const); !ok {
			out = append(out, p)
		}
	}
	return out
}

// rank is the place of a JSON type in Rego's order of all values.
type rank int

const (
	rankNull rank = iota
	rankBool
	rankNumber
	rankString
	rankArray
	rankObject
	rankSet
	rankAny rank = -1 // only the row says
)

func rankOf(op operand) rank {
	switch op := op.(type) {
	case known:
		return rankOfValue(op.v)
	case scalar:
		switch t := sqlgen.TypeOf(op.e); {
		case op.nanos || t.Numeric():
			return rankNumber
		case t.Kind == sqlgen.KindBool:
			return rankBool
		default:
			return rankString
		}
	case array, rows:
		return rankArray
	case jsonValue:
		return rankOfType(sqlgen.JSONType(op.e))
	case tally, computed, unplaced:
		return rankNumber
	case object, row, record:
		return rankObject
	case list:
		if op.set {
			return rankSet
		}
		return rankArray
	case ruleSet:
		return op.kind
	default:
		return rankAny
	}
}

// rankOfType is the place of a JSON type by its name.
func rankOfType(name string) rank {
	for r, t := range jsonTypes {
		if t == name {
			return rank(r)
		}
	}
	return rankAny
}

func rankOfValue(v ast.Value) rank {
	switch v.(type) {
	case ast.Null:
		return rankNull
	case ast.Boolean:
		return rankBool
	case ast.Number:
		return rankNumber
	case ast.String:
		return rankString
	case *ast.Array:
		return rankArray
	case ast.Object:
		return rankObject
	default:
		return rankSet
	}
}

// describe names an operand in an error.
func describe(op operand) string {
	switch op := op.(type) {
	case known:
		return fmt.Sprintf("%v", op.v)
	case scalar:
		return fmt.Sprintf("a %v", sqlgen.TypeOf(op.e))
	case array:
		return fmt.Sprintf("a %v", sqlgen.TypeOf(op.e))
	case jsonValue:
		return "a jsonb value"
	case computed:
		return "a computed number"
	case extreme:
		return "the result of max or min"
	case object:
		return "the row's document"
	case rows:
		return "the rows of " + op.of.field.Relation.Table
	case row:
		return "the row of " + op.of.field.Relation.Table
	default:
		return "a collection that depends on the row"
	}
}
