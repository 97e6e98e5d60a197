package rego

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Residual is what remains of a query: it is true when one of its Queries is. They
// refer to the residual's own rules, which stand below data.<namespace>.
type Residual struct {
	Queries []ast.Body

	query  *Query
	policy *Policy
	data   ast.Value // the data documents
	root   ast.Ref
	refs   []ast.Ref              // of the rules
	rules  map[string][]*ast.Rule // by the constant part of their full reference
}

func newResidual(queries []ast.Body, support []*ast.Module, query *Query) *Residual {
	policy := query.policy
	r := &Residual{
		Queries: queries,
		query:   query,
		policy:  policy,
		data:    policy.data,
		root:    ast.DefaultRootRef.Append(ast.StringTerm(policy.namespace)),
		rules:   map[string][]*ast.Rule{},
	}
	for i, q := range queries {
		r.Queries[i] = restoredBody(q)
	}
	name := ""
	for _, m := range support {
		for i, rule := range m.Rules { // sorted, and nobody else's
			head := rule.Head.Ref().GroundPrefix()
			if i == 0 || !head.Equal(m.Rules[i-1].Head.Ref().GroundPrefix()) {
				ref := m.Package.Path.Extend(head)
				ref[len(m.Package.Path)] = ast.StringTerm(string(head[0].Value.(ast.Var)))
				name = ref.String()
				if r.rules[name] == nil {
					r.refs = append(r.refs, ref)
				}
			}
			r.rules[name] = append(r.rules[name], renumber(restore(rule)))
		}
	}
	return r
}

// Policy is what it is a residual of.
func (r *Residual) Policy() *Policy { return r.policy }

// Owns reports whether ref stands below the residual's own namespace: what it does
// not own was left as it stands in the policy.
func (r *Residual) Owns(ref ast.Ref) bool { return ref.HasPrefix(r.root) }

// Mixed reports whether ref stands in a document that one rule can't give: rules at
// some of its keys beside a rule whose keys come from the row, or a rule with two
// variable keys, of which partial evaluation forgets that an inner document without
// members is undefined.
func (r *Residual) Mixed(ref ast.Ref) bool {
	if r.Owns(ref) {
		for _, full := range r.refs {
			if !full.HasPrefix(ref.ConstantPrefix()) && !ref.HasPrefix(full) {
				continue
			}
			if slices.ContainsFunc(r.refs, func(other ast.Ref) bool { return len(other) > len(full) && other.HasPrefix(full) }) {
				return true
			}
		}
		ref = ast.DefaultRootRef.Concat(ref[2:])
	} else if _, n := r.Rules(ref); n > 0 {
		for _, rule := range r.policy.desugared.GetRulesWithPrefix(ref[:n]) {
			if len(rule.Ref().GroundPrefix()) > n {
				return true
			}
		}
	}
	static := ref.ConstantPrefix()
	for _, nested := range r.policy.nested {
		if static.HasPrefix(nested.ref) && len(static) < len(nested.ref)+nested.keys ||
			nested.ref.HasPrefix(static) && len(static) > 1 {
			return true
		}
	}
	return false
}

// nestedRule is a rule with several variable keys: the constant part of its
// reference, and how many keys come after it.
type nestedRule struct {
	ref  ast.Ref
	keys int
}

// nestedKeys are the rules whose heads have a variable before their last key.
func nestedKeys(c *ast.Compiler) []nestedRule {
	var out []nestedRule
	for _, m := range c.Modules {
		for _, rule := range m.Rules {
			full, ground := rule.Ref(), rule.Ref().GroundPrefix()
			keys := len(full) - len(ground)
			if rule.Head.RuleKind() == ast.MultiValue {
				keys++
			}
			if keys > 1 {
				out = append(out, nestedRule{ground, keys})
			}
		}
	}
	return out
}

// IsDocument reports whether rules make up the document at ref, all of them with
// constant keys, and no package and no data has a part in it.
func (r *Residual) IsDocument(ref ast.Ref) bool {
	for _, m := range r.policy.desugared.Modules {
		if m.Package.Path.HasPrefix(ref) {
			return false
		}
	}
	_, err := r.policy.data.Find(ref[1:])
	return err != nil && r.HasRulesBelow(ref)
}

// Below are the keys that rules have right below ref, sorted.
func (r *Residual) Below(ref ast.Ref) []*ast.Term {
	refs := r.refs
	if !r.Owns(ref) {
		refs = nil
		for _, rule := range r.policy.desugared.GetRulesWithPrefix(ref) {
			refs = append(refs, rule.Ref().GroundPrefix())
		}
	}
	var keys []*ast.Term
	for _, full := range refs {
		if len(full) > len(ref) && full.HasPrefix(ref) && !slices.ContainsFunc(keys, full[len(ref)].Equal) {
			keys = append(keys, full[len(ref)])
		}
	}
	slices.SortFunc(keys, func(a, b *ast.Term) int { return a.Value.Compare(b.Value) })
	return keys
}

// Rules are the rules at the longest prefix of ref that has rules, and how many
// parts of ref that prefix has; none and 0 where there are none. Where the residual
// does not own ref (partial evaluation leaves the bodies of every and of
// comprehensions as they are), they are the policy's, without else.
func (r *Residual) Rules(ref ast.Ref) ([]*ast.Rule, int) {
	find := func(ref ast.Ref) []*ast.Rule { return r.rules[ref.String()] }
	if !r.Owns(ref) {
		find = func(ref ast.Ref) []*ast.Rule {
			rules := slices.Clone(r.policy.desugared.GetRulesExact(ref))
			for i, rule := range rules {
				if restored := r.policy.restored[rule]; restored != nil {
					rules[i] = restored
				}
			}
			return rules
		}
	}
	for n := len(ref); n > 1; n-- {
		if rules := find(ref[:n]); len(rules) > 0 {
			return rules, n
		}
	}
	return nil, 0
}

// MayConflict are the definitions of the rules, functions and objects that may have two
// values. The residual may have no reference to them any more.
func (r *Residual) MayConflict() [][]*ast.Rule {
	var out [][]*ast.Rule
	for _, name := range slices.Sorted(maps.Keys(r.rules)) {
		if mayConflict(r.rules[name], r.exclusive) {
			out = append(out, r.rules[name])
		}
	}
	return out
}

// HasRulesBelow reports whether the policy has rules at or below ref.
func (r *Residual) HasRulesBelow(ref ast.Ref) bool {
	return len(r.policy.desugared.GetRulesWithPrefix(ref)) > 0
}

// Data is the policy's data document at ref, which has no rules at or above it; ok
// is false where there is none, or where rules stand below.
func (r *Residual) Data(ref ast.Ref) (v ast.Value, ok bool) {
	if r.HasRulesBelow(ref) {
		return nil, false
	}
	v, err := r.data.Find(ref[1:])
	return v, err == nil
}

// String prints the queries and the rules that they refer to, sorted, with the
// position of each rule in the policy, and the expressions with modifiers.
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
	for i, m := range r.policy.with.exprs {
		ref := r.policy.with.ref("at", strconv.Itoa(i))
		if strings.Contains(b.String(), ref.String()) {
			fmt.Fprintf(&b, "%v: %v\n", ref, m)
		}
	}
	return b.String()
}
