// Package scale measures the server's searches on a large log, beside three other
// ways to ask the same of the same database: by hand-written SQL, by PostgreSQL's
// row-level security, and as a page does that counts all rows, compares uuids as
// text and has fixed conditions.
//
//	Open ─▶ Database ── Measure ──▶ Result ── Print, Judge
//	           └────── Load (HTTP) ──▶ Endpoint
//
// A *cell* is a search by a subject. In a cell the ways are measured in turns, so
// that what disturbs the machine disturbs all of them.
package scale
