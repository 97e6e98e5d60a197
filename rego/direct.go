package rego

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// OPA interprets a policy expression by expression, each of them a few allocations and
// a microsecond. What is derived for every new subject is worth more: rules of the usual
// forms are compiled into functions of Go, which do the same, in the same order, with
// OPA's own values and builtins. All other rules are OPA's to evaluate, and so is every
// input at which these functions would have to end in an error: it says which.

// direct is the compiled rules of a policy.
type direct struct {
	policy *Policy
	mu     sync.Mutex
	rules  map[string]*directRule // by reference; nil for one that is OPA's to evaluate
	count  int
}

// directRules are rules that are evaluated together.
type directRules struct {
	rules []*directRule
	count int // of all that were compiled
}

// directRule is a rule, or a function.
type directRule struct {
	number int
	kind   ast.RuleKind
	object bool
	chains [][]definition // of each, the first that has a value counts
	preset *ast.Term      // the value where none has; nil for none
}

// definition is one of a rule's bodies.
type definition struct {
	slots, hits, lists, sets int
	args                     []func(f *frame, arg *ast.Term) bool
	body                     step
	one                      bool // one solution says as much as all of them
}

// step does what is left of a body, for each of its solutions.
type step func(f *frame)

// frame is what one evaluation of a body knows.
type frame struct {
	run   *run
	slots []*ast.Term   // of variables
	hits  []bool        // of negations: whether their bodies have a solution
	lists [][]*ast.Term // of comprehensions, and first of a rule: what was found so far
	sets  []growing     // of comprehensions of sets
	value *ast.Term     // of a complete rule or function
	one   bool          // one solution is enough
}

// run is one evaluation of rules for an input.
type run struct {
	ctx    context.Context
	input  *ast.Term
	values []directValue // of rules, by their number
	calls  map[int][]called
	steps  int
}

// called is a function's value for arguments.
type called struct {
	rule  *directRule
	args  []*ast.Term
	value *ast.Term
}

type directValue struct {
	known bool
	term  *ast.Term // nil for undefined
}

// unsure ends an evaluation that OPA is to do.
type unsure struct{}

// errUnsure says that OPA is to do it.
var errUnsure = errors.New("to be evaluated by OPA")

// maxSteps bounds an evaluation. What takes more may be quicker in OPA, which has
// indexes for comprehensions and for keys of partial rules. checkEvery is how many steps
// go by between looks at the context.
const (
	maxSteps   = 1 << 18
	checkEvery = 1 << 10
)

func (r *run) alive() {
	if r.steps++; r.steps%checkEvery == 0 && (r.steps > maxSteps || r.ctx.Err() != nil) {
		panic(unsure{})
	}
}

// eval are the values of the rules for an input, nil for one that is undefined.
func (rules directRules) eval(ctx context.Context, input ast.Value) (out []ast.Value, err error) {
	defer func() {
		if recover() != nil { // unsure, or a builtin that OPA may know how to stop
			out, err = nil, errUnsure
		}
	}()
	r := &run{ctx: ctx, input: ast.NewTerm(input), values: make([]directValue, rules.count)}
	out = make([]ast.Value, len(rules.rules))
	for i, rule := range rules.rules {
		if v := r.value(rule); v != nil {
			out[i] = v.Value
		}
	}
	return out, nil
}

// value is that of a rule without arguments.
func (r *run) value(rule *directRule) *ast.Term {
	if have := r.values[rule.number]; have.known {
		return have.term
	}
	var v *ast.Term
	switch {
	case rule.kind == ast.MultiValue:
		v = ast.NewTerm(ast.NewSet(r.members(rule)...))
	case rule.object:
		v = objectOf(r.members(rule))
	default:
		v = r.call(rule, nil)
	}
	r.values[rule.number] = directValue{true, v}
	return v
}

// members are what the definitions of a partial rule find.
func (r *run) members(rule *directRule) []*ast.Term {
	var all []*ast.Term
	for _, chain := range rule.chains {
		f := r.enter(&chain[0])
		chain[0].body(f)
		if all == nil {
			all = f.lists[0]
		} else {
			all = append(all, f.lists[0]...)
		}
	}
	return all
}

// function is the value of a function for arguments, computed once; nil where it is
// undefined.
func (r *run) function(rule *directRule, args []*ast.Term) *ast.Term {
	hash := rule.number
	for _, arg := range args {
		hash = 31*hash + arg.Hash()
	}
	for _, c := range r.calls[hash] {
		if c.rule == rule && slices.EqualFunc(c.args, args, same) {
			return c.value
		}
	}
	v := r.call(rule, args)
	if r.calls == nil {
		r.calls = map[int][]called{}
	}
	r.calls[hash] = append(r.calls[hash], called{rule, args, v})
	return v
}

// call is the value of a complete rule, or of a function; nil where it is undefined.
func (r *run) call(rule *directRule, args []*ast.Term) *ast.Term {
	var value *ast.Term
	for _, chain := range rule.chains {
		for i := range chain {
			d := &chain[i]
			f := r.enter(d)
			if !f.match(d, args) {
				continue
			}
			d.body(f)
			if f.value == nil {
				continue
			}
			if value != nil && !same(value, f.value) {
				panic(unsure{})
			}
			value = f.value
			break
		}
	}
	if value == nil {
		return rule.preset
	}
	return value
}

func (f *frame) match(d *definition, args []*ast.Term) bool {
	for i, arg := range args {
		if !d.args[i](f, arg) {
			return false
		}
	}
	return true
}

// enter is a frame for a body.
func (r *run) enter(d *definition) *frame {
	r.alive()
	f := &frame{run: r, slots: make([]*ast.Term, d.slots), one: d.one}
	if d.hits > 0 {
		f.hits = make([]bool, d.hits)
	}
	if d.lists > 0 {
		f.lists = make([][]*ast.Term, d.lists)
	}
	if d.sets > 0 {
		f.sets = make([]growing, d.sets)
	}
	return f
}

// done reports whether no other solution is of interest.
func (f *frame) done() bool { return f.one && f.value != nil }

// found gives a complete rule its value.
func (f *frame) found(v *ast.Term) {
	if f.value != nil && !same(f.value, v) {
		panic(unsure{})
	}
	f.value = v
}

// objectOf is the object of keys and values, one after the other.
func objectOf(members []*ast.Term) *ast.Term {
	obj := ast.NewObjectWithCapacity(len(members) / 2)
	for i := 0; i < len(members); i += 2 {
		checkKey(members[i])
		if have := obj.Get(members[i]); have != nil && !same(have, members[i+1]) {
			panic(unsure{})
		}
		obj.Insert(members[i], members[i+1])
	}
	return ast.NewTerm(obj)
}

// get looks up a key in a value.
func get(coll, key *ast.Term) *ast.Term {
	checkKey(key)
	return coll.Get(key)
}

// checkKey is unsure of a key that is a number beyond a double, or holds one. OPA looks
// for it by its text or compares, as it happens to evaluate the reference or equality.
func checkKey(key *ast.Term) {
	if holdsBeyondDouble(key) {
		panic(unsure{})
	}
}

// holdsBeyondDouble is [EachBeyondDouble] of a value, without what a visitor costs.
func holdsBeyondDouble(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Number:
		return IsBeyondDouble(t.Value)
	case *ast.Array:
		return v.Until(holdsBeyondDouble)
	case ast.Set:
		return v.Until(holdsBeyondDouble)
	case ast.Object:
		return v.Until(func(k, e *ast.Term) bool { return holdsBeyondDouble(k) || holdsBeyondDouble(e) })
	default:
		return false
	}
}

// same reports whether two terms are equal. It is unsure of those that are, and are
// written in another way, as 1 and 1.0: it depends on OPA's order which one is left, and
// a text made of it shows which.
func same(x, y *ast.Term) bool {
	if !x.Equal(y) {
		return false
	}
	if !identical(x.Value, y.Value) {
		panic(unsure{})
	}
	return true
}

// union is the union of sets. Of a single one it is that one itself, not a copy.
func union(f topdown.BuiltinFunc) topdown.BuiltinFunc {
	return func(ctx topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) error {
		if sets, ok := args[0].Value.(ast.Set); ok && sets.Len() == 1 {
			if _, ok := sets.Slice()[0].Value.(ast.Set); ok {
				return iter(sets.Slice()[0])
			}
		}
		return f(ctx, args, iter)
	}
}

// builtin is the value of a builtin function; nil where it is undefined.
func builtin(f topdown.BuiltinFunc, args []*ast.Term) (out *ast.Term) {
	err := f(topdown.BuiltinContext{}, args, func(t *ast.Term) error {
		out = t
		return nil
	})
	if err == nil {
		return out
	}
	if _, halts := err.(topdown.Halt); halts { //nolint:errorlint // as OPA asks it
		panic(unsure{})
	}
	return nil
}

func isFalse(t *ast.Term) bool { return ast.Boolean(false).Equal(t.Value) }
