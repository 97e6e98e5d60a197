package auditquery

// Log is where a log is kept: its table, whose rows are ordered by a time and
// their id, newest first. It is made by [AuditLogs] or [ConnectionLogs].
type Log struct {
	name    string          // what conditions on its rows call the table
	table   string          // what is written after FROM
	time    string          // the column that orders it
	indexes map[string]bool // columns that lead an index
	behind  map[string]bool // columns that have one behind the organization, and whether few rows have a value
}

// AuditLogs is the log that [ParseAudit] searches.
func AuditLogs() Log {
	return Log{name: "audit_logs", table: "audit_logs", time: "time", indexes: auditIndexes, behind: auditIndexesBehind}
}

// ConnectionLogs is the log that [ParseConnections] searches.
func ConnectionLogs() Log {
	return Log{name: "connection_logs", table: "connection_logs", time: "connect_time", indexes: connectionIndexes}
}

// In is the log in another table or view with the same columns. The name is
// written as it stands: it is the program's, never a user's.
func (l Log) In(table string) Log {
	l.table = table
	return l
}

// from names the table as conditions do.
func (l Log) from() string { return " FROM " + l.named() }

func (l Log) named() string {
	if l.table == l.name {
		return l.name
	}
	return l.table + " AS " + l.name
}

// order is newest first, or oldest first, of the columns of a table by its alias
// ("" for no alias).
func (l Log) order(alias string, oldestFirst bool) string {
	if alias != "" {
		alias += "."
	}
	if oldestFirst {
		return " ORDER BY " + alias + l.time + ", " + alias + "id"
	}
	return " ORDER BY " + alias + l.time + " DESC, " + alias + "id DESC"
}

// keys are the columns that order the log.
func (l Log) keys(alias string) string {
	if alias != "" {
		alias += "."
	}
	return alias + "id, " + alias + l.time
}
