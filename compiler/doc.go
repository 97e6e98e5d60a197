// Package compiler turns the residual of a Rego policy into a predicate over the
// rows of a table, exactly or not at all.
//
// A [Schema] says how a table's row looks to the policy: the row document. Its
// fields that are columns are the unknowns of the partial evaluation; all else is
// known. [Compile] then translates what remains:
//
//	policy, input ── rego ──▶ residual ── translate ──▶ predicate ── sqlgen ──▶ SQL
//
// # How a value is seen
//
// A Rego term that depends on a row is a value of several alternatives, each with
// the condition under which it holds: a nullable column is "the column, where it
// is not NULL; null, where it is". Where no alternative holds, the term is
// undefined. A comparison is the disjunction over the alternatives of both sides,
// and the simplifier of sqlgen turns that into the SQL that a person would have
// written. So NULL, a missing key, undefined and values of other types are all
// handled in one place, below negation as well as above.
//
// What has no exact translation is refused with an [Error].
package compiler
