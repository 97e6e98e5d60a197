package compiler

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/sqlgen"
)

// found is a term's value in a solution. A reference with free variables has a
// value for each way to bind them.
type found struct {
	solution
	val value
}

// atHand is the value of a term that has one wherever it stands: of a constant, a
// variable, or a place in the input.
func (t *translator) atHand(term *ast.Term, e *env) (value, bool) {
	switch v := term.Value.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return knownValue(v), true
	case ast.Var:
		return e.get(v)
	case ast.Ref:
		if v[0].Value.Compare(ast.InputRootDocument.Value) != 0 {
			return nil, false
		}
		if n := t.doc.root.at(v[1:]); n != nil {
			return n.asValue(), true
		}
	}
	return nil, false
}

// at is the node at keys that are constants, in an object of which some parts are not
// known; nil where that is no node.
func (n *node) at(keys ast.Ref) *node {
	for _, key := range keys {
		name, ok := key.Value.(ast.String)
		if !ok || !n.isObject() {
			return nil
		}
		if n = n.children[string(name)]; n == nil {
			return nil
		}
	}
	return n
}

// eval is the value of a term.
func (t *translator) eval(term *ast.Term, s solution) []found {
	switch v := term.Value.(type) {
	case ast.Var:
		val, ok := s.env.get(v)
		if !ok {
			if ast.RootDocumentNames.Contains(term) {
				return t.follow(ast.Ref{term}, s)
			}
			refuse(CodeExpression, "the variable "+v.String()+" has no value", "")
		}
		return []found{{s, val}}
	case ast.Ref:
		return t.follow(v, s)
	case *ast.Array:
		return t.literal(v, false, collectTerms(v.Foreach), s)
	case ast.Set:
		return t.literal(v, true, collectTerms(v.Foreach), s)
	case ast.Object:
		return t.objectLiteral(v, s)
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return []found{{s, knownValue(v)}}
	case *ast.SetComprehension:
		return t.comprehension(v.Term, v.Body, s, true)
	case *ast.ArrayComprehension:
		return t.comprehension(v.Term, v.Body, s, false)
	case *ast.ObjectComprehension:
		return t.objectComprehension(v, s)
	}
	refuse(CodeExpression, "this form of term has no translation", "")
	return nil
}

func collectTerms(foreach func(func(*ast.Term))) []*ast.Term {
	var out []*ast.Term
	foreach(func(t *ast.Term) { out = append(out, t) })
	return out
}

// literal is an array or set: known, or a list of values.
func (t *translator) literal(v ast.Value, set bool, terms []*ast.Term, s solution) []found {
	if v.IsGround() && !hasRef(v) {
		return []found{{s, knownValue(v)}}
	}
	type partial struct {
		solution
		elems []value
	}
	parts := []partial{{s, nil}}
	for _, e := range terms {
		var next []partial
		for _, p := range parts {
			for _, f := range t.eval(e, p.solution) {
				for _, sol := range f.and(f.val.defined()) {
					next = append(next, partial{sol, append(p.elems[:len(p.elems):len(p.elems)], f.val)})
				}
			}
		}
		parts = next
	}
	out := make([]found, len(parts))
	for i, p := range parts {
		out[i] = found{p.solution, listValue(p.elems, set)}
	}
	return out
}

func hasRef(v ast.Value) bool {
	has := false
	ast.WalkTerms(ast.NewTerm(v), func(t *ast.Term) bool {
		switch t.Value.(type) {
		case ast.Ref, ast.Var, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			has = true
		}
		return has
	})
	return has
}

func listValue(elems []value, set bool) value {
	terms := make([]*ast.Term, len(elems))
	for i, e := range elems {
		k, ok := e.constant()
		if !ok {
			return value{{sqlgen.True, list{elems, set}}}
		}
		terms[i] = ast.NewTerm(k)
	}
	if set {
		return knownValue(ast.NewSet(terms...))
	}
	return knownValue(ast.NewArray(terms...))
}

func (t *translator) objectLiteral(obj ast.Object, s solution) []found {
	if obj.IsGround() && !hasRef(obj) {
		return []found{{s, knownValue(obj)}}
	}
	type way struct {
		solution
		record
	}
	ways := []way{{s, record{}}}
	obj.Foreach(func(k, v *ast.Term) {
		var next []way
		for _, w := range ways {
			key := t.constantKey(k, w.solution)
			if w.index(key) >= 0 {
				refuse(CodeExpression, "an object with one key twice", "use each key once")
			}
			for _, f := range t.eval(v, w.solution) {
				for _, sol := range f.and(f.val.defined()) {
					next = append(next, way{sol, record{
						append(w.keys[:len(w.keys):len(w.keys)], key),
						append(w.vals[:len(w.vals):len(w.vals)], f.val),
					}})
				}
			}
		}
		ways = next
	})
	out := make([]found, len(ways))
	for i, w := range ways {
		out[i] = found{w.solution, recordValue(w.record)}
	}
	return out
}

func recordValue(r record) value {
	obj := ast.NewObject()
	for i, k := range r.keys {
		v, ok := r.vals[i].constant()
		if !ok {
			return value{{sqlgen.True, r}}
		}
		obj.Insert(ast.NewTerm(k), ast.NewTerm(v))
	}
	return knownValue(obj)
}

// follow is the value of a reference.
func (t *translator) follow(ref ast.Ref, s solution) []found {
	head, ok := ref[0].Value.(ast.Var)
	if !ok {
		refuse(CodeReference, "a reference into a value that is not named", "bind it to a variable first")
	}
	if val, ok := s.env.get(head); ok {
		return t.path(ref[1:], []found{{s, val}})
	}
	switch {
	case head.Equal(ast.InputRootDocument.Value):
		return t.path(ref[1:], []found{{s, t.doc.root.asValue()}})
	case head.Equal(ast.DefaultRootDocument.Value):
		return t.followRule(ref, s)
	}
	refuse(CodeExpression, "the variable "+head.String()+" has no value", "")
	return nil
}

// followRule is a reference to a rule of the residual, or into its value.
func (t *translator) followRule(ref ast.Ref, s solution) []found {
	// keys that are variables with a known value may name a rule
	resolved := ref
	for i, key := range ref[1:] {
		if v, ok := key.Value.(ast.Var); ok {
			if val, ok := s.env.get(v); ok {
				if k, ok := val.constant(); ok {
					if &resolved[0] == &ref[0] {
						resolved = slices.Clone(ref)
					}
					resolved[i+1] = ast.NewTerm(k)
				}
			}
		}
	}
	if m, args := t.residual.Modified(resolved); m != nil {
		return t.modified(m, args, s)
	}
	if name, rest, ok := t.residual.Variable(resolved); ok {
		return t.path(rest, []found{{s, t.vars[name]}})
	}
	if p := t.doc.derived(resolved); p != nil {
		t.doc.asked[p] = true
		v, ok := t.derived[p]
		if !ok {
			v = t.derivedValue(p)
			t.derived[p] = v
		}
		return t.path(resolved[len(p.Path):], []found{{s, v}})
	}
	if t.residual.Mixed(resolved) {
		refuse(CodeReference, "an object whose keys several rules make, some of them from the row", "make the object with one key a rule, all known or all from the row")
	}
	rules, n := t.residual.Rules(resolved)
	if n == 0 && t.residual.Owns(resolved) {
		return t.rulesBelow(resolved, s)
	}
	if n == 0 {
		return t.data(resolved, s)
	}
	return t.path(resolved[n:], t.unfold(found{s, t.ruleValue(rules, nil)}))
}

// data is a reference to a data document.
func (t *translator) data(ref ast.Ref, s solution) []found {
	prefix := ref.ConstantPrefix()
	v, ok := t.residual.Data(prefix)
	switch {
	case ok:
		return t.path(ref[len(prefix):], []found{{s, knownValue(v)}})
	case t.residual.IsDocument(prefix):
		return t.rulesBelow(ref, s)
	case t.residual.HasRulesBelow(prefix):
		refuse(CodeReference, "a reference to several rules at once", "refer to one rule, with constant keys")
	}
	return nil // there is no such data
}

// rulesBelow is a reference to the document that several rules make up, such as an
// object of which partial evaluation knows the keys.
func (t *translator) rulesBelow(ref ast.Ref, s solution) []found {
	prefix := ref.ConstantPrefix()
	set := ruleSet{kind: rankObject, t: t}
	for _, key := range t.residual.Below(prefix) {
		rules, n := t.residual.Rules(prefix.Append(key))
		if n != len(prefix)+1 {
			refuse(CodeReference, "a reference to packages of rules", "refer to one rule, with constant keys")
		}
		if len(rules[0].Head.Args) > 0 {
			continue
		}
		v := t.ruleValue(rules, nil)
		for _, a := range v {
			if _, ok := a.op.(joined); ok {
				refuse(CodeIteration, "an object whose values are read from related rows", "refer to one rule, with constant keys")
			}
		}
		set.entries = append(set.entries, entry{solution{when: v.defined()}, knownValue(key.Value), v})
	}
	if set.entries == nil { // no definition is left of it
		if t.residual.IsSet(prefix) {
			return t.path(ref[len(prefix):], []found{{s, knownValue(ast.NewSet())}})
		}
		return nil
	}
	return t.path(ref[len(prefix):], []found{{s, value{{sqlgen.True, set}}}})
}

// path follows keys from values.
func (t *translator) path(keys ast.Ref, from []found) []found {
	keys, from = intoObject(keys, from)
	for _, key := range keys {
		var next []found
		for _, f := range t.openAll(from) {
			if v, ok := key.Value.(ast.Var); ok && t.free(key, f.env) {
				next = append(next, t.iterate(f, v)...)
				continue
			}
			for _, k := range t.eval(key, f.solution) {
				var val value
				for _, a := range f.val {
					if set, ok := a.op.(ruleSet); ok && set.valuesFromLoops() {
						next = append(next, t.membersOf(set, k.val, k.and(a.when))...)
						continue
					}
					for _, b := range k.val {
						val = append(val, lookup(a.op, b.op).under(conjunction(a.when, b.when))...)
					}
				}
				next = append(next, found{k.solution, merge(val)})
			}
		}
		from = next
	}
	return from
}

// intoObject follows keys that are constants into an object of the input, which is most
// of what references do. It returns the other keys, and where they begin.
func intoObject(keys ast.Ref, from []found) (ast.Ref, []found) {
	if len(keys) == 0 || len(from) != 1 || len(from[0].val) != 1 || from[0].val[0].when != sqlgen.Predicate(sqlgen.True) {
		return keys, from
	}
	obj, ok := from[0].val[0].op.(object)
	if !ok {
		return keys, from
	}
	n, rest := obj.n, keys
	for len(rest) > 0 {
		next := n.at(rest[:1])
		if next == nil {
			break
		}
		n, rest = next, rest[1:]
	}
	if n == obj.n {
		return keys, from
	}
	return rest, []found{{from[0].solution, n.asValue()}}
}

// valuesFromLoops reports whether it is an object with a value that a loop over the
// row brings.
func (r ruleSet) valuesFromLoops() bool {
	return slices.ContainsFunc(r.entries, func(e entry) bool {
		return slices.ContainsFunc(e.val, func(a alt) bool { return readsLoop(a.op, e.from.scopes) })
	})
}

// membersOf are the members of an object with a key, in the loops that bring them.
func (t *translator) membersOf(set ruleSet, key value, from []solution) []found {
	var out []found
	for _, e := range set.entries {
		e = t.reopen(e)
		for _, s := range from {
			for _, s := range s.and(e.from.when) {
				s.scopes = append(slices.Clone(s.scopes), e.from.scopes...)
				for _, s := range s.and(conjunction(compareValues(sqlgen.EQ, key, e.key), e.val.defined())) {
					out = append(out, found{s, e.val})
				}
			}
		}
	}
	return out
}

// iterate binds a free variable to each key of a collection in turn.
func (t *translator) iterate(f found, v ast.Var) []found {
	var out []found
	isSet := false
	add := func(s solution, when sqlgen.Predicate, key, val value) {
		for _, s := range s.and(conjunction(when, val.defined())) {
			s.env = s.env.bind(v, key)
			s.through = through{loops: f.through.loops + 1}
			if isSet {
				s.through.element, s.through.scopes = key, len(s.scopes)-len(f.scopes)
			}
			out = append(out, found{s, val})
		}
	}
	for _, a := range f.val {
		_, made := a.op.(ruleSet)
		isSet = made && rankOf(a.op) == rankSet // OPA goes through a literal's equal elements one by one
		switch op := a.op.(type) {
		case known:
			each(op.v, func(k, e ast.Value) { add(f.solution, a.when, knownValue(k), knownValue(e)) })
		case object:
			for _, k := range op.n.keys() {
				add(f.solution, a.when, knownValue(ast.String(k)), op.n.children[k].asValue())
			}
		case record:
			for i, k := range op.keys {
				add(f.solution, a.when, knownValue(k), op.vals[i])
			}
		case list:
			if op.set {
				t.merged++
			}
			for i, e := range op.elems {
				key := knownValue(ast.IntNumberTerm(i).Value)
				if op.set {
					key = e
				}
				add(f.solution, a.when, key, e)
			}
		case ruleSet:
			if op.kind != rankArray || op.repeats {
				t.merged++
			}
			for _, e := range op.entries {
				e = t.reopen(e)
				val := e.val
				if val == nil {
					val = e.key
				}
				if op.kind == rankArray {
					e.key = value{{sqlgen.True, unplaced{}}}
				}
				for _, s := range f.and(conjunction(a.when, e.from.when)) {
					s.scopes = append(slices.Clone(s.scopes), e.from.scopes...)
					add(s, sqlgen.True, e.key, val)
				}
			}
		case jsonValue, array, rows:
			for _, l := range t.loopsOver(op) {
				for _, s := range f.and(a.when) {
					add(s.enter(l.in), sqlgen.True, l.key, l.value)
				}
			}
		}
	}
	return out
}

func (n *node) keys() []string { return slices.Sorted(maps.Keys(n.children)) }
