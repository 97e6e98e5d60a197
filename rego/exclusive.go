package rego

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// exclusive reports whether two definitions of a rule or function never hold together:
// they say of something what can't both be true, or are links of one chain of else.
func exclusive(a, b *ast.Rule) bool {
	return FactsOf(a).exclude(FactsOf(b)) ||
		guardedBy(a.Body, chainName(b)) || guardedBy(b.Body, chainName(a)) ||
		chainOf(a) != "" && chainOf(a) == chainOf(b)
}

// Facts are what a definition says of things that have one value in every definition of
// its rule: parts of the input and the data, arguments, and what builtin functions make
// of these.
type Facts struct {
	names map[ast.Var]string // of variables, as the things are called in all definitions
	of    map[string][]fact  // by what they are about
}

// fact is a test that a thing passes, or does not. What is undefined passes none.
type fact struct {
	negated   bool
	constants []ast.Value // that the test compares with
	passes    func(at func(ast.Value) int, p int) bool
}

// FactsOf are those of a rule.
func FactsOf(r *ast.Rule) Facts {
	f := Facts{map[ast.Var]string{}, map[string][]fact{}}
	for i, arg := range r.Head.Args {
		name := fmt.Sprintf("argument %d", i)
		if v, ok := arg.Value.(ast.Var); ok {
			f.names[v] = name
		} else if ast.IsConstant(arg.Value) {
			f.compare(name, ast.Equality.Name, arg.Value, false)
		}
	}
	for again := true; again; {
		again = false
		for _, e := range r.Body {
			again = f.bind(e) || again
		}
	}
	for _, e := range r.Body {
		f.say(e)
	}
	return f
}

// bind gives a variable a name, and reports whether it did.
func (f Facts) bind(e *ast.Expr) bool {
	if e.Negated || len(e.With) > 0 || !e.IsCall() {
		return false
	}
	unnamed := func(t *ast.Term) (ast.Var, bool) {
		v, ok := t.Value.(ast.Var)
		return v, ok && f.names[v] == "" && !ast.RootDocumentNames.Contains(t)
	}
	args := e.Operands()
	if e.IsEquality() {
		for i, t := range args {
			if v, ok := unnamed(t); ok {
				if name, ok := f.name(e.Operand(1 - i)); ok {
					f.names[v] = name
					return true
				}
			}
		}
		return false
	}
	b, ok := ast.BuiltinMap[e.Operator().String()]
	if !ok || b.Relation || b.Nondeterministic || len(args) != len(b.Decl.FuncArgs().Args)+1 {
		return false
	}
	v, ok := unnamed(args[len(args)-1])
	if !ok {
		return false
	}
	if name, ok := f.nameOf(e.Operator().String(), args[:len(args)-1]); ok {
		f.names[v] = name
		return true
	}
	return false
}

// name is what a term is called; ok is false where it may have several values, or has a
// variable of which that is not known.
func (f Facts) name(t *ast.Term) (name string, ok bool) {
	switch v := t.Value.(type) {
	case ast.Var:
		if ast.RootDocumentNames.Contains(t) {
			return string(v), true
		}
		name, ok = f.names[v]
		return name, ok
	case ast.Ref:
		return f.nameOf("ref", v)
	case *ast.Array:
		return f.nameOf("array", collect(v))
	default:
		return t.String(), ast.IsConstant(v)
	}
}

func collect(a *ast.Array) []*ast.Term {
	out := make([]*ast.Term, a.Len())
	for i := range out {
		out[i] = a.Elem(i)
	}
	return out
}

func (f Facts) nameOf(what string, parts []*ast.Term) (string, bool) {
	var b strings.Builder
	b.WriteString(what + "(")
	for _, t := range parts {
		name, ok := f.name(t)
		if !ok {
			return "", false
		}
		b.WriteString(name + ", ")
	}
	return b.String() + ")", true
}

// say adds what an expression says.
func (f Facts) say(e *ast.Expr) {
	if len(e.With) > 0 {
		return
	}
	switch terms := e.Terms.(type) {
	case *ast.Term:
		if name, ok := f.name(terms); ok {
			f.compare(name, ast.NotEqual.Name, ast.Boolean(false), e.Negated)
		}
	case []*ast.Term:
		operator, args := e.Operator().String(), e.Operands()
		if len(args) == 2 && orders[operator] != nil || isMember(operator) {
			for i, t := range args[:2] {
				other := e.Operand(1 - i)
				name, ok := f.name(t)
				if !ok || !ast.IsConstant(other.Value) || i == 1 && isMember(operator) || len(args) > 2 {
					continue
				}
				if i == 1 {
					operator = flipped[operator]
				}
				f.compare(name, operator, other.Value, e.Negated)
				return
			}
		}
		f.sayOpaque(operator, args, e.Negated)
	}
}

// sayOpaque adds that an expression holds, or a comparison of two things.
func (f Facts) sayOpaque(operator string, args []*ast.Term, negated bool) {
	if orders[operator] == nil || len(args) != 2 {
		if name, ok := f.nameOf(operator, args); ok {
			f.compare(name, ast.NotEqual.Name, ast.Boolean(false), negated)
		}
		return
	}
	l, okL := f.name(args[0])
	r, okR := f.name(args[1])
	if !okL || !okR {
		return
	}
	if l > r {
		l, r, operator = r, l, flipped[operator]
	}
	zero := ast.Number("0")
	f.of["order("+l+", "+r+")"] = append(f.of["order("+l+", "+r+")"], testOf(operator, zero, negated))
}

// orders are the builtin functions that compare: what they say of how two values order.
var orders = map[string]func(order int) bool{
	ast.Equality.Name:      func(o int) bool { return o == 0 },
	ast.Equal.Name:         func(o int) bool { return o == 0 },
	ast.NotEqual.Name:      func(o int) bool { return o != 0 },
	ast.LessThan.Name:      func(o int) bool { return o < 0 },
	ast.LessThanEq.Name:    func(o int) bool { return o <= 0 },
	ast.GreaterThan.Name:   func(o int) bool { return o > 0 },
	ast.GreaterThanEq.Name: func(o int) bool { return o >= 0 },
}

// flipped are the comparisons with their sides changed.
var flipped = map[string]string{
	ast.Equality.Name: ast.Equality.Name, ast.Equal.Name: ast.Equal.Name, ast.NotEqual.Name: ast.NotEqual.Name,
	ast.LessThan.Name: ast.GreaterThan.Name, ast.GreaterThan.Name: ast.LessThan.Name,
	ast.LessThanEq.Name: ast.GreaterThanEq.Name, ast.GreaterThanEq.Name: ast.LessThanEq.Name,
}

func isMember(operator string) bool {
	return operator == ast.Member.Name || operator == memberNames[ast.Member.Name].String()
}

func (f Facts) compare(name, operator string, c ast.Value, negated bool) {
	f.of[name] = append(f.of[name], testOf(operator, c, negated))
}

// testOf is a comparison with a constant.
func testOf(operator string, c ast.Value, negated bool) fact {
	if !isMember(operator) {
		holds := orders[operator]
		return fact{negated, []ast.Value{c}, func(at func(ast.Value) int, p int) bool { return holds(p - at(c)) }}
	}
	var elems []ast.Value
	add := func(t *ast.Term) { elems = append(elems, t.Value) }
	switch coll := c.(type) {
	case *ast.Array:
		coll.Foreach(add)
	case ast.Set:
		coll.Foreach(add)
	case ast.Object:
		coll.Foreach(func(_, t *ast.Term) { add(t) })
	}
	return fact{negated, elems, func(at func(ast.Value) int, p int) bool {
		return slices.ContainsFunc(elems, func(v ast.Value) bool { return at(v) == p })
	}}
}

// exclude reports whether what two definitions say can't both be true.
func (f Facts) exclude(g Facts) bool {
	for name, facts := range f.of {
		for _, x := range facts {
			if slices.ContainsFunc(g.of[name], x.excludes) {
				return true
			}
		}
	}
	return false
}

// excludes reports whether no value passes both tests. All values have an order, so
// that the constants of the tests and the places between them stand for all.
func (x fact) excludes(y fact) bool {
	if x.negated && y.negated {
		return false // what is undefined passes
	}
	constants := slices.Concat(x.constants, y.constants)
	slices.SortFunc(constants, ast.Value.Compare)
	constants = slices.CompactFunc(constants, func(a, b ast.Value) bool { return a.Compare(b) == 0 })
	at := func(c ast.Value) int {
		i, _ := slices.BinarySearchFunc(constants, c, ast.Value.Compare)
		return 2*i + 1
	}
	for p := range 2*len(constants) + 1 {
		if x.passes(at, p) != x.negated && y.passes(at, p) != y.negated {
			return false
		}
	}
	return true
}

func guardedBy(body ast.Body, chain string) bool {
	return chain != "" && strings.HasPrefix(chainOfBody(body), chain)
}

func chainOf(r *ast.Rule) string { return chainOfBody(r.Body) }

// chainOfBody is the chain whose earlier links the body excludes.
func chainOfBody(body ast.Body) string {
	name := ""
	for _, e := range body {
		if !e.Negated {
			continue
		}
		ast.WalkRefs(e, func(ref ast.Ref) bool {
			last, _ := ref[len(ref)-1].Value.(ast.String)
			if i := strings.LastIndexByte(string(last), '_'); strings.HasPrefix(string(last), chainPrefix) && name == "" {
				name = string(last)[:i+1]
			}
			return false
		})
	}
	return name
}
