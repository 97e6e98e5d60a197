package rego

import (
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Partial evaluation tells the variables of different calls of a rule apart by a number
// behind their names, and forgets it in some places: in the domain of every inside a
// comprehension, and in a comprehension that equals something of the row. The names that
// the compiler gives are unique, so that where there is one number behind a name in a
// rule, all that have the name are the same variable.

var localName = regexp.MustCompile(`^(__local\d+__)(\d+)$`)

// forgotten are the variables of x that lack their number, and what they are to be.
func forgotten(x any) map[ast.Var]ast.Var {
	lacking := false
	ast.WalkVars(x, func(v ast.Var) bool {
		lacking = lacking || strings.HasPrefix(string(v), "__local") && strings.HasSuffix(string(v), "__")
		return lacking
	})
	if !lacking {
		return nil
	}
	plain, numbered := map[ast.Var]bool{}, map[ast.Var]map[ast.Var]bool{}
	ast.WalkVars(x, func(v ast.Var) bool {
		if m := localName.FindStringSubmatch(string(v)); m != nil {
			name := ast.Var(m[1])
			if numbered[name] == nil {
				numbered[name] = map[ast.Var]bool{}
			}
			numbered[name][v] = true
		} else {
			plain[v] = true
		}
		return false
	})
	out := map[ast.Var]ast.Var{}
	for name, variants := range numbered {
		if plain[name] && len(variants) == 1 {
			for v := range variants {
				out[name] = v
			}
		}
	}
	return out
}

// renumber gives variables their numbers again.
func renumber(r *ast.Rule) *ast.Rule {
	names := forgotten(r)
	if len(names) == 0 {
		return r
	}
	renamed, err := ast.TransformVars(r.Copy(), func(v ast.Var) (ast.Value, error) {
		if is, ok := names[v]; ok {
			return is, nil
		}
		return v, nil
	})
	if out, ok := renamed.(*ast.Rule); ok && err == nil {
		return out
	}
	return r // the function above returns no error
}
