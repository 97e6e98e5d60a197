package sqlgen

import "slices"

// Tables are the tables that the subqueries of p read, sorted.
func Tables(p Predicate) []string {
	var out []string
	visitTables(p, func(table string) { out = append(out, table) })
	slices.Sort(out)
	return slices.Compact(out)
}

func visitTables(p Predicate, visit func(table string)) {
	within := func(leaf Predicate) {
		mapExprs(leaf, func(e Expr) Expr {
			return rewriteAround(e, func(e Expr) Expr { return e }, func(a Aggregate) Aggregate {
				for _, y := range a.Of {
					visitTables(y.nested(), visit)
				}
				return a
			})
		})
	}
	switch p := p.(type) {
	case And:
		for _, t := range p {
			visitTables(t, visit)
		}
	case Or:
		for _, t := range p {
			visitTables(t, visit)
		}
	case Not:
		visitTables(p.Of, visit)
	case Exists:
		visit(p.From)
		visitTables(p.condition(), visit)
	case ExistsElement:
		within(Null{p.Of})
		visitTables(p.Where, visit)
	default:
		within(p)
	}
}
