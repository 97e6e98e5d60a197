// Package rls writes a policy as native row-level security of PostgreSQL: the condition
// that [rowfence.Engine.Filter] makes for one subject, for all of them, as statements
// that a migration runs; and for a transaction of a service, what those read of its
// subject.
//
//	Template ── NewCondition ──▶ Condition ── Policies ──▶ CREATE POLICY …
//	                                       └─ Settings ──▶ SELECT set_config(…)
//
// # Settings
//
// A [Target] is a resource and an action on it. Its condition reads each parameter of the
// schema that it mentions from a setting of its own, such as
//
//	rowfence.document.read.input_subject_id
//
// and is true of no row unless all of them have a value, and the target's own setting
//
//	rowfence.document.read
//
// is the mark of the condition, a hash of its SQL. So the values of a subject for one
// policy are none for another: not for what the table was given before the policies were
// changed, not for another action, and not for an input with another known part.
package rls
