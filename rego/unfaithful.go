package rego

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Unfaithful is a place where partial evaluation means something else than full
// evaluation.
type Unfaithful uint8

// The places.
const (
	// MayConflict: a function that may have two values below a negation, where the
	// error is dropped.
	MayConflict Unfaithful = iota + 1
	// ArrayIndex: a known array at a place that may depend on the row, below a
	// negation. Its places are gone through, and which of them it is at forgotten.
	ArrayIndex
	// ReplacedFunction: a rule or function that a modifier (with) replaces, in an
	// expression that depends on the row. The rules that it refers to have one residual
	// for the policy, with the replacement or without it.
	ReplacedFunction
	// RowKey: an object literal with a key that may depend on the row. It is taken for
	// an object without that key where it is compared or looked into.
	RowKey
	// IndexedMember: a variable that is looked for in a document and compared with a
	// constant after that. The index of rules, which full evaluation asks, passes over
	// rules that hold.
	IndexedMember
)

// UnfaithfulError refuses a policy that has such a place.
type UnfaithfulError struct {
	Kind     Unfaithful
	Location *ast.Location
	Subject  ast.Ref // the rule or function; nil where there is none
	text     string
}

// Error is the error in one line.
func (e *UnfaithfulError) Error() string { return e.text }

// A refusal is an error that holds only where what it is about reads an unknown.
type refusal struct {
	always bool // it holds whatever is read
	reads  []ast.Ref
	array  ast.Ref // what the input has there must lead to an array; nil where that is known
	keys   int     // so many keys on
	err    *UnfaithfulError
}

// rowKeys are the object literals with keys that are no constants.
func (p *Policy) rowKeys() []refusal {
	var out []refusal
	for _, rule := range p.rules() {
		ast.WalkTerms(rule, func(t *ast.Term) bool {
			obj, ok := t.Value.(ast.Object)
			if !ok {
				return false
			}
			for _, key := range obj.Keys() {
				if reads := p.keyReads(rule, t, key); len(reads) > 0 {
					out = append(out, refusal{reads: reads, err: &UnfaithfulError{
						Kind: RowKey, Location: t.Location,
						text: "an object with a key that may depend on the row",
					}})
				}
			}
			return false
		})
	}
	return out
}

// keyReads are the references that a key may depend on: of variables that equal a
// reference those, of any other variable all that the rule reads.
func (p *Policy) keyReads(rule *ast.Rule, obj, key *ast.Term) []ast.Ref {
	var out []ast.Ref
	for v := range varsOf(key) {
		bound := p.boundTo(rule, v, obj)
		switch {
		case len(rule.Head.Args) > 0:
			out = append(out, ast.InputRootRef, p.with.root)
		case len(bound) > 0:
			out = append(out, bound...)
		default:
			out = append(out, p.reads(rule)...)
		}
	}
	return out
}

// checkElse refuses a policy that looks at all rules of a package in which a chain
// of else is: it would see the rules that desugaring makes.
func checkElse(c *ast.Compiler) error {
	for _, name := range slices.Sorted(maps.Keys(c.Modules)) {
		m := c.Modules[name]
		chain := false
		for _, r := range m.Rules {
			chain = chain || r.Else != nil
		}
		if !chain {
			continue
		}
		var found *ast.Location
		for _, name := range slices.Sorted(maps.Keys(c.Modules)) {
			ast.WalkTerms(c.Modules[name], func(t *ast.Term) bool {
				ref, ok := t.Value.(ast.Ref)
				if ok && len(ref) > 0 && ref.HasPrefix(ast.DefaultRootRef) && m.Package.Path.HasPrefix(ref.ConstantPrefix()) && t.Location != nil {
					found = t.Location
				}
				return found != nil
			})
		}
		if found != nil {
			return ast.Errors{ast.NewError(ast.CompileErr, found,
				"a reference to all of %v, which has rules with else: name the rules that are meant", m.Package.Path)}
		}
	}
	return nil
}
