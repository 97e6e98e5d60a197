// Package ingest reads events that clients send, and writes them in groups.
//
//	body ─▶ values ─▶ events, or all that is wrong with them ─▶ batch ─▶ Queue ─▶ Writer
//
// It is strict: what it does not know it refuses, since an audit log that misreads
// its events is worse than one that says so. It knows no HTTP and no SQL.
package ingest
