package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// related is a field of other rows, seen from a row.
type related struct {
	field  *Field
	parent string // what the table of the row is called; "" for the filter's own
	outer  string // the filter's table
}

type (
	// rows are the rows of a relation of many.
	rows struct{ of related }
	// row is the row of a relation of one: an object. Its fields are read inside of a
	// scope: see open.
	row struct{ of related }
	// joined is a rule's value that was read from the rows that relations of one join.
	joined struct {
		from solution // in which it is there
		op   operand
	}
)

func (rows) operand()   {}
func (row) operand()    {}
func (joined) operand() {}

// asValue is what the policy sees of a relation.
func (r related) asValue() value {
	if r.field.Relation.Many {
		return value{{sqlgen.True, rows{r}}}
	}
	there := r.exists()
	v := value{{there, row{r}}}
	if r.field.Null != nil {
		v = append(v, alt{sqlgen.Not{Of: there}, known{r.field.Null}})
	}
	return v
}

// exists is the condition under which there is a row.
func (r related) exists() sqlgen.Predicate {
	if r.field.Relation.NotNull {
		return sqlgen.True
	}
	return r.scope("").holds(sqlgen.True)
}

// baseName is a table's name without its schema.
func baseName(table string) string { return table[strings.LastIndexByte(table, '.')+1:] }

// scope is a loop over the rows. The number is one of its own where the scope may
// stand inside another one.
func (r related) scope(number string) scope {
	rel := r.field.Relation
	over := sqlgen.Exists{From: rel.Table, Alias: baseName(rel.Table) + "#" + number, Outer: r.outer, One: !rel.Many}
	on := make([]sqlgen.Predicate, len(rel.Join))
	for i, j := range rel.Join {
		on[i] = sqlgen.Eq(sqlgen.Column{Table: over.Alias, Name: j.Child}, sqlgen.Column{Table: r.parent, Name: j.Parent})
	}
	over.On = conjunction(on...)
	return scope{over: over, when: sqlgen.True, of: r}
}

// in is the row that the scope is about.
func (r related) in(s scope) object {
	return object{fieldTree(r.field.Relation.Fields, s.table(), r.outer)}
}

// fieldTree are the fields of a row as a tree.
func fieldTree(fields []Field, table, outer string) *node {
	root := &node{children: map[string]*node{}}
	for i := range fields {
		f := &fields[i]
		at := root
		for _, key := range f.Path[:len(f.Path)-1] {
			if at.children[key] == nil {
				at.children[key] = &node{children: map[string]*node{}}
			}
			at = at.children[key]
		}
		at.children[f.Path[len(f.Path)-1]] = fieldNode(f, table, outer)
	}
	return root
}

// fieldNode is a field of the row of a table.
func fieldNode(f *Field, table, outer string) *node {
	switch {
	case f.Const != nil:
		return &node{known: f.Const}
	case f.Relation != nil:
		return &node{related: &related{f, table, outer}}
	case table != "":
		of := *f
		of.Column.Table = table
		return &node{field: &of}
	default:
		return &node{field: f}
	}
}

// rename gives another name to the tables of the fields in a tree.
func (n *node) rename(table func(string) string) *node {
	out := *n
	out.made, out.settled = nil, false
	switch {
	case n.children != nil:
		out.children = make(map[string]*node, len(n.children))
		for k, child := range n.children {
			out.children[k] = child.rename(table)
		}
	case n.field != nil:
		of := *n.field
		of.Column.Table = table(of.Column.Table)
		out.field = &of
	case n.related != nil:
		of := n.related.rename(table)
		out.related = &of
	case n.computed != nil:
		out.computed = renameValue(n.computed, table)
	}
	return &out
}

func (r related) rename(table func(string) string) related {
	r.parent = table(r.parent)
	return r
}

// open is a value whose rows are read: that of a relation of one is an object inside
// of a scope.
func (t *translator) open(f found) []found {
	if !f.hasRow() {
		return []found{f}
	}
	var out []found
	if rest := slices.DeleteFunc(slices.Clone(f.val), isRow); len(rest) > 0 {
		out = append(out, found{f.solution, rest})
	}
	for _, a := range f.val {
		r, ok := a.op.(row)
		if !ok {
			continue
		}
		for _, s := range f.and(without(a.when, r.of.exists())) {
			s, in := t.enterRow(s, r.of)
			out = append(out, found{s, value{{sqlgen.True, r.of.in(in)}}})
		}
	}
	return out
}

func isRow(a alt) bool {
	_, ok := a.op.(row)
	return ok
}

func (f found) hasRow() bool { return slices.ContainsFunc(f.val, isRow) }

func (t *translator) openAll(all []found) []found {
	if !slices.ContainsFunc(all, found.hasRow) {
		return all
	}
	var out []found
	for _, f := range all {
		out = append(out, t.open(f)...)
	}
	return out
}

// enterRow is the solution inside of the row of a relation of one: there is one row
// only, so that one scope does for all that is read of it.
func (t *translator) enterRow(s solution, r related) (solution, scope) {
	for _, sc := range s.scopes {
		if sc.of == r {
			return s, sc
		}
	}
	in := t.scopeOf(r)
	return s.enter(in), in
}

// scopeOf is a loop over the rows, with a name of its own for them.
func (t *translator) scopeOf(r related) scope {
	t.loops++
	return r.scope(fmt.Sprint(t.loops))
}

// without is a condition without a conjunct that holds anyway.
func without(p, conjunct sqlgen.Predicate) sqlgen.Predicate {
	terms, ok := p.(sqlgen.And)
	if !ok {
		terms = sqlgen.And{p}
	}
	text := fmt.Sprint(conjunct)
	var left []sqlgen.Predicate
	for _, t := range terms {
		if _, exists := t.(sqlgen.Exists); !exists || fmt.Sprint(t) != text {
			left = append(left, t)
		}
	}
	return conjunction(left...)
}

// unfold is a rule's value where it is used: what was read from related rows is read
// inside of their scopes.
func (t *translator) unfold(f found) []found {
	isJoined := func(a alt) bool {
		_, ok := a.op.(joined)
		return ok
	}
	if !slices.ContainsFunc(f.val, isJoined) {
		return []found{f}
	}
	var out []found
	if rest := slices.DeleteFunc(slices.Clone(f.val), isJoined); len(rest) > 0 {
		out = append(out, found{f.solution, rest})
	}
	for _, a := range f.val {
		j, ok := a.op.(joined)
		if !ok {
			continue
		}
		e := t.reopen(entry{from: j.from, key: value{{sqlgen.True, j.op}}})
		for _, s := range f.and(e.from.when) {
			s.scopes = append(slices.Clone(s.scopes), e.from.scopes...)
			out = append(out, found{s, e.key})
		}
	}
	return out
}

// fold is a rule's value outside of the scopes of related rows in which it was found.
func fold(s solution, op operand) operand {
	for _, sc := range s.scopes {
		if sc.of.field == nil || sc.of.field.Relation.Many {
			refuse(CodeIteration, "a rule whose value comes from a loop over the row", "test for the value inside the rule")
		}
	}
	return joined{s, op}
}

// entries are the rows as the elements of an array.
func (r rows) entries() ruleSet {
	in := r.of.scope("")
	return ruleSet{kind: rankArray, entries: []entry{{
		from: solution{when: sqlgen.True}.enter(in),
		key:  value{{sqlgen.True, r.of.in(in)}},
	}}}
}

// compareRows compares an array of rows with another value: only whether it is empty
// can be said.
func compareRows(op sqlgen.Op, x rows, b operand) sqlgen.Predicate {
	if k, ok := b.(known); ok {
		if arr, ok := k.v.(*ast.Array); ok && arr.Len() == 0 {
			return compareTally(op, tally{x.entries()}, known{ast.Number("0")})
		}
	}
	refuse(CodeCompare, "a comparison of "+describe(x)+" with "+describe(b), "loop over the rows, or compare with []")
	return nil
}

// memberOfRows: no scalar is a row.
func memberOfRows(x operand, coll rows) sqlgen.Predicate {
	if r := rankOf(x); r == rankAny || r == rankObject {
		refuse(CodeCompare, "membership of "+describe(x)+" in "+describe(coll), "loop over the rows and compare their fields")
	}
	return sqlgen.False
}

// lookupRows is a row by its place.
func lookupRows(c rows, key operand) value {
	if k, ok := key.(known); ok {
		if _, ok := index(k.v); !ok {
			return nil
		}
	} else if r := rankOf(key); r != rankNumber && r != rankAny {
		return nil
	}
	refuse(CodeReference, describe(c)+" by their place", "loop over the rows: some x in …")
	return nil
}

// rowBuiltins are the builtins that know what an array of rows is.
var rowBuiltins = map[string]bool{
	"equal": true, "neq": true, "lt": true, "lte": true, "gt": true, "gte": true, "internal.member_2": true, "count": true, "object.get": true,
	"is_null": true, "is_boolean": true, "is_number": true, "is_string": true, "is_array": true, "is_object": true, "is_set": true,
}

// refuseRows refuses the rows of a relation as an argument of the other builtins, which
// would take them for something else.
func refuseRows(name string, ops []operand) {
	for _, op := range ops {
		if _, ok := op.(rows); ok && !rowBuiltins[name] {
			refuse(CodeBuiltin, name+" of "+describe(op)+" has no translation", "loop over the rows: some x in …")
		}
	}
}
