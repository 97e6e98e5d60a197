package oracle

import (
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// reduction is one of the ways to make something smaller: the one that has the number.
// What is to become smaller is walked, each place where it could says so, and one of
// them has its turn.
type reduction struct {
	number int // places until the one that has its turn
	done   bool
}

// turn reports whether it is this place's turn.
func (r *reduction) turn() bool {
	if r.done || r.number > 0 {
		r.number--
		return false
	}
	r.done = true
	return true
}

// spans calls drop with parts of a list that may go, large ones first, until one has
// its turn.
func (r *reduction) spans(n int, drop func(from, to int)) {
	for size := n; size >= 1 && !r.done; size /= 2 {
		for from := 0; from < n; from += size {
			if r.turn() {
				drop(from, min(from+size, n))
				return
			}
		}
	}
}

// modules makes one of the modules smaller, in place: rules first, then expressions,
// then terms.
func (r *reduction) modules(all map[string]*ast.Module) bool {
	names := slices.Sorted(maps.Keys(all))
	for _, name := range names {
		if len(all) > 1 && r.turn() {
			delete(all, name)
			return true
		}
	}
	for _, name := range names {
		m := all[name]
		m.Comments, m.Annotations = nil, nil
		for _, rule := range m.Rules {
			rule.Annotations = nil
		}
		r.spans(len(m.Rules), func(from, to int) { m.Rules = slices.Delete(m.Rules, from, to) })
		r.imports(m)
	}
	for _, name := range names {
		for i := 0; i < len(all[name].Rules) && !r.done; i++ {
			r.rule(all[name].Rules[i])
		}
		r.inline(all[name])
	}
	for _, name := range names {
		for _, rule := range all[name].Rules {
			r.termsOf(rule)
		}
	}
	return r.done
}

func (r *reduction) imports(m *ast.Module) {
	for i := range m.Imports {
		if !r.done && r.turn() {
			m.Imports = slices.Delete(m.Imports, i, i+1)
			return
		}
	}
}

// rule drops branches and expressions.
func (r *reduction) rule(rule *ast.Rule) {
	for at := rule; at.Else != nil && !r.done; at = at.Else {
		if r.turn() {
			at.Else = at.Else.Else
			return
		}
		if r.turn() { // the branch in the place of those before it
			at.Head, at.Body, at.Else = withName(at.Else.Head, at.Head), at.Else.Body, at.Else.Else
			return
		}
	}
	for at := rule; at != nil && !r.done; at = at.Else {
		if !at.Default {
			at.Body = r.body(at.Body)
			r.variables(at)
		}
	}
}

// withName is the head of a branch as the head of a rule.
func withName(branch, rule *ast.Head) *ast.Head {
	out := rule.Copy()
	out.Value = branch.Value
	out.Assign = branch.Assign
	return out
}

// body drops expressions, and makes others smaller.
func (r *reduction) body(body ast.Body) ast.Body {
	if len(body) == 1 && body[0].Equal(ast.NewExpr(ast.BooleanTerm(true))) {
		return body
	}
	for i := range body {
		if r.done {
			return body
		}
		if r.turn() {
			at := body[i].Location
			body = slices.Delete(slices.Clone(body), i, i+1)
			if len(body) == 0 {
				always := ast.NewExpr(ast.BooleanTerm(true).SetLocation(at))
				always.Location = at
				body = ast.Body{always}
			}
			return body
		}
	}
	for i := 0; i < len(body) && !r.done; i++ {
		body = r.expr(body, i)
	}
	return body
}

// expr makes an expression of a body smaller.
func (r *reduction) expr(body ast.Body, i int) ast.Body {
	e := body[i]
	if e.Negated && r.turn() {
		e.Negated = false
	}
	for j := range e.With {
		if !r.done && r.turn() {
			e.With = slices.Delete(slices.Clone(e.With), j, j+1)
			return body
		}
	}
	switch t := e.Terms.(type) {
	case *ast.Every:
		if r.turn() { // what it says of each, of one
			some := &ast.SomeDecl{Symbols: []*ast.Term{ast.Member.Call(t.Value, t.Domain)}, Location: e.Location}
			if t.Key != nil {
				some.Symbols = []*ast.Term{ast.MemberWithKey.Call(t.Key, t.Value, t.Domain)}
			}
			first := ast.NewExpr(some)
			first.Location = e.Location
			return slices.Concat(body[:i], ast.Body{first}, t.Body, body[i+1:])
		}
		t.Body = r.body(t.Body)
	case *ast.Term:
		if not, ok := t.Value.(*ast.Not); ok && r.turn() {
			return slices.Concat(body[:i], not.Body, body[i+1:])
		}
		r.bodies(t)
	case []*ast.Term:
		for _, arg := range t[1:] {
			r.bodies(arg)
		}
		for _, arg := range t[1:] { // the argument in the place of the call
			if _, ok := arg.Value.(ast.Ref); ok && !r.done && r.turn() {
				e.Terms = arg
				return body
			}
		}
	case *ast.SomeDecl:
		for _, s := range t.Symbols {
			r.bodies(s)
		}
	}
	return body
}

// bodies makes the bodies of comprehensions and negations below a term smaller.
func (r *reduction) bodies(t *ast.Term) {
	ast.WalkTerms(t, func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case *ast.ArrayComprehension:
			v.Body = r.body(v.Body)
		case *ast.SetComprehension:
			v.Body = r.body(v.Body)
		case *ast.ObjectComprehension:
			v.Body = r.body(v.Body)
		case *ast.Not:
			v.Body = r.body(v.Body)
		}
		return r.done
	})
}

// variables puts a term in the place of a variable that is assigned to it.
func (r *reduction) variables(rule *ast.Rule) {
	for i, e := range rule.Body {
		if r.done || !e.IsAssignment() || e.Negated || len(rule.Body) == 1 {
			continue
		}
		name, ok := e.Operand(0).Value.(ast.Var)
		value := e.Operand(1)
		if !ok || !r.turn() {
			continue
		}
		rule.Body = slices.Delete(slices.Clone(rule.Body), i, i+1)
		otherwise := rule.Else
		rule.Else = nil
		_, err := ast.TransformVars(rule, func(v ast.Var) (ast.Value, error) {
			if v == name {
				return value.Copy().Value, nil
			}
			return v, nil
		})
		rule.Else = otherwise
		if err != nil { // not a place for a term: the policy won't compile, then
			return
		}
	}
}

// inline puts the body of a rule that is true, and that has no other, in the place
// where the rule is asked for.
func (r *reduction) inline(m *ast.Module) {
	for i, rule := range m.Rules {
		name := rule.Head.Ref()
		if r.done || len(name) != 1 || len(rule.Head.Args) > 0 || rule.Default || rule.Else != nil || rule.Head.RuleKind() != ast.SingleValue {
			continue
		}
		var users []*ast.Rule
		for j, other := range m.Rules {
			if i != j && (other.Head.Ref().HasPrefix(name) || asks(other, name[0].Value)) {
				users = append(users, other)
			}
		}
		if len(users) != 1 || users[0].Head.Ref().HasPrefix(name) || !r.turn() {
			continue
		}
		body := slices.Clone(users[0].Body)
		for j, e := range body {
			t, ok := e.Terms.(*ast.Term)
			if !ok || !isName(t, name[0].Value) {
				continue
			}
			replaced := rule.Body
			if e.Negated && len(replaced) == 1 && !replaced[0].Negated {
				not := replaced[0].Copy()
				not.Negated = true
				replaced = ast.Body{not}
			} else if e.Negated {
				continue
			}
			users[0].Body = slices.Concat(body[:j], replaced, body[j+1:])
			m.Rules = slices.Delete(m.Rules, i, i+1)
			return
		}
		return
	}
}

func isName(t *ast.Term, name ast.Value) bool {
	if ref, ok := t.Value.(ast.Ref); ok && len(ref) == 1 {
		t = ref[0]
	}
	return t.Value.Compare(name) == 0
}

func asks(rule *ast.Rule, name ast.Value) bool {
	found := false
	ast.WalkVars(rule, func(v ast.Var) bool {
		found = found || v.Compare(name) == 0
		return found
	})
	return found
}

// termsOf makes a term of the rule smaller.
func (r *reduction) termsOf(rule *ast.Rule) {
	for at := rule; at != nil && !r.done; at = at.Else {
		if at.Head.Value != nil {
			at.Head.Value = r.term(at.Head.Value)
		}
		if at.Head.Key != nil {
			at.Head.Key = r.term(at.Head.Key)
		}
		for _, e := range at.Body {
			r.termsOfExpr(e)
		}
	}
}

func (r *reduction) termsOfExpr(e *ast.Expr) {
	if r.done {
		return
	}
	for _, w := range e.With {
		w.Value = r.term(w.Value)
	}
	switch t := e.Terms.(type) {
	case *ast.Term:
		e.Terms = r.term(t)
	case []*ast.Term:
		for i := 1; i < len(t); i++ {
			t[i] = r.term(t[i])
		}
	case *ast.SomeDecl:
		for i, s := range t.Symbols {
			if call, ok := s.Value.(ast.Call); ok { // x in xs
				for j := 1; j < len(call); j++ {
					call[j] = r.term(call[j])
				}
				t.Symbols[i] = ast.NewTerm(call).SetLocation(s.Location)
			}
		}
	case *ast.Every:
		t.Domain = r.term(t.Domain)
		for _, e := range t.Body {
			r.termsOfExpr(e)
		}
	}
}

// term is t, or a smaller one if it has its turn.
func (r *reduction) term(t *ast.Term) *ast.Term {
	if r.done {
		return t
	}
	at := func(v ast.Value) *ast.Term { return ast.NewTerm(v).SetLocation(t.Location) }
	switch v := t.Value.(type) {
	case ast.String, ast.Number:
		for _, s := range simpler(v) {
			if r.turn() {
				return at(s)
			}
		}
	case ast.Ref:
		if len(v) > 2 && r.turn() {
			return at(v[:len(v)-1])
		}
		out := slices.Clone(v)
		for i, key := range out[1:] {
			if _, name := key.Value.(ast.String); !name {
				out[i+1] = r.term(key)
			}
		}
		return at(out)
	case ast.Call:
		for _, arg := range v[1:] {
			if r.turn() {
				return arg
			}
		}
		out := slices.Clone(v)
		for i := 1; i < len(out); i++ {
			out[i] = r.term(out[i])
		}
		return at(out)
	case *ast.Array:
		return at(ast.NewArray(r.elements(elementsOf(v.Foreach))...))
	case ast.Set:
		return at(ast.NewSet(r.elements(elementsOf(v.Foreach))...))
	case ast.Object:
		return at(ast.NewObject(r.pairs(v)...))
	case *ast.ArrayComprehension:
		v.Term = r.term(v.Term)
		r.termsOfBody(v.Body)
	case *ast.SetComprehension:
		v.Term = r.term(v.Term)
		r.termsOfBody(v.Body)
	case *ast.ObjectComprehension:
		v.Key, v.Value = r.term(v.Key), r.term(v.Value)
		r.termsOfBody(v.Body)
	case *ast.Not:
		r.termsOfBody(v.Body)
	}
	return t
}

func (r *reduction) termsOfBody(body ast.Body) {
	for _, e := range body {
		r.termsOfExpr(e)
	}
}

func elementsOf(each func(func(*ast.Term))) []*ast.Term {
	var out []*ast.Term
	each(func(t *ast.Term) { out = append(out, t) })
	return out
}

func (r *reduction) elements(list []*ast.Term) []*ast.Term {
	for i := range list {
		if !r.done && r.turn() {
			return slices.Delete(list, i, i+1)
		}
	}
	for i := range list {
		list[i] = r.term(list[i])
	}
	return list
}

func (r *reduction) pairs(obj ast.Object) [][2]*ast.Term {
	var out [][2]*ast.Term
	obj.Foreach(func(k, v *ast.Term) { out = append(out, [2]*ast.Term{k, v}) })
	for i := range out {
		if !r.done && r.turn() {
			return slices.Delete(out, i, i+1)
		}
	}
	for i := range out {
		out[i][1] = r.term(out[i][1])
	}
	return out
}

// simpler are scalars of the same type that are simpler.
func simpler(v ast.Value) []ast.Value {
	switch v := v.(type) {
	case ast.String:
		switch {
		case len(v) > 1:
			runes := []rune(v)
			return []ast.Value{ast.String(""), ast.String("a"), ast.String(runes[:len(runes)/2])}
		case v != "" && v != "a":
			return []ast.Value{ast.String(""), ast.String("a")}
		case v != "":
			return []ast.Value{ast.String("")}
		}
	case ast.Number:
		switch v {
		case "0":
		case "1":
			return []ast.Value{ast.Number("0")}
		default:
			out := []ast.Value{ast.Number("0"), ast.Number("1")}
			if e := decimalExponent(string(v)); e > 400 || e < -400 {
				return out
			}
			if x, ok := new(big.Rat).SetString(string(v)); ok && !x.IsInt() { // without what is behind the point
				whole := new(big.Int).Quo(x.Num(), x.Denom())
				out = append(out, ast.Number(whole.String()))
			}
			return out
		}
	}
	return nil
}

// json is a JSON value, or a smaller one if it has its turn. It leaves v as it is.
func (r *reduction) json(v any) any {
	if r.done {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		out := maps.Clone(v)
		for _, k := range keys {
			if !r.done && r.turn() {
				delete(out, k)
				return out
			}
		}
		for _, k := range keys {
			out[k] = r.json(v[k])
		}
		return out
	case []any:
		out := slices.Clone(v)
		for i := range v {
			if !r.done && r.turn() {
				return slices.Delete(out, i, i+1)
			}
		}
		for i := range out {
			out[i] = r.json(v[i])
		}
		return out
	case string:
		for _, s := range simpler(ast.String(v)) {
			if r.turn() {
				return string(s.(ast.String))
			}
		}
	case json.Number:
		for _, s := range simpler(ast.Number(v)) {
			if r.turn() {
				return json.Number(s.(ast.Number))
			}
		}
	case float64:
		if v != 0 && !math.IsNaN(v) && r.turn() {
			return 0.0
		}
	}
	return v
}
