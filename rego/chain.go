package rego

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// link is a place in a chain of else.
type link struct {
	chain string // see [chainName]
	step  int
}

// chains are the links of a policy by the places of what stands in their bodies, and by
// those of the expressions by which later links exclude them. What desugaring and partial
// evaluation make of a rule has other bodies, but of expressions that keep their places.
type chains struct {
	bodies, guards map[place]link
}

type place struct {
	file     string
	row, col int
}

func placeOf(at *ast.Location) place {
	if at == nil {
		return place{}
	}
	return place{at.File, at.Row, at.Col}
}

// add adds the links of a module, as it was parsed.
func (c chains) add(m *ast.Module) {
	for _, rule := range m.Rules {
		if rule.Else == nil {
			continue
		}
		name, step := chainName(rule), 0
		for at := rule; at != nil; at, step = at.Else, step+1 {
			l := link{name, step}
			c.guards[placeOf(at.Loc())] = l // see [holdsRule]
			add := ast.NewGenericVisitor(func(x any) bool {
				switch x := x.(type) {
				case *ast.Expr:
					c.bodies[placeOf(x.Location)] = l
				case *ast.Term:
					c.bodies[placeOf(x.Location)] = l
				}
				return false
			})
			add.Walk(at.Body)
			if at.Head.Value != nil {
				add.Walk(at.Head.Value)
			}
		}
	}
}

// of are the link that a rule is of, if there is something of its body left, and those
// that it excludes.
func (c chains) of(r *ast.Rule) (is *link, excludes []link) {
	for _, e := range r.Body {
		at := placeOf(e.Location)
		if l, ok := c.guards[at]; ok {
			if e.Negated {
				excludes = append(excludes, l)
			}
			continue
		}
		if l, ok := c.bodies[at]; ok && is == nil {
			is = &l
		}
	}
	return is, excludes
}

// exclude reports whether a link of a chain of else excludes another. Then the two
// never hold together.
func (c chains) exclude(a, b *ast.Rule) bool {
	x, notX := c.of(a)
	y, notY := c.of(b)
	return y != nil && slices.Contains(notX, *y) || x != nil && slices.Contains(notY, *x)
}

// Exclusive reports whether two definitions of a rule, with their facts, never hold
// together, as can be seen of their text. Conditions on the row may exclude each other,
// too.
func (r *Residual) Exclusive(a, b *ast.Rule, ofA, ofB Facts) bool {
	return r.policy.chains.exclude(a, b) || ofA.exclude(ofB)
}

func (r *Residual) exclusive(a, b *ast.Rule) bool {
	return r.policy.chains.exclude(a, b) || exclusive(a, b)
}
