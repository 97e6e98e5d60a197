package compiler

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// maxModified bounds the expressions with modifiers that are evaluated by themselves:
// one in a loop over known values is, for each of them.
const maxModified = 500

// modified is the value of an expression with modifiers: true where it holds or, where
// it binds variables, an array of their values for each way to bind them. The
// expression is evaluated by itself, with the input that the modifiers make of the
// input, and what is left of it translated.
func (t *translator) modified(m *rego.Modified, args []*ast.Term, s solution) []found {
	type way struct {
		solution
		vars map[ast.Var]value
	}
	ways := []way{{s, map[ast.Var]value{}}}
	for i, arg := range args {
		var next []way
		for _, w := range ways {
			for _, f := range t.eval(arg, w.solution) {
				vars := maps.Clone(w.vars)
				vars[m.In[i]] = f.val
				for _, sol := range f.and(f.val.defined()) {
					next = append(next, way{sol, vars})
				}
			}
		}
		ways = next
	}
	var out []found
	for _, w := range ways {
		out = append(out, t.modifiedFor(m, w.vars, w.solution)...)
	}
	return out
}

// modifiedFor is the value where the variables have these values.
func (t *translator) modifiedFor(m *rego.Modified, vars map[ast.Var]value, s solution) []found {
	if t.modifieds++; t.modifieds > maxModified {
		refuse(CodeWith, fmt.Sprintf("more than %d expressions with modifiers", maxModified), "move the loop into the rule that is called")
	}
	root, data := t.modify(m, vars)
	known := map[ast.Var]ast.Value{}
	for name, v := range vars {
		if k, ok := v.constant(); ok {
			known[name] = k
		}
	}
	doc := &document{root: root, names: t.doc.names}
	residual, err := t.residual.PartialWith(t.ctx, m, root.value(), root.unknowns(ast.InputRootRef), data, known)
	if err != nil {
		var e *Error
		if errors.As(evalError(err), &e) {
			panic(refusal{e})
		}
		panic(interruption{err})
	}
	inner := &translator{
		ctx: t.ctx, residual: residual, doc: doc, now: t.now, memo: map[*ast.Rule]value{}, asked: map[*ast.Rule]bool{}, derived: map[*Param]value{}, vars: vars,
		depth: t.depth + 1, loops: t.loops, modifieds: t.modifieds,
	}
	defer func() {
		r := recover()
		if refused, ok := r.(refusal); ok {
			panic(refusal{inner.locate(refused.err)})
		}
		if r != nil {
			panic(r)
		}
	}()
	if inner.depth > maxDepth {
		refuse(CodeExpression, "rules refer to rules too deep", "")
	}
	var sols []solution
	for _, q := range residual.Queries {
		sols = append(sols, inner.solve(q, solution{when: sqlgen.True})...)
	}
	inner.unasked()
	t.loops, t.modifieds = inner.loops, inner.modifieds
	if len(m.Out) == 0 {
		any := make([]sqlgen.Predicate, len(sols))
		for i, sol := range sols {
			any[i] = sol.holds()
		}
		return []found{{s, knownValue(ast.Boolean(true)).under(disjunction(any))}}
	}
	var out []found
	for _, sol := range sols {
		vals := make([]value, len(m.Out))
		for i, name := range m.Out {
			vals[i], _ = sol.env.get(name)
		}
		for _, both := range s.and(sol.when) {
			both.scopes = append(slices.Clone(both.scopes), sol.scopes...)
			both.through = through{loops: both.through.loops + sol.through.loops + 1}
			out = append(out, found{both, listValue(vals, false)})
		}
	}
	return out
}

// modify is the input, and the data documents, as the modifiers make them.
func (t *translator) modify(m *rego.Modified, vars map[ast.Var]value) (root *node, data ast.Value) {
	root, data = t.doc.root, t.residual.Documents()
	for _, w := range m.Modifiers {
		val := knownValue(w.Value.Value)
		if name, ok := w.Value.Value.(ast.Var); ok {
			val = vars[name]
		} else if !w.Value.IsGround() {
			refuse(CodeWith, "a with modifier whose value is put together", "bind the value to a variable first")
		}
		target := w.Target.Value.(ast.Ref)
		constant, isKnown := val.constant()
		if target.HasPrefix(ast.InputRootRef) {
			leaf := &node{computed: val}
			if isKnown {
				leaf = &node{known: constant}
			}
			root = root.with(target[1:], leaf)
			continue
		}
		if !isKnown {
			refuse(CodeWith, "a with modifier that puts a value of the row into the data", "put it into the input")
		}
		if t.residual.ReadsAbove(m, target) {
			refuse(CodeWith, fmt.Sprintf("a with modifier of a part of a data document that is read as a whole: %v", target), "replace the whole document")
		}
		data = replaced(data, target[1:], constant)
	}
	return root, data
}

// replaced is a document with another value at a path. What is no object on the way
// becomes one.
func replaced(doc ast.Value, path ast.Ref, v ast.Value) ast.Value {
	if len(path) == 0 {
		return v
	}
	out := ast.NewObject()
	var inner ast.Value = ast.NewObject()
	if obj, ok := doc.(ast.Object); ok {
		obj.Foreach(out.Insert)
		if have := obj.Get(path[0]); have != nil {
			inner = have.Value
		}
	}
	out.Insert(path[0], ast.NewTerm(replaced(inner, path[1:], v)))
	return out
}

// with is the node with another in the place of a part. What is no object on the way
// becomes one.
func (n *node) with(path ast.Ref, leaf *node) *node {
	if len(path) == 0 {
		return leaf
	}
	out := &node{children: map[string]*node{}}
	switch {
	case n == nil:
	case n.children != nil:
		out.children = maps.Clone(n.children)
	case n.known != nil:
		if obj, ok := n.known.(ast.Object); ok {
			obj.Foreach(func(k, v *ast.Term) {
				name, ok := k.Value.(ast.String)
				if !ok {
					refuse(CodeWith, "a with modifier of a part of an object with keys that are no strings", "replace the whole object")
				}
				out.children[string(name)] = &node{known: v.Value}
			})
		}
	case !slices.ContainsFunc(n.asValue(), func(a alt) bool { return rankOf(a.op) == rankAny || rankOf(a.op) == rankObject }):
	default:
		refuse(CodeWith, "a with modifier of a part of a value of the row", "replace the whole value")
	}
	name, ok := path[0].Value.(ast.String)
	if !ok {
		refuse(CodeWith, "a with modifier of a place in an array", "replace the whole array")
	}
	out.children[string(name)] = out.children[string(name)].with(path[1:], leaf)
	return out
}

// unknowns are the references to what is not known of the node, which stands at ref.
func (n *node) unknowns(ref ast.Ref) []ast.Ref {
	switch {
	case n.children != nil:
		var out []ast.Ref
		for _, k := range n.keys() {
			out = append(out, n.children[k].unknowns(ref.Append(ast.StringTerm(k)))...)
		}
		return out
	case n.known != nil:
		return nil
	default:
		return []ast.Ref{ref}
	}
}
