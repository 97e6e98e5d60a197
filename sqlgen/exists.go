package sqlgen

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Exists is true when the table has a row for which On and Where are true. Columns of
// From name it by its alias; other columns are of a row around it. Subqueries inside
// each other have the same Outer.
type Exists struct {
	From  string    // the table, name or schema.name
	Alias string    // what From is called in On and Where; without one, its own name
	Outer string    // the table of the filter: what its columns, which have no table, are qualified with
	On    Predicate // which rows belong to the row around; nil for all
	One   bool      // On is true of one row at most
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
	outer := r.outer
	r.WriteString("EXISTS (SELECT FROM ")
	r.table(p)
	r.WriteString(" WHERE ")
	r.pred(p.condition(), looseOr)
	r.WriteByte(')')
	r.outer = outer
}

// table writes the table, behind which columns without one are of the outer.
func (r *renderer) table(p Exists) {
	r.WriteString(quoteName(p.From))
	if p.alias() != baseName(p.From) {
		r.WriteString(" AS " + quoteName(p.alias()))
	}
	if p.Outer != "" {
		r.outer = baseName(p.Outer)
	}
}

// condition is On and Where as one.
func (p Exists) condition() Predicate {
	switch {
	case p.On == nil:
		return p.Where
	case p.Where == Predicate(True):
		return p.On
	default:
		return And(append(slices.Clone(conjuncts(p.On)), conjuncts(p.Where)...))
	}
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
	return mergeExists(p, isExists, isExists, unwrapOr, func(a, b Exists) Predicate {
		a.Where = Or{a.Where, b.Where}
		return a
	})
}

// andNotExists: "no row with a, and no row with b" is no row with a or b.
func andNotExists(p And) (Predicate, bool) {
	return mergeExists(p, isNotExists, isNotExists, unwrapAnd, func(a, b Exists) Predicate {
		a.Where = Or{a.Where, b.Where}
		return Not{a}
	})
}

// andExistsOne: of one row, "a row with a, and a row with b" is a row with a and b.
func andExistsOne(p And) (Predicate, bool) {
	return mergeExists(p, isOne(isExists), isOne(isExists), unwrapAnd, func(a, b Exists) Predicate {
		a.Where = And{a.Where, b.Where}
		return a
	})
}

// andNotExistsOne: of one row, "a row with a, and no row with b" is a row with a and
// without b.
func andNotExistsOne(p And) (Predicate, bool) {
	return mergeExists(p, isOne(isExists), isOne(isNotExists), unwrapAnd, func(a, b Exists) Predicate {
		a.Where = And{a.Where, Not{b.Where}}
		return a
	})
}

// orNotExistsOne: of one row, "no row with a, or no row with b" is no row with a and b.
func orNotExistsOne(p Or) (Predicate, bool) {
	return mergeExists(p, isOne(isNotExists), isOne(isNotExists), unwrapOr, func(a, b Exists) Predicate {
		a.Where = And{a.Where, b.Where}
		return Not{a}
	})
}

func isExists(p Predicate) (Exists, bool) {
	e, ok := p.(Exists)
	return e, ok
}

func isNotExists(p Predicate) (Exists, bool) {
	n, _ := p.(Not)
	return isExists(n.Of)
}

func isOne(read func(Predicate) (Exists, bool)) func(Predicate) (Exists, bool) {
	return func(p Predicate) (Exists, bool) {
		e, ok := read(p)
		return e, ok && e.One
	}
}

// mergeExists joins a pair of terms that are about the same rows of a table.
func mergeExists(terms []Predicate, first, second func(Predicate) (Exists, bool), unwrap func([]Predicate) Predicate, join func(a, b Exists) Predicate) (Predicate, bool) {
	if len(terms) > maxPairwise {
		return nil, false
	}
	for i, t := range terms {
		a, ok := first(t)
		if !ok || a.On == nil {
			continue
		}
		for j, other := range terms {
			if b, ok := second(other); ok && i != j && sameRows(a, b) {
				out := slices.Clone(terms)
				out[i] = join(a, b)
				return unwrap(slices.Delete(out, j, j+1)), true
			}
		}
	}
	return nil, false
}

// sameRows reports whether two subqueries are about the same rows.
func sameRows(a, b Exists) bool {
	return a.From == b.From && a.alias() == b.alias() && a.Outer == b.Outer && a.One == b.One &&
		(a.On == nil) == (b.On == nil) && (a.On == nil || samePred(a.On, b.On))
}

// existsImplies reports whether there is a row for q whenever there is one for p.
func existsImplies(depth int, p, q Predicate) bool {
	a, okA := p.(Exists)
	b, okB := q.(Exists)
	return okA && okB && sameRows(a, b) && (b.Where == Predicate(True) || impliesWithin(depth, a.Where, b.Where))
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
	if !hasExists(p) {
		return p
	}
	taken := map[string]bool{}
	tableNames(p, nil, func(name string, alias bool) { taken[name] = taken[name] || !alias })
	return namer{taken, map[string]string{}}.pred(p)
}

func hasExists(p Predicate) bool {
	switch p := p.(type) {
	case And:
		return slices.ContainsFunc(p, hasExists)
	case Or:
		return slices.ContainsFunc(p, hasExists)
	case Not:
		return hasExists(p.Of)
	case ExistsElement:
		return hasExists(p.Where) || hasExistsWithin(Null{p.Of})
	case Exists:
		return true
	default:
		return hasExistsWithin(p)
	}
}

// hasExistsWithin looks into the subqueries of a leaf's expressions.
func hasExistsWithin(leaf Predicate) bool {
	return anyOperand(leaf, func(e Expr) bool {
		return anyPart(e, func(part Expr) bool {
			a, ok := part.(Aggregate)
			return ok && slices.ContainsFunc(a.Of, func(y Yield) bool { return hasExists(y.nested()) })
		})
	})
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
		if p.On != nil {
			p.On = inner.pred(p.On)
		}
		return p
	case ExistsElement:
		p.Of = n.expr(p.Of)
		inner := namer{n.taken, maps.Clone(n.given)}
		delete(inner.given, p.Element.Table)
		p.Where = inner.pred(p.Where)
		return p
	default:
		return mapExprs(p, n.expr)
	}
}

func (n namer) expr(e Expr) Expr {
	return rewriteAround(e, n.column, func(a Aggregate) Aggregate { return a.within(n.pred) })
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
		mapExprs(p, func(e Expr) Expr {
			return rewriteAround(e, func(e Expr) Expr {
				if c, ok := e.(Column); ok && !slices.Contains(around, c.Table) {
					visit(c.Table, false)
				}
				return e
			}, func(a Aggregate) Aggregate {
				for _, y := range a.Of {
					tableNames(y.nested(), around, visit)
				}
				return a
			})
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
		tableNames(p.condition(), append(slices.Clone(around), p.alias()), visit)
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
	inside := func(e Expr) Expr {
		return rewriteAround(e, func(e Expr) Expr { return e }, func(a Aggregate) Aggregate {
			return a.within(func(p Predicate) Predicate { return renameTable(p, from, to) })
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
			if p.On != nil {
				p.On = columns(p.On)
			}
		}
		return p
	case ExistsElement:
		p.Of, p.Where = inside(p.Of), renameTable(p.Where, from, to)
		if p.Element.Table == from {
			p.Element.Table, p.Where = to, columns(p.Where)
		}
		return p
	default:
		return mapExprs(p, inside)
	}
}
