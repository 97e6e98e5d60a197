package rego

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// Residual is what remains of a query: it is true when one of its Queries is. They
// refer to the residual's own rules, which stand below data.<namespace>.
type Residual struct {
	Queries []ast.Body

	root  ast.Ref
	refs  []ast.Ref              // of the rules
	rules map[string][]*ast.Rule // by the constant part of their full reference
}

func newResidual(pq *rego.PartialQueries, namespace string) *Residual {
	r := &Residual{
		Queries: pq.Queries,
		root:    ast.DefaultRootRef.Append(ast.StringTerm(namespace)),
		rules:   map[string][]*ast.Rule{},
	}
	for _, m := range pq.Support {
		for _, rule := range m.Rules {
			ref := m.Package.Path.Extend(rule.Head.Ref().GroundPrefix())
			ref[len(m.Package.Path)] = ast.StringTerm(string(rule.Head.Ref()[0].Value.(ast.Var)))
			if r.rules[ref.String()] == nil {
				r.refs = append(r.refs, ref)
			}
			r.rules[ref.String()] = append(r.rules[ref.String()], rule)
		}
	}
	return r
}

// Owns reports whether ref stands below the residual's own namespace: what it does
// not own was left as it stands in the policy.
func (r *Residual) Owns(ref ast.Ref) bool { return ref.HasPrefix(r.root) }

// Below are the keys that rules have right below ref, sorted.
func (r *Residual) Below(ref ast.Ref) []*ast.Term {
	var keys []*ast.Term
	for _, full := range r.refs {
		if len(full) > len(ref) && full.HasPrefix(ref) && !slices.ContainsFunc(keys, full[len(ref)].Equal) {
			keys = append(keys, full[len(ref)])
		}
	}
	slices.SortFunc(keys, func(a, b *ast.Term) int { return a.Value.Compare(b.Value) })
	return keys
}

// Rules are the rules at the longest prefix of ref that has rules, and how many
// parts of ref that prefix has; none and 0 where there are none.
func (r *Residual) Rules(ref ast.Ref) ([]*ast.Rule, int) {
	for n := len(ref); n > 1; n-- {
		if rules := r.rules[ref[:n].String()]; len(rules) > 0 {
			return rules, n
		}
	}
	return nil, 0
}

// String prints the queries and the rules that they refer to, sorted, with the
// position of each rule in the policy.
func (r *Residual) String() string {
	var b strings.Builder
	for _, q := range r.Queries {
		fmt.Fprintf(&b, "%v\n", q)
	}
	names := make([]string, 0, len(r.rules))
	for n := range r.rules {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		for _, rule := range r.rules[n] {
			where := ""
			if loc := rule.Body.Loc(); loc != nil && loc.File != "" {
				where = fmt.Sprintf("  # %s:%d", loc.File, loc.Row)
			}
			fmt.Fprintf(&b, "%s: %v%s\n", strings.TrimSuffix(n, "."), rule, where)
		}
	}
	return b.String()
}
