// Package sqlgen holds predicates over the rows of a table and renders them as
// PostgreSQL conditions with bind arguments.
//
// It knows nothing of Rego, so that any builder of conditions can use it alone:
//
//	pred := sqlgen.And{
//		sqlgen.Eq(org, sqlgen.UUID(id)),
//		sqlgen.Compare{Op: sqlgen.GE, L: status, R: sqlgen.Int(400)},
//	}
//	text, args := sqlgen.When(pred).SQL(1)
//	// organization_id = $1 AND status_code >= $2
//
// # Truth
//
// A [Predicate] answers one question: is this condition true for the row? SQL's
// third value counts as "no" everywhere in the tree. A comparison with a NULL
// operand is therefore not true, and [Not] of it is true: Not means "is not
// true", not SQL's NOT. [Simplify] may use all of two-valued logic; that the
// rendered SQL keeps NULL out below a negation is the renderer's work alone.
//
// Text compares by bytes, whatever the collation of the column: an order is
// rendered with COLLATE "C", an equality needs nothing because PostgreSQL's
// deterministic collations agree on it.
//
// # Stages
//
//	Predicate ── Simplify ──▶ Predicate ── Filter.SQL ──▶ text, args
//	                                    └─ Filter.Inline ─▶ text for people
//
// A [Filter] is what callers hold: Always, Never or When(predicate). It is never
// a bare string, which a careless caller could mistake for "no condition".
package sqlgen
