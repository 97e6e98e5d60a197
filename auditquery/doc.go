// Package auditquery reads the search languages of the audit log and the
// connection log, and makes the list and count statements of a search and an
// authorization filter.
//
//	search, err := auditquery.ParseAudit(`action:login -username:me status_code:>=400 since:24h`)
//	// look up search.Names(), then
//	predicate := search.Predicate(resolved)
//	keys, args, ok := auditquery.Keys(auditquery.AuditLogs(), authorized, predicate, page, 1)
//	count, args, ok := auditquery.CappedCount(auditquery.AuditLogs(), authorized, predicate, 2000)
//
// # Language
//
// A query is a list of elements, separated by spaces, of which every row has to
// satisfy all:
//
//	key:value    the row has the value; a key given again means either value
//	-key:value   the row has not; a row without any value has not
//	word         looked for, ignoring case, in what the row is about and in the
//	             names of its users; has at most 256 bytes, and three letters or
//	             digits in a row. In the audit log a known resource type that is
//	             not quoted filters by it instead
//	-word        the contrary, of any length
//
// Double quotes keep spaces and colons together and hold anything; a quote
// between quotes is doubled. Keys and known names ignore case, values keep it.
// What is wrong with a query is told at once, each [Problem] with its element
// and the bytes where that stands.
//
// # Stages
//
//	q ── ParseAudit ───────▶ Search ── Predicate ──▶ sqlgen.Predicate ─┬─▶ Keys
//	     ParseConnections      ├─ Names ─▶ Resolved ─┘   authorized ───┼─▶ CappedCount
//	                           │                                       └─▶ BudgetedCount
//	                           └─ Scope ─▶ Cursors ◀─▶ text
//
// # Pages
//
// A page begins behind so many rows, or behind the [Place] of a row. A [Cursor]
// is such a place as clients keep it, signed and bound to a search and a caller.
package auditquery
