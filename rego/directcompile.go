package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// notDirect ends the compilation of a rule that is OPA's to evaluate.
type notDirect struct{}

func newDirect(p *Policy) *direct { return &direct{policy: p, rules: map[string]*directRule{}} }

// compile is the rules at refs, of which each may be OPA's to evaluate: ok then is false.
func (d *direct) compile(refs []ast.Ref) (out directRules, ok []bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ok = make([]bool, len(refs))
	for i, ref := range refs {
		if rule := d.rule(ref); rule != nil && !rule.isFunction() {
			out.rules, ok[i] = append(out.rules, rule), true
		}
	}
	out.count = d.count
	return out, ok
}

func (r *directRule) isFunction() bool { return len(r.chains) > 0 && len(r.chains[0][0].args) > 0 }

// rule is the compiled rule at ref; nil where it is OPA's to evaluate.
func (d *direct) rule(ref ast.Ref) (out *directRule) {
	name := ref.String()
	if rule, ok := d.rules[name]; ok {
		return rule
	}
	d.rules[name] = nil
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(notDirect); !ok {
				panic(r)
			}
			out = nil
		}
	}()
	rules := d.policy.source.GetRulesExact(ref)
	if len(rules) == 0 || len(d.policy.source.GetRulesWithPrefix(ref)) != len(rules) || d.hasAbove(ref) {
		return nil
	}
	rule := &directRule{kind: rules[0].Head.RuleKind(), number: d.count}
	d.count++
	for _, r := range rules {
		d.add(rule, r, len(ref))
	}
	d.rules[name] = rule
	return rule
}

// hasAbove reports whether a rule makes a document of which ref is a part.
func (d *direct) hasAbove(ref ast.Ref) bool {
	for n := 2; n < len(ref); n++ {
		if len(d.policy.source.GetRulesExact(ref[:n])) > 0 {
			return true
		}
	}
	return false
}

// add compiles a definition with what its else leads to.
func (d *direct) add(rule *directRule, r *ast.Rule, keys int) {
	EachBeyondDouble(r, func(*ast.Term) { panic(notDirect{}) }) // OPA's indexes tell such numbers apart by their text
	if r.Default {
		if !ast.IsConstant(r.Head.Value.Value) {
			panic(notDirect{})
		}
		rule.preset = r.Head.Value
		return
	}
	var chain []definition
	var key *ast.Term
	ref := r.Ref()
	switch {
	case r.Head.RuleKind() != rule.kind, len(ref) > keys+1, len(ref) == keys+1 && (rule.kind == ast.MultiValue || len(r.Head.Args) > 0):
		panic(notDirect{})
	case len(ref) == keys+1:
		key, rule.object = ref[keys], true
	case rule.object:
		panic(notDirect{})
	}
	for ; r != nil; r = r.Else {
		b := &bodyCompiler{direct: d, slots: map[ast.Var]int{}, bound: map[ast.Var]bool{}}
		chain = append(chain, b.definition(rule, r, key))
	}
	if len(chain) > 1 && (rule.object || rule.kind == ast.MultiValue) {
		panic(notDirect{})
	}
	rule.chains = append(rule.chains, chain)
}

// bodyCompiler compiles one definition. OPA has ordered its expressions so that it is
// known of each variable in each of them whether it has a value there.
type bodyCompiler struct {
	direct            *direct
	slots             map[ast.Var]int
	spare             int
	bound             map[ast.Var]bool
	hits, lists, sets int
	mayStop           bool // it reads what may end in an error
}

func (b *bodyCompiler) definition(rule *directRule, r *ast.Rule, key *ast.Term) definition {
	var d definition
	for _, arg := range r.Head.Args {
		d.args = append(d.args, b.pattern(arg))
	}
	switch {
	case rule.kind == ast.MultiValue:
		list := b.list()
		d.body = b.body(r.Body, func() step {
			return b.each(r.Head.Key, func(v *ast.Term, f *frame) { f.lists[list] = append(f.lists[list], v) })
		})
	case key != nil:
		list := b.list()
		d.body = b.body(r.Body, func() step {
			k := b.term(key)
			return b.each(r.Head.Value, func(v *ast.Term, f *frame) {
				if name := k(f); name != nil {
					f.lists[list] = append(f.lists[list], name, v)
				}
			})
		})
	default:
		d.body = b.body(r.Body, func() step {
			return b.each(r.Head.Value, func(v *ast.Term, f *frame) { f.found(v) })
		})
		d.one = ast.IsConstant(r.Head.Value.Value) && !b.mayStop
	}
	d.slots, d.hits, d.lists, d.sets = len(b.slots)+b.spare, b.hits, b.lists, b.sets
	return d
}

func (b *bodyCompiler) list() int {
	b.lists++
	return b.lists - 1
}

// slot is where the variable's value stands.
func (b *bodyCompiler) slot(v ast.Var) int {
	i, ok := b.slots[v]
	if !ok {
		i = len(b.slots) + b.spare
		b.slots[v] = i
	}
	return i
}

// body is the expressions of a body, one after the other, and then last.
func (b *bodyCompiler) body(body ast.Body, last func() step) step {
	if len(body) == 0 {
		return last()
	}
	return b.expr(body[0], func() step { return b.body(body[1:], last) })
}

// inside is a body of its own, whose variables are forgotten behind it.
func (b *bodyCompiler) inside(body ast.Body, last func() step) step {
	outer := make(map[ast.Var]bool, len(b.bound))
	for v := range b.bound {
		outer[v] = true
	}
	s := b.body(body, last)
	b.bound = outer
	return s
}

func (b *bodyCompiler) expr(e *ast.Expr, next func() step) step {
	if len(e.With) > 0 {
		panic(notDirect{})
	}
	if e.Negated {
		hit := b.hits
		b.hits++
		inner := b.inside(ast.NewBody(e.Complement()), func() step {
			return func(f *frame) { f.hits[hit] = true }
		})
		then := next()
		return func(f *frame) {
			f.hits[hit] = false
			if inner(f); !f.hits[hit] {
				then(f)
			}
		}
	}
	switch terms := e.Terms.(type) {
	case *ast.Term:
		return b.enumerate(terms, func() sink {
			then := next()
			return func(f *frame, v *ast.Term) {
				if !isFalse(v) {
					then(f)
				}
			}
		})
	case []*ast.Term:
		if e.IsEquality() {
			return b.equal(e.Operand(0), e.Operand(1), next)
		}
		return b.call(terms, next)
	default:
		panic(notDirect{})
	}
}

// equal makes two terms equal, and gives the variables in one of them values.
func (b *bodyCompiler) equal(x, y *ast.Term, next func() step) step {
	if b.free(x) {
		x, y = y, x
	}
	if b.free(x) { // values on both sides
		panic(notDirect{})
	}
	return b.enumerate(x, func() sink {
		if b.free(y) {
			match := b.pattern(y)
			then := next()
			return func(f *frame, v *ast.Term) {
				if match(f, v) {
					then(f)
				}
			}
		}
		if isRef(y) {
			at := len(b.slots) + b.spare
			b.spare++
			other := b.enumerate(y, func() sink {
				then := next()
				return func(f *frame, v *ast.Term) {
					if f.slots[at].Equal(v) {
						then(f)
					}
				}
			})
			return func(f *frame, v *ast.Term) {
				f.slots[at] = v
				other(f)
			}
		}
		other := b.term(y)
		then := next()
		return func(f *frame, v *ast.Term) {
			if w := other(f); w != nil && v.Equal(w) {
				then(f)
			}
		}
	})
}

// comparison is a builtin that compares, and needs no call; nil for any other.
func comparison(builtin string) func(x, y *ast.Term) bool {
	switch builtin {
	case ast.Equal.Name:
		return (*ast.Term).Equal
	case ast.NotEqual.Name:
		return func(x, y *ast.Term) bool { return !x.Equal(y) }
	case ast.Member.Name:
		return memberOf
	}
	holds := orders[builtin]
	if holds == nil {
		return nil
	}
	return func(x, y *ast.Term) bool { return holds(x.Value.Compare(y.Value)) }
}

func memberOf(x, coll *ast.Term) bool {
	is := func(y *ast.Term) bool { return x.Equal(y) }
	switch c := coll.Value.(type) {
	case ast.Set:
		return c.Contains(x)
	case *ast.Array:
		return c.Until(is)
	case ast.Object:
		return c.Until(func(_, y *ast.Term) bool { return is(y) })
	default:
		return false
	}
}

// call is a function called for its truth, or with a last argument for its value.
func (b *bodyCompiler) call(terms []*ast.Term, next func() step) step {
	ref, ok := terms[0].Value.(ast.Ref)
	if !ok {
		panic(notDirect{})
	}
	var arity int
	var value func(f *frame, args []*ast.Term) *ast.Term
	if own, ok := ast.BuiltinMap[ref.String()]; ok {
		fn := topdown.GetBuiltin(own.Name)
		if fn == nil || !own.CanSkipBctx || own.Relation || own.Nondeterministic || own.Decl.Result() == nil || own.Decl.FuncArgs().Variadic != nil {
			panic(notDirect{})
		}
		b.mayStop = b.mayStop || own.Name == ast.InternalTemplateString.Name
		arity = own.Decl.Arity()
		if own.Name == ast.Union.Name {
			fn = union(fn)
		}
		value = func(_ *frame, args []*ast.Term) *ast.Term { return builtin(fn, args) }
		if compare := comparison(own.Name); compare != nil && len(terms) == 3 {
			x, y := b.term(terms[1]), b.term(terms[2])
			then := next()
			return func(f *frame) {
				if v, w := x(f), y(f); v != nil && w != nil && compare(v, w) {
					then(f)
				}
			}
		}
	} else {
		rule := b.rule(ref)
		arity = len(rule.chains[0][0].args)
		if rule.object || rule.kind == ast.MultiValue || len(terms) == arity+2 && !b.unknown(terms[arity+1]) {
			panic(notDirect{}) // OPA looks for a definition of a wanted value, where its order says another one
		}
		value = func(f *frame, args []*ast.Term) *ast.Term { return f.run.function(rule, args) }
	}
	if len(terms) != arity+1 && len(terms) != arity+2 {
		panic(notDirect{})
	}
	args := make([]func(f *frame) *ast.Term, arity)
	for i := range args {
		args[i] = b.term(terms[i+1])
	}
	var accept func(f *frame, v *ast.Term) bool
	switch {
	case len(terms) == arity+1:
		accept = func(_ *frame, v *ast.Term) bool { return !isFalse(v) }
	case b.free(terms[arity+1]):
		accept = b.pattern(terms[arity+1])
	default:
		want := b.term(terms[arity+1])
		accept = func(f *frame, v *ast.Term) bool {
			w := want(f)
			return w != nil && v.Equal(w)
		}
	}
	then := next()
	return func(f *frame) {
		f.run.alive()
		operands := make([]*ast.Term, len(args))
		for i, arg := range args {
			if operands[i] = arg(f); operands[i] == nil {
				return
			}
		}
		if v := value(f, operands); v != nil && accept(f, v) {
			then(f)
		}
	}
}

// rule is a rule that has at least one definition.
func (b *bodyCompiler) rule(ref ast.Ref) *directRule {
	rule := b.direct.rule(ref)
	if rule == nil || len(rule.chains) == 0 {
		panic(notDirect{})
	}
	b.mayStop = true
	return rule
}

// free reports whether the term is a variable without a value, or has one in a pattern.
func (b *bodyCompiler) free(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Var:
		return !b.bound[v] && !ast.RootDocumentNames.Contains(t)
	case *ast.Array:
		return v.Until(b.free)
	case ast.Object:
		return v.Until(func(_, e *ast.Term) bool { return b.free(e) })
	default:
		return false
	}
}

// unknown reports whether the term is a variable without a value.
func (b *bodyCompiler) unknown(t *ast.Term) bool {
	_, isVar := t.Value.(ast.Var)
	return isVar && b.free(t)
}

func isRef(t *ast.Term) bool {
	_, ok := t.Value.(ast.Ref)
	return ok
}

// pattern is the test whether a value is of the pattern's form. It gives values to
// variables that have none.
func (b *bodyCompiler) pattern(t *ast.Term) func(f *frame, v *ast.Term) bool {
	if !b.free(t) {
		want := b.term(t)
		return func(f *frame, v *ast.Term) bool {
			w := want(f)
			return w != nil && v.Equal(w)
		}
	}
	switch p := t.Value.(type) {
	case ast.Var:
		at := b.slot(p)
		b.bound[p] = true
		return func(f *frame, v *ast.Term) bool {
			f.slots[at] = v
			return true
		}
	case *ast.Array:
		parts := make([]func(f *frame, v *ast.Term) bool, p.Len())
		for i := range parts {
			parts[i] = b.pattern(p.Elem(i))
		}
		return func(f *frame, v *ast.Term) bool {
			arr, ok := v.Value.(*ast.Array)
			if !ok || arr.Len() != len(parts) {
				return false
			}
			for i, part := range parts {
				if !part(f, arr.Elem(i)) {
					return false
				}
			}
			return true
		}
	default: // an object's keys may be in another order than its variables
		panic(notDirect{})
	}
}

// constants are the terms' values where all of them are known.
func constants(terms []*ast.Term) bool {
	return !slices.ContainsFunc(terms, func(t *ast.Term) bool { return !ast.IsConstant(t.Value) })
}
