package sqlgen

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Exists is true when the table has a row for which Where is true. Columns of From
// name it by its alias; other columns are of a row around it. Subqueries inside each
// other have the same Outer.
type Exists struct {
	From  string // the table, name or schema.name
	Alias string // what From is called in Where; without one, its own name
	Outer string // the table of the filter: what its columns, which have no table, are qualified with in Where
	Where Predicate
}

func (Exists) predicate() {}

// String prints the predicate for golden files and explain.
func (p Exists) String() string { return printed(p) }

// alias is what the table is called inside Where.
func (p Exists) alias() string {
	if p.Alias != "" {
		return p.Alias
	}
	return baseName(p.From)
}

// baseName is a name without the schema in front.
func baseName(table string) string { return table[strings.LastIndexByte(table, '.')+1:] }

// exists writes the subquery. A column without a table would be taken for one of
// From's, where that has one of the name: it says its table inside.
func (r *renderer) exists(p Exists) {
	r.WriteString("EXISTS (SELECT FROM " + quoteName(p.From))
	if p.alias() != baseName(p.From) {
		r.WriteString(" AS " + quoteName(p.alias()))
	}
	outer := r.outer
	if p.Outer != "" {
		r.outer = baseName(p.Outer)
	}
	r.WriteString(" WHERE ")
	r.pred(p.Where, looseOr)
	r.WriteByte(')')
	r.outer = outer
}

// existsHoist: a conjunct that does not read the table stands outside.
func existsHoist(p Exists) (Predicate, bool) {
	outside, inside := split(p.Where, func(c Column) bool {
		return c.Table == p.alias() || c.Table == "" && p.Outer == "" // whose column it is, only PostgreSQL knows
	})
	p.Where = unwrapAnd(inside)
	return And(append(outside, p)), len(outside) > 0
}

// split are the conjuncts that read none of the columns, and those that do.
func split(p Predicate, reads func(Column) bool) (without, with []Predicate) {
	for _, t := range conjuncts(p) {
		switch {
		case t == Predicate(True):
		case anyColumn(t, reads):
			with = append(with, t)
		default:
			without = append(without, t)
		}
	}
	return without, with
}

// orExists: "a row with a, or a row with b" is a row with a or b.
func orExists(p Or) (Predicate, bool) {
	terms, merged := mergeExists(p, func(t Predicate) (Exists, bool) {
		e, ok := t.(Exists)
		return e, ok
	}, func(e Exists) Predicate { return e })
	return unwrapOr(terms), merged
}

// andNotExists: "no row with a, and no row with b" is no row with a or b.
func andNotExists(p And) (Predicate, bool) {
	terms, merged := mergeExists(p, func(t Predicate) (Exists, bool) {
		n, _ := t.(Not)
		e, ok := n.Of.(Exists)
		return e, ok
	}, func(e Exists) Predicate { return Not{e} })
	return unwrapAnd(terms), merged
}

// mergeExists makes one of the subqueries of one table that are joined alike with the
// row around them. One of those that are not would have no join that an index serves.
func mergeExists(terms []Predicate, read func(Predicate) (Exists, bool), write func(Exists) Predicate) ([]Predicate, bool) {
	if len(terms) > maxPairwise {
		return terms, false
	}
	out, merged := slices.Clone(terms), false
	for i := 0; i < len(out); i++ {
		e, ok := read(out[i])
		if !ok {
			continue
		}
		for j := i + 1; j < len(out); j++ {
			other, ok := read(out[j])
			if !ok || !sameTable(e, other) {
				continue
			}
			either, common := orFactor(Or{e.Where, other.Where})
			if common && joins(either, e) {
				e.Where = either
				out[i], out = write(e), slices.Delete(out, j, j+1)
				merged = true
				j--
			}
		}
	}
	return out, merged
}

// joins reports whether a conjunct compares the table of e with what is around it.
func joins(where Predicate, e Exists) bool {
	own := func(c Column) bool { return c.Table == e.alias() }
	return slices.ContainsFunc(conjuncts(where), func(t Predicate) bool {
		_, compares := t.(Compare)
		return compares && anyColumn(t, own) && anyColumn(t, func(c Column) bool { return !own(c) })
	})
}

func sameTable(a, b Exists) bool {
	return a.From == b.From && a.alias() == b.alias() && a.Outer == b.Outer
}

// existsImplies reports whether there is a row for q whenever there is one for p.
func existsImplies(depth int, p, q Predicate) bool {
	a, okA := p.(Exists)
	b, okB := q.(Exists)
	return okA && okB && sameTable(a, b) && impliesWithin(depth, a.Where, b.Where)
}

// existsExcludes reports whether q says that there is no row where p says that there
// is one.
func existsExcludes(p, q Predicate) bool {
	n, ok := q.(Not)
	return ok && existsImplies(maxDepth-1, p, n.Of)
}

// existsExhausts reports whether p is true wherever q, a negation, is not.
func existsExhausts(p, q Predicate) bool {
	n, ok := q.(Not)
	return ok && existsImplies(maxDepth-1, n.Of, p)
}

// ShortAliases calls the table of each [Exists] by its own name, with a number where
// that is the name of a table around it, so that two that say the same look the same.
func ShortAliases(p Predicate) Predicate {
	taken := map[string]bool{}
	tableNames(p, nil, func(name string, alias bool) { taken[name] = taken[name] || !alias })
	return namer{taken, map[string]string{}}.pred(p)
}

// namer gives names to the tables of subqueries.
type namer struct {
	taken map[string]bool   // names that are not for it to give, and of the tables around
	given map[string]string // by what the tables around were called before
}

func (n namer) pred(p Predicate) Predicate {
	switch p := p.(type) {
	case And:
		return And(n.all(p))
	case Or:
		return Or(n.all(p))
	case Not:
		return Not{n.pred(p.Of)}
	case Exists:
		inner := namer{maps.Clone(n.taken), maps.Clone(n.given)}
		inner.taken[baseName(p.Outer)] = true
		name := freeName(baseName(p.From), inner.taken)
		inner.taken[name], inner.given[p.alias()] = true, name
		p.Alias, p.Where = name, inner.pred(p.Where)
		return p
	case ExistsElement:
		p.Of = rewriteExpr(p.Of, n.column)
		inner := namer{n.taken, maps.Clone(n.given)}
		delete(inner.given, p.Element.Table)
		p.Where = inner.pred(p.Where)
		return p
	default:
		return rewrite(p, n.column)
	}
}

func (n namer) all(ps []Predicate) []Predicate {
	out := make([]Predicate, len(ps))
	for i, p := range ps {
		out[i] = n.pred(p)
	}
	return out
}

func (n namer) column(e Expr) Expr {
	if c, ok := e.(Column); ok && n.given[c.Table] != "" {
		c.Table = n.given[c.Table]
		return c
	}
	return e
}

// tableNames visits the names of tables in p: the aliases of subqueries, the names of
// elements, and what columns are qualified with that are of neither.
func tableNames(p Predicate, around []string, visit func(name string, alias bool)) {
	columns := func(p Predicate) {
		anyColumn(p, func(c Column) bool {
			if !slices.Contains(around, c.Table) {
				visit(c.Table, false)
			}
			return false
		})
	}
	switch p := p.(type) {
	case And:
		for _, t := range p {
			tableNames(t, around, visit)
		}
	case Or:
		for _, t := range p {
			tableNames(t, around, visit)
		}
	case Not:
		tableNames(p.Of, around, visit)
	case Exists:
		visit(p.alias(), true)
		tableNames(p.Where, append(slices.Clone(around), p.alias()), visit)
	case ExistsElement:
		columns(Null{p.Of})
		visit(p.Element.Table, false)
		tableNames(p.Where, append(slices.Clone(around), p.Element.Table), visit)
	default:
		columns(p)
	}
}

// freeName is a name, with a number behind it where it is taken.
func freeName(name string, taken map[string]bool) string {
	free := name
	for i := 2; taken[free]; i++ {
		number := strconv.Itoa(i)
		base := name
		for len(base)+len(number) > maxNameBytes { // PostgreSQL would cut the number off
			_, size := utf8.DecodeLastRuneInString(base)
			base = base[:len(base)-size]
		}
		free = base + number
	}
	return free
}

// clearName gives other names to the elements and tables of subqueries that are called
// as the table, and would hide it.
func clearName(p Predicate, table string) Predicate {
	taken := map[string]bool{table: true}
	tableNames(p, nil, func(name string, _ bool) { taken[name] = true })
	return renameTable(p, table, freeName(table, taken))
}

func renameTable(p Predicate, from, to string) Predicate {
	all := func(terms []Predicate) []Predicate {
		out := make([]Predicate, len(terms))
		for i, t := range terms {
			out[i] = renameTable(t, from, to)
		}
		return out
	}
	columns := func(where Predicate) Predicate {
		return rewrite(where, func(e Expr) Expr {
			if c, ok := e.(Column); ok && c.Table == from {
				c.Table = to
				return c
			}
			return e
		})
	}
	switch p := p.(type) {
	case And:
		return And(all(p))
	case Or:
		return Or(all(p))
	case Not:
		return Not{renameTable(p.Of, from, to)}
	case Exists:
		p.Where = renameTable(p.Where, from, to)
		if p.alias() == from {
			p.Alias, p.Where = to, columns(p.Where)
		}
		return p
	case ExistsElement:
		p.Where = renameTable(p.Where, from, to)
		if p.Element.Table == from {
			p.Element.Table, p.Where = to, columns(p.Where)
		}
		return p
	default:
		return p
	}
}
