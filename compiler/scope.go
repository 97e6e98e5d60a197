package compiler

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// scope is a loop over a collection of the row, or over rows of another table: what
// stands in it holds for one of the elements.
type scope struct {
	over sqlgen.Predicate // an ExistsElement or Exists, without its Where
	when sqlgen.Predicate
	of   related // for rows of another table
}

// table is what columns of the element are qualified with.
func (sc scope) table() string {
	switch over := sc.over.(type) {
	case sqlgen.ExistsElement:
		return over.Element.Table
	case sqlgen.Exists:
		return over.Alias
	default:
		return ""
	}
}

// holds is the condition under which p holds for one of the elements.
func (sc scope) holds(p sqlgen.Predicate) sqlgen.Predicate {
	p = conjunction(sc.when, p)
	if p == sqlgen.Predicate(sqlgen.False) {
		return p
	}
	switch over := sc.over.(type) {
	case sqlgen.ExistsElement:
		over.Where = p
		return over
	case sqlgen.Exists:
		over.Where = p
		return over
	default:
		return sqlgen.False
	}
}

// solution is a way to satisfy a body: what must hold, for an element each of the
// collections that were looped over, and what the variables are.
type solution struct {
	when    sqlgen.Predicate
	scopes  []scope
	env     *env
	through through
}

// through is what a solution has gone through.
type through struct {
	loops   int   // over any collections
	element value // of the last, where that is a set; nil else
	scopes  int   // in which that element is found
}

// and is the solution where p holds, too; none where it can't.
func (s solution) and(p sqlgen.Predicate) []solution {
	if len(s.scopes) == 0 {
		s.when = conjunction(s.when, p)
		if s.when == sqlgen.Predicate(sqlgen.False) {
			return nil
		}
		return []solution{s}
	}
	last := len(s.scopes) - 1
	inner := s.scopes[last]
	inner.when = conjunction(inner.when, p)
	if inner.when == sqlgen.Predicate(sqlgen.False) {
		return nil
	}
	s.scopes = append(slices.Clone(s.scopes[:last]), inner)
	return []solution{s}
}

// appended is all of both, neither of which is used any more.
func appended[S ~[]E, E any](a, b S) S {
	if len(a) == 0 {
		return b
	}
	return append(a, b...)
}

// enter is the solution for an element of one more collection.
func (s solution) enter(in scope) solution {
	s.scopes = append(slices.Clone(s.scopes), in)
	return s
}

// holds is the condition under which the solution is one.
func (s solution) holds() sqlgen.Predicate { return s.holdsWith(sqlgen.True) }

// holdsWith is the condition under which, for some elements, p holds as well.
func (s solution) holdsWith(p sqlgen.Predicate) sqlgen.Predicate {
	for _, sc := range slices.Backward(s.scopes) {
		if p = sc.holds(p); p == sqlgen.Predicate(sqlgen.False) {
			return p
		}
	}
	return conjunction(s.when, p)
}

// over is a loop over an expression, with names of its own for the element.
func (t *translator) over(e sqlgen.Expr, values bool) sqlgen.ExistsElement {
	t.loops++
	return sqlgen.ExistsElement{Of: e, Values: values, Element: sqlgen.NewElement(fmt.Sprintf("elem%d", t.loops), t.doc.isTaken)}
}

// loop is a loop over a collection: the element's key and value in each way to have
// one.
type loop struct {
	in         scope
	key, value value
}

// loops are the loops over a collection whose size the row says. A jsonb value may
// be an array or an object.
func (t *translator) loopsOver(op operand) []loop {
	switch op := op.(type) {
	case array:
		over := t.over(op.e, false)
		elem := over.ElementValue()
		v := value{{sqlgen.True, scalar{e: elem}}}
		if sqlgen.Nullable(elem) {
			v = value{{sqlgen.NotNull(elem), scalar{e: elem}}, {sqlgen.Null{Of: elem}, known{ast.NullValue}}}
		}
		return []loop{{scope{over: over, when: sqlgen.True}, value{{sqlgen.True, scalar{e: over.ElementKey()}}}, v}}
	case jsonValue:
		var out []loop
		for _, values := range []bool{false, true} {
			over := t.over(op.e, values)
			out = append(out, loop{
				scope{over: over, when: sqlgen.True}, value{{sqlgen.True, scalar{e: over.ElementKey()}}},
				value{{sqlgen.True, jsonValue{over.ElementValue()}}},
			})
		}
		return out
	case rows:
		in := t.scopeOf(op.of)
		return []loop{{in, value{{sqlgen.True, unplaced{}}}, value{{sqlgen.True, op.of.in(in)}}}}
	default:
		return nil
	}
}

// reopen is the entry with names of its own for the elements that it loops over, so
// that the loops of one rule can stand inside each other.
func (t *translator) reopen(e entry) entry {
	if len(e.from.scopes) == 0 {
		return e
	}
	names := map[string]string{}
	scopes := slices.Clone(e.from.scopes)
	for i, sc := range scopes {
		switch over := sc.over.(type) {
		case sqlgen.ExistsElement:
			over.Element = t.over(over.Of, over.Values).Element
			scopes[i].over = over
		case sqlgen.Exists:
			scopes[i].over = t.scopeOf(sc.of).over
		}
		names[sc.table()] = scopes[i].table()
	}
	table := func(name string) string {
		if fresh, ok := names[name]; ok {
			return fresh
		}
		return name
	}
	for i, sc := range scopes {
		switch over := scopes[i].over.(type) {
		case sqlgen.ExistsElement:
			over.Of = sqlgen.RewriteExpr(over.Of, renameColumns(table))
			scopes[i].over = over
		case sqlgen.Exists:
			over.On = sqlgen.Rewrite(sc.over.(sqlgen.Exists).On, renameColumns(table))
			scopes[i].over = over
		}
		scopes[i].when = sqlgen.Rewrite(sc.when, renameColumns(table))
		scopes[i].of = sc.of.rename(table)
	}
	e.from.scopes = scopes
	e.key = renameValue(e.key, table)
	if e.val != nil {
		e.val = renameValue(e.val, table)
	}
	return e
}

// renameColumns gives another name to the tables of columns.
func renameColumns(table func(string) string) func(sqlgen.Expr) sqlgen.Expr {
	return func(x sqlgen.Expr) sqlgen.Expr {
		if c, ok := x.(sqlgen.Column); ok {
			c.Table = table(c.Table)
			return c
		}
		return x
	}
}

func renameValue(v value, table func(string) string) value {
	rename := renameColumns(table)
	out := make(value, len(v))
	for i, a := range v {
		a.when = sqlgen.Rewrite(a.when, rename)
		switch op := a.op.(type) {
		case scalar:
			op.e = sqlgen.RewriteExpr(op.e, rename)
			a.op = op
		case array:
			a.op = array{sqlgen.RewriteExpr(op.e, rename)}
		case jsonValue:
			a.op = jsonValue{sqlgen.RewriteExpr(op.e, rename)}
		case computed:
			a.op = op.rewritten(rename)
		case object:
			a.op = object{op.n.rename(table)}
		case rows:
			a.op = rows{op.of.rename(table)}
		case row:
			a.op = row{op.of.rename(table)}
		case list:
			elems := make([]value, len(op.elems))
			for i, e := range op.elems {
				elems[i] = renameValue(e, table)
			}
			a.op = list{elems, op.set}
		case record:
			vals := make([]value, len(op.vals))
			for i, v := range op.vals {
				vals[i] = renameValue(v, table)
			}
			a.op = record{op.keys, vals}
		case known, unplaced:
		default:
			refuse(CodeIteration, "a loop over collections that loops make", "loop over the row's collections themselves")
		}
		out[i] = a
	}
	return out
}

// readsLoop reports whether an operand reads an element of one of the scopes.
func readsLoop(op operand, scopes []scope) bool {
	if len(scopes) == 0 {
		return false
	}
	found := false
	read := func(table string) string {
		found = found || slices.ContainsFunc(scopes, func(s scope) bool { return s.table() == table })
		return table
	}
	switch op := op.(type) {
	case known, unplaced:
	case scalar:
		sqlgen.RewriteExpr(op.e, renameColumns(read))
	case array:
		sqlgen.RewriteExpr(op.e, renameColumns(read))
	case jsonValue:
		sqlgen.RewriteExpr(op.e, renameColumns(read))
	case computed:
		op.rewritten(renameColumns(read))
	case object:
		op.n.rename(read)
	case rows:
		op.of.rename(read)
	case row:
		op.of.rename(read)
	default:
		return true
	}
	return found
}

// every is true where the body holds for each element of the domain, which must be
// a collection.
func (t *translator) every(e *ast.Every, s solution) []solution {
	var out []solution
	for _, f := range t.openAll(t.eval(e.Domain, s)) {
		any := make([]sqlgen.Predicate, len(f.val))
		for i, a := range f.val {
			any[i] = conjunction(a.when, t.everyOf(e, a.op, f.env))
		}
		out = append(out, f.and(disjunction(any))...)
	}
	return out
}

func (t *translator) everyOf(e *ast.Every, domain operand, outer *env) sqlgen.Predicate {
	fails := func(key, val value) sqlgen.Predicate {
		inner := outer
		for _, b := range []struct {
			pattern *ast.Term
			val     value
		}{{e.Key, key}, {e.Value, val}} {
			if b.pattern == nil {
				continue
			}
			name, ok := b.pattern.Value.(ast.Var)
			if !ok {
				refuse(CodeExpression, "every with a pattern", "bind the element to a variable")
			}
			inner = inner.bind(name, b.val)
		}
		return sqlgen.Not{Of: t.holds(e.Body, inner)}
	}
	var none []sqlgen.Predicate
	add := func(p sqlgen.Predicate) { none = append(none, sqlgen.Not{Of: p}) }
	switch d := domain.(type) {
	case known:
		if rankOfValue(d.v) < rankArray {
			return sqlgen.False
		}
		each(d.v, func(k, v ast.Value) { add(fails(knownValue(k), knownValue(v))) })
	case list:
		for i, v := range d.elems {
			key := knownValue(ast.IntNumberTerm(i).Value)
			if d.set {
				key = v
			}
			add(fails(key, v))
		}
	case record:
		for i, v := range d.vals {
			add(fails(knownValue(d.keys[i]), v))
		}
	case object:
		for _, k := range d.n.keys() {
			v := d.n.children[k].asValue()
			add(conjunction(v.defined(), fails(knownValue(ast.String(k)), v)))
		}
	case ruleSet:
		for _, en := range d.entries {
			en = t.reopen(en)
			val := en.val
			if val == nil {
				val = en.key
			}
			key := en.key
			if d.kind == rankArray {
				key = value{{sqlgen.True, unplaced{}}}
			}
			add(en.from.holdsWith(conjunction(val.defined(), fails(key, val))))
		}
	case array, jsonValue, rows:
		for _, l := range t.loopsOver(domain) {
			add(l.in.holds(fails(l.key, l.value)))
		}
		if j, ok := domain.(jsonValue); ok {
			none = append(none, sqlgen.JSONTypeIs{Of: j.e, Types: []string{"array", "object"}})
		}
	default:
		return sqlgen.False
	}
	return conjunction(none...)
}

// comprehension is a set or array of what a body finds.
func (t *translator) comprehension(term *ast.Term, body ast.Body, s solution, set bool) []found {
	rules := ruleSet{kind: rankArray, t: t}
	if set {
		rules.kind = rankSet
	}
	before := t.merged
	oneSet := true // no more than the elements of one set make the elements
	for _, sol := range t.solve(knownFirst(body), solution{when: sqlgen.True, env: s.env}) {
		for _, f := range t.eval(term, sol) {
			for _, d := range f.and(f.val.defined()) {
				rules.entries = append(rules.entries, entry{d, f.val, nil})
				by := d.through
				oneSet = oneSet && by.loops == 1 && by.element != nil && by.scopes == len(d.scopes)
				rules.elements = append(rules.elements, entry{d, by.element, nil})
			}
		}
	}
	rules.repeats = t.merged > before
	if !rules.repeats || !oneSet {
		rules.elements = nil
	}
	return []found{{s, value{{sqlgen.True, rules}}}}
}

// knownFirst is the body of a comprehension with what binds variables to constants at
// its beginning: partial evaluation puts the values of variables from outside to its end.
func knownFirst(body ast.Body) ast.Body {
	body = slices.Clone(body)
	slices.SortStableFunc(body, func(a, b *ast.Expr) int {
		switch x, y := bindsConstant(a), bindsConstant(b); {
		case x == y:
			return 0
		case x:
			return -1
		default:
			return 1
		}
	})
	return body
}

func bindsConstant(e *ast.Expr) bool {
	if !e.IsEquality() || e.Negated || len(e.With) > 0 {
		return false
	}
	_, isVar := e.Operand(0).Value.(ast.Var)
	return isVar && ast.IsConstant(e.Operand(1).Value)
}

// objectComprehension is an object of what a body finds.
func (t *translator) objectComprehension(c *ast.ObjectComprehension, s solution) []found {
	outer := t.expr
	set := ruleSet{kind: rankObject, t: t}
	for _, sol := range t.solve(knownFirst(c.Body), solution{when: sqlgen.True, env: s.env}) {
		for _, k := range t.eval(c.Key, sol) {
			for _, v := range t.eval(c.Value, k.solution) {
				for _, d := range v.and(conjunction(k.val.defined(), v.val.defined())) {
					set.entries = append(set.entries, entry{d, k.val, v.val})
				}
			}
		}
	}
	t.expr = outer
	t.checkKeys(set)
	return []found{{s, value{{sqlgen.True, set}}}}
}
