package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/compiler"
	"github.com/rowfence/rowfence/rego"
)

// Policy compares what a query reads and compares with the resources of a schema. A
// policy is written for all of them: what one of them lacks is no mistake where
// another has it. labels are those of the enumerated types that are known.
func Policy(q *rego.Query, resources []*compiler.Resource, labels map[string][]string) []Finding {
	l := policyLint{query: q, resources: resources, labels: labels, reads: map[string]*read{}, seen: map[string]bool{}}
	for _, rule := range q.Rules() {
		l.withTargets(rule)
	}
	for _, rule := range q.Rules() {
		s := newScope(q, rule)
		l.readsOf(s)
		ast.WalkExprs(rule, func(e *ast.Expr) bool {
			l.checkComparison(s, e)
			return false
		})
	}
	l.checkRoots()
	l.checkReads()
	l.checkUnread()
	return l.found
}

type policyLint struct {
	query     *rego.Query
	resources []*compiler.Resource
	labels    map[string][]string
	replaced  []ast.Ref        // targets of with: what stands there is no row's
	reads     map[string]*read // of the input, by the constant part
	seen      map[string]bool  // findings about expressions
	found     []Finding
}

// read is a reference to the input.
type read struct {
	ref      ast.Ref // its static part
	at       *ast.Location
	optional bool // it has a default: object.get
	shallow  bool // a variable was bound to it, of which the parts are read
}

func (l *policyLint) withTargets(rule *ast.Rule) {
	ast.WalkWiths(rule, func(w *ast.With) bool {
		if ref, ok := w.Target.Value.(ast.Ref); ok {
			l.replaced = append(l.replaced, ref)
		}
		return false
	})
}

// readsOf collects what a rule reads of the input.
func (l *policyLint) readsOf(s *scope) {
	at := s.rule.Loc()
	var vis *ast.GenericVisitor
	vis = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Expr:
			if x.Location != nil {
				at = x.Location
			}
			if b, ok := binding(x); ok {
				if ref, ok := s.expand(b.term); ok {
					l.read(read{ref: ref, at: locationOf(b.term, at), shallow: s.bound[b.name] != nil})
				}
				walkKeys(vis, b.term)
				return true
			}
			return l.objectGet(s, x, at)
		case *ast.With: // its target is not read
			vis.Walk(x.Value)
			return true
		case *ast.Term:
			switch x.Value.(type) {
			case ast.Ref, ast.Var:
				if ref, ok := s.expand(x); ok {
					l.read(read{ref: ref, at: locationOf(x, at)})
				}
				walkKeys(vis, x)
				return true
			}
		}
		return false
	})
	vis.Walk(s.rule)
}

// walkKeys visits the parts of a reference but its head.
func walkKeys(vis *ast.GenericVisitor, t *ast.Term) {
	if ref, ok := t.Value.(ast.Ref); ok {
		for _, key := range ref[1:] {
			vis.Walk(key)
		}
	}
}

// locationOf is the place of a term, or of the expression that it stands in where
// OPA's compiler has made it.
func locationOf(t *ast.Term, outer *ast.Location) *ast.Location {
	if t.Location != nil && t.Location.File != "" && t.Location.Row > 0 {
		return t.Location
	}
	return outer
}

// objectGet reads object.get(collection, "key", default), and reports whether x is
// one.
func (l *policyLint) objectGet(s *scope, x *ast.Expr, at *ast.Location) bool {
	if !x.IsCall() || x.Operator().String() != ast.ObjectGet.Name || len(x.Operands()) < 3 {
		return false
	}
	ref, ok := s.expand(x.Operand(0))
	key, isString := x.Operand(1).Value.(ast.String)
	if ok && isString {
		l.read(read{ref: ref.Append(ast.StringTerm(string(key))), at: at, optional: true})
	}
	return ok && isString
}

func (l *policyLint) read(r read) {
	if !r.ref.HasPrefix(ast.InputRootRef) {
		return
	}
	fixed := static(l.resources, r.ref)
	if len(fixed) < len(r.ref) {
		r.shallow = false // all of it may be read
	}
	r.ref = fixed
	have := l.reads[fixed.String()]
	if have == nil {
		l.reads[fixed.String()] = &r
		return
	}
	have.shallow = have.shallow && r.shallow
	if have.optional && !r.optional {
		have.optional, have.at = false, r.at
	}
}

func (l *policyLint) add(f Finding, at *ast.Location) {
	if at != nil && at.Row > 0 {
		f.Position = &compiler.Position{File: at.File, Row: at.Row, Col: at.Col}
		if at.File != "" && f.Expression == "" {
			f.Expression = string(at.Text)
		}
	}
	key := fmt.Sprint(f.Check, f.Position, f.Reason)
	if !l.seen[key] {
		l.seen[key] = true
		l.found = append(l.found, f)
	}
}

// checkRoots looks for roots that nothing reads, and for what may be meant by them.
func (l *policyLint) checkRoots() {
	names := map[string][]string{}
	refs := map[string]ast.Ref{}
	for _, r := range l.resources {
		root := r.Root.String()
		names[root] = append(names[root], r.Name)
		refs[root] = r.Root
	}
	for _, root := range slices.Sorted(maps.Keys(names)) {
		readAt := false
		for _, r := range l.reads {
			readAt = readAt || r.ref.HasPrefix(refs[root]) || refs[root].HasPrefix(r.ref) && !r.shallow
		}
		if readAt {
			continue
		}
		var at *ast.Location
		hint := ""
		for _, r := range l.sortedReads() {
			n := len(refs[root])
			if len(r.ref) >= n && levenshtein.ComputeDistance(r.ref[:n].String(), root) == 1 && !l.isParam(r.ref) && hint == "" {
				hint, at = fmt.Sprintf("it reads %v", r.ref[:n]), r.at
			}
		}
		f := Finding{Severity: Warning, Check: CheckRoot, Hint: hint,
			Reason: fmt.Sprintf("the policy never reads %s, where the row of %s stands", root, list(names[root]))}
		if len(names[root]) == 1 {
			f.Resource = names[root][0]
		}
		l.add(f, at)
	}
}

func (l *policyLint) sortedReads() []*read {
	return slices.SortedFunc(maps.Values(l.reads), func(a, b *read) int { return a.ref.Compare(b.ref) })
}

func (l *policyLint) isParam(ref ast.Ref) bool {
	for _, r := range l.resources {
		for _, p := range r.Params {
			if ref.HasPrefix(p.Path) || p.Path.HasPrefix(ref) {
				return true
			}
		}
	}
	return false
}

// checkReads looks for reads below a root of what no resource there has.
func (l *policyLint) checkReads() {
	for _, r := range l.sortedReads() {
		if r.optional || l.isReplaced(r.ref) || l.isParam(r.ref) {
			continue
		}
		var have, lack []string
		var reason string
		var fields []string
		for _, res := range l.resources {
			if !r.ref.HasPrefix(res.Root) || len(r.ref) == len(res.Root) {
				continue
			}
			found := lookUp(res, r.ref)
			if found.is != lacking {
				have = append(have, res.Name)
				continue
			}
			lack = append(lack, res.Name)
			if found.field != nil {
				reason = describe(found.field)
			}
			fields = append(fields, found.beside...)
			fields = append(fields, paramNames(res)...)
		}
		slices.Sort(fields)
		fields = slices.Compact(fields)
		switch {
		case len(lack) == 0:
		case len(have) > 0:
			l.add(Finding{Severity: Info, Check: CheckPartial, Field: fieldName(l.resources, r.ref),
				Reason: fmt.Sprintf("%v is undefined for every row of %s: only %s has it", r.ref, list(lack), list(have))}, r.at)
		case reason != "":
			l.add(Finding{Severity: Warning, Check: CheckUnknown, Field: fieldName(l.resources, r.ref),
				Reason: fmt.Sprintf("%v is undefined for every row: %s", r.ref, reason)}, r.at)
		default:
			name := fieldName(l.resources, r.ref)
			hint := didYouMean(name, fields)
			if hint == "" {
				hint = "the schema has " + list(fields)
			}
			l.add(Finding{Severity: Warning, Check: CheckUnknown, Field: name, Hint: hint,
				Reason: fmt.Sprintf("the schema of %s lacks %v: it is undefined for every row, unless the input has it", list(lack), r.ref)}, r.at)
		}
	}
}

// paramNames are the parameters that stand below the root.
func paramNames(r *compiler.Resource) []string {
	var out []string
	for _, p := range r.Params {
		if p.Path.HasPrefix(r.Root) && len(p.Path) > len(r.Root) {
			out = append(out, path(p.Path[len(r.Root):]))
		}
	}
	return out
}

func (l *policyLint) isReplaced(ref ast.Ref) bool {
	return slices.ContainsFunc(l.replaced, func(w ast.Ref) bool { return w.HasPrefix(ref) || ref.HasPrefix(w) })
}

// checkUnread lists the fields that no rule reads.
func (l *policyLint) checkUnread() {
	for _, res := range l.resources {
		for i := range res.Fields {
			f := &res.Fields[i]
			ref := res.Root
			for _, key := range f.Path {
				ref = ref.Append(ast.StringTerm(key))
			}
			unread := true
			for _, r := range l.reads {
				if r.ref.HasPrefix(ref) || ref.HasPrefix(r.ref) && !r.shallow {
					unread = false
				}
			}
			if unread {
				l.found = append(l.found, Finding{Severity: Info, Check: CheckUnread, Resource: res.Name,
					Field: strings.Join(f.Path, "."), Reason: "no rule that the query depends on reads it"})
			}
		}
	}
}

// fieldName is a reference below a root as a schema writes its path.
func fieldName(resources []*compiler.Resource, ref ast.Ref) string {
	for _, r := range resources {
		if ref.HasPrefix(r.Root) {
			return path(ref[len(r.Root):])
		}
	}
	return ref.String()
}

// path leaves out the places in the rows of a relation, as a schema does.
func path(keys ast.Ref) string {
	var parts []string
	for _, k := range keys {
		switch v := k.Value.(type) {
		case ast.String:
			parts = append(parts, string(v))
		case ast.Var:
		default:
			parts = append(parts, v.String())
		}
	}
	return strings.Join(parts, ".")
}
