package rego

import (
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// SetError is a partial set or object, compared as a whole, that depends on an
// unknown: where none of its definitions is left, partial evaluation takes it for
// undefined, and full evaluation for empty.
type SetError struct {
	Location *ast.Location
	Rule     ast.Ref
	reads    []ast.Ref
}

// Error is the error in one line.
func (e *SetError) Error() string {
	return fmt.Sprintf("%v depends on the row and is compared as a whole", e.Rule)
}

// wholeSets are the comparisons with a partial rule as a whole. An assignment is
// none: it binds a variable.
func wholeSets(c *ast.Compiler) []*SetError {
	var out []*SetError
	for _, name := range slices.Sorted(maps.Keys(c.Modules)) {
		ast.WalkExprs(c.Modules[name], func(e *ast.Expr) bool {
			if !e.IsEquality() {
				return false
			}
			for i, operand := range e.Operands() {
				ref, ok := operand.Value.(ast.Ref)
				if !ok || !ref.HasPrefix(ast.DefaultRootRef) {
					continue
				}
				if _, binds := e.Operand(1 - i).Value.(ast.Var); binds {
					continue
				}
				for _, r := range c.GetRulesExact(ref) {
					if r.Head.RuleKind() == ast.MultiValue || len(r.Head.Ref()) > len(r.Head.Ref().GroundPrefix()) {
						n := negation{}
						n.visit(c, e, map[*ast.Rule]bool{})
						out = append(out, &SetError{e.Location, ref, n.reads})
						break
					}
				}
			}
			return false
		})
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
