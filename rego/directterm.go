package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// sink takes each value of a term.
type sink func(f *frame, v *ast.Term)

// each is the step that gives take each value of a term.
func (b *bodyCompiler) each(t *ast.Term, take func(v *ast.Term, f *frame)) step {
	return b.enumerate(t, func() sink { return func(f *frame, v *ast.Term) { take(v, f) } })
}

// enumerate is the step that gives a sink each value of a term: several, of a reference
// with variables that have no value. The sink is made when they have one.
func (b *bodyCompiler) enumerate(t *ast.Term, to func() sink) step {
	if ref, ok := t.Value.(ast.Ref); ok {
		base, path, get := b.base(ref)
		walk := b.walk(path, get, to)
		return func(f *frame) {
			if v := base(f); v != nil {
				walk(f, v)
			}
		}
	}
	value := b.term(t)
	take := to()
	return func(f *frame) {
		if v := value(f); v != nil {
			take(f, v)
		}
	}
}

// getter looks up a key in a value.
type getter func(coll, key *ast.Term) *ast.Term

// getData is that of data documents, of which the storage takes the key 1 for "1", and
// the other way round.
func getData(coll, key *ast.Term) *ast.Term {
	_, isString := key.Value.(ast.String)
	if _, isArray := coll.Value.(*ast.Array); isArray || !isString {
		panic(unsure{})
	}
	return coll.Get(key)
}

// base is the value that a reference begins with, and the keys into it.
func (b *bodyCompiler) base(ref ast.Ref) (value func(f *frame) *ast.Term, path ast.Ref, look getter) {
	head, isVar := ref[0].Value.(ast.Var)
	switch {
	case !isVar:
		return b.term(ref[0]), ref[1:], get
	case ref[0].Equal(ast.InputRootDocument):
		return func(f *frame) *ast.Term { return f.run.input }, ref[1:], get
	case !ref[0].Equal(ast.DefaultRootDocument):
		if !b.bound[head] {
			panic(notDirect{})
		}
		at := b.slot(head)
		return func(f *frame) *ast.Term { return f.slots[at] }, ref[1:], get
	}
	prefix := ref.ConstantPrefix()
	for n := len(prefix); n > 1; n-- {
		if len(b.direct.policy.source.GetRulesExact(prefix[:n])) > 0 {
			rule := b.rule(prefix[:n])
			if rule.isFunction() {
				panic(notDirect{})
			}
			return func(f *frame) *ast.Term { return f.run.value(rule) }, ref[n:], get
		}
	}
	if len(prefix) < 2 || len(b.direct.policy.source.GetRulesWithPrefix(prefix)) > 0 || b.direct.inPackages(prefix) {
		panic(notDirect{})
	}
	known := ast.NewTerm(b.direct.policy.data)
	for _, key := range prefix[1:] {
		_, isString := key.Value.(ast.String)
		if _, isArray := known.Value.(*ast.Array); isArray || !isString {
			panic(notDirect{})
		}
		if known = known.Get(key); known == nil {
			return func(*frame) *ast.Term { return nil }, nil, get
		}
	}
	b.mayStop = b.mayStop || len(ref) > len(prefix)
	return func(*frame) *ast.Term { return known }, ref[len(prefix):], getData
}

// inPackages reports whether there are packages at or below ref, which are documents,
// too.
func (d *direct) inPackages(ref ast.Ref) bool {
	for _, m := range d.policy.source.Modules {
		if m.Package.Path.HasPrefix(ref) {
			return true
		}
	}
	return false
}

// walk follows keys from a value. A key without a value is each key in turn.
func (b *bodyCompiler) walk(path ast.Ref, get getter, to func() sink) sink {
	if len(path) == 0 {
		return to()
	}
	if v, ok := path[0].Value.(ast.Var); ok && !b.bound[v] {
		at := b.slot(v)
		b.bound[v] = true
		next := b.walk(path[1:], get, to)
		return func(f *frame, coll *ast.Term) { iterate(f, coll, at, next) }
	}
	key := b.term(path[0])
	next := b.walk(path[1:], get, to)
	return func(f *frame, coll *ast.Term) {
		k := key(f)
		if k == nil {
			return
		}
		if v := get(coll, k); v != nil {
			next(f, v)
		}
	}
}

func iterate(f *frame, coll *ast.Term, at int, next sink) {
	visit := func(k, v *ast.Term) (done bool) {
		f.run.alive()
		f.slots[at] = k
		next(f, v)
		return f.done()
	}
	switch c := coll.Value.(type) {
	case *ast.Array:
		for i := range c.Len() {
			if visit(ast.InternedTerm(i), c.Elem(i)) {
				return
			}
		}
	case ast.Object:
		c.Until(visit)
	case ast.Set:
		c.Until(func(v *ast.Term) bool { return visit(v, v) })
	}
}

// term is the value of a term of one value; nil where it is undefined.
func (b *bodyCompiler) term(t *ast.Term) func(f *frame) *ast.Term {
	if b.direct.policy.source.ComprehensionIndex(t) != nil {
		panic(notDirect{}) // OPA looks for all of them at once, in its own way: its errors are others
	}
	switch v := t.Value.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return func(*frame) *ast.Term { return t }
	case ast.Var:
		if ast.InputRootDocument.Equal(t) {
			return func(f *frame) *ast.Term { return f.run.input }
		}
		if !b.bound[v] {
			panic(notDirect{})
		}
		at := b.slot(v)
		return func(f *frame) *ast.Term { return f.slots[at] }
	case ast.Ref:
		base, path, get := b.base(v)
		keys := b.terms(path)
		return func(f *frame) *ast.Term {
			at := base(f)
			for _, key := range keys {
				if at == nil {
					return nil
				}
				k := key(f)
				if k == nil {
					return nil
				}
				at = get(at, k)
			}
			return at
		}
	case *ast.Array:
		return b.collection(t, collect(v), func(terms []*ast.Term) *ast.Term { return ast.ArrayTerm(terms...) })
	case ast.Set:
		return b.collection(t, v.Slice(), func(terms []*ast.Term) *ast.Term { return ast.SetTerm(terms...) })
	case ast.Object:
		var members []*ast.Term
		v.Foreach(func(k, e *ast.Term) { members = append(members, k, e) })
		return b.collection(t, members, objectOf)
	case *ast.ArrayComprehension:
		return b.comprehension(v.Body, v.Term, nil, func(terms []*ast.Term) *ast.Term { return ast.ArrayTerm(terms...) })
	case *ast.SetComprehension:
		return b.setComprehension(v.Body, v.Term)
	case *ast.ObjectComprehension:
		b.mayStop = true
		return b.comprehension(v.Body, v.Key, v.Value, objectOf)
	default:
		panic(notDirect{})
	}
}

func (b *bodyCompiler) terms(terms []*ast.Term) []func(f *frame) *ast.Term {
	out := make([]func(f *frame) *ast.Term, len(terms))
	for i, t := range terms {
		out[i] = b.term(t)
	}
	return out
}

// collection is a literal: itself, where all of it is known.
func (b *bodyCompiler) collection(t *ast.Term, parts []*ast.Term, of func([]*ast.Term) *ast.Term) func(f *frame) *ast.Term {
	if constants(parts) {
		return func(*frame) *ast.Term { return t }
	}
	values := b.terms(parts)
	return func(f *frame) *ast.Term {
		terms := make([]*ast.Term, len(values))
		for i, value := range values {
			if terms[i] = value(f); terms[i] == nil {
				return nil
			}
		}
		return of(terms)
	}
}

// comprehension is what the solutions of a body make up: of an object, keys and values.
func (b *bodyCompiler) comprehension(body ast.Body, key, val *ast.Term, of func([]*ast.Term) *ast.Term) func(f *frame) *ast.Term {
	list := b.list()
	find := b.inside(body, func() step {
		k := b.term(key)
		if val == nil {
			return func(f *frame) {
				if v := k(f); v != nil {
					f.lists[list] = append(f.lists[list], v)
				}
			}
		}
		value := b.term(val)
		return func(f *frame) {
			if k, v := k(f), value(f); k != nil && v != nil {
				f.lists[list] = append(f.lists[list], k, v)
			}
		}
	})
	return func(f *frame) *ast.Term {
		f.lists[list] = nil
		find(f)
		return of(f.lists[list])
	}
}

// setComprehension is apart: its solutions may be many more than its elements.
func (b *bodyCompiler) setComprehension(body ast.Body, elem *ast.Term) func(f *frame) *ast.Term {
	at := b.sets
	b.sets++
	find := b.inside(body, func() step {
		value := b.term(elem)
		return func(f *frame) {
			if v := value(f); v != nil {
				f.sets[at].add(v)
			}
		}
	})
	return func(f *frame) *ast.Term {
		set := ast.NewSet()
		f.sets[at] = growing{Set: set}
		find(f)
		return ast.NewTerm(set)
	}
}

// growing is a set that is made. Of the terms that came last it knows the values that
// are shared ([Share]): whether they are in it takes no comparison, which would read
// all of them.
type growing struct {
	ast.Set
	last [4]ast.Value
	next int
}

func (g *growing) add(t *ast.Term) {
	if compound(t.Value) {
		for _, v := range g.last {
			if v == t.Value {
				return
			}
		}
		g.last[g.next] = t.Value
		g.next = (g.next + 1) % len(g.last)
	}
	g.Add(t)
}
