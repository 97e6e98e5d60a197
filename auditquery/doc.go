// Package auditquery reads the search language of the audit log and makes the
// list and count statements of a search and an authorization filter.
//
//	search, err := auditquery.ParseAudit(`action:login -username:me status_code:>=400 since:24h`)
//	// look up search.Names(), then
//	predicate := search.Predicate(resolved)
//	keys, args, ok := auditquery.Keys("audit_logs", authorized, predicate, page, 1)
//	count, args, ok := auditquery.CappedCount("audit_logs", authorized, predicate, 2000)
//
// # Language
//
// A query is a list of elements, separated by spaces, of which every row has to
// satisfy all:
//
//	key:value    the row has the value; a key given again means either value
//	-key:value   the row has not; a row without any value has not
//	word         a known resource type filters by it; any other word, and every
//	             quoted one, is looked for in the target and the user's name,
//	             and has at most 256 bytes
//	-word        the contrary
//
// Double quotes keep spaces and colons together and hold anything; a quote
// between quotes is doubled. Keys and known names ignore case, values keep it.
//
// # Stages
//
//	q ── ParseAudit ──▶ Search ── Predicate ──▶ sqlgen.Predicate ─┬─▶ Keys
//	                      └─ Names ─▶ Resolved ─┘   authorized ───┴─▶ CappedCount
package auditquery
