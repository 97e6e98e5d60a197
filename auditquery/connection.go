package auditquery

import (
	"fmt"
	"strings"
	"time"

	"github.com/rowfence/rowfence/sqlgen"
)

// The columns of connection_logs that a search can speak of. The user is the
// visitor of a web connection, NULL when nobody is known; the connection id is
// that of a session, NULL for web connections.
var (
	connectTime      = sqlgen.Column{Name: "connect_time", Type: sqlgen.Type{Kind: sqlgen.KindTimestamptz}, NotNull: true}
	workspaceOrg     = sqlgen.Column{Name: "organization_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}, NotNull: true}
	workspaceOwnerID = sqlgen.Column{Name: "workspace_owner_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}, NotNull: true}
	workspaceID      = sqlgen.Column{Name: "workspace_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}, NotNull: true}
	workspaceName    = sqlgen.Column{Name: "workspace_name", Type: sqlgen.Type{Kind: sqlgen.KindText}, NotNull: true}
	connectionType   = sqlgen.Column{Name: "type", Type: sqlgen.Type{Kind: sqlgen.KindText}, NotNull: true}
	connectionCode   = sqlgen.Column{Name: "code", Type: sqlgen.Type{Kind: sqlgen.KindInt}}
	connectionID     = sqlgen.Column{Name: "connection_id", Type: sqlgen.Type{Kind: sqlgen.KindUUID}}
	disconnectTime   = sqlgen.Column{Name: "disconnect_time", Type: sqlgen.Type{Kind: sqlgen.KindTimestamptz}}
)

// ConnectionTypes are the known values of a connection's type.
var ConnectionTypes = []string{"jetbrains", "port_forwarding", "reconnecting_pty", "ssh", "vscode", "workspace_app"}

// WebConnectionTypes are those of connections over the web, which have no end.
// The others are sessions.
var WebConnectionTypes = []string{"port_forwarding", "workspace_app"}

// Statuses are the known values of status.
var Statuses = []string{string(completed), string(ongoing)}

// Conditions are written in this order: first those that an index can serve.
var connectionLanguage = newLanguage("", nil,
	&key{name: "organization", column: workspaceOrg, read: readOrganization},
	&key{name: "workspace_owner", column: workspaceOwnerID, read: readUsername},
	&key{name: "workspace_owner_email", column: workspaceOwnerID, read: readEmail},
	&key{name: "username", column: userID, read: readUsername},
	&key{name: "user_email", column: userID, read: readEmail},
	&key{name: "workspace_id", column: workspaceID, read: readID},
	&key{name: "connection_id", column: connectionID, read: readID},
	&key{name: "type", column: connectionType, read: oneOf(ConnectionTypes)},
	&key{name: "status", column: disconnectTime, read: readStatus},
	&key{name: "status_code", column: connectionCode, read: readCode(true)},
	&key{name: "exit_code", column: connectionCode, read: readCode(false)},
	&key{name: "ip", column: clientIP, read: readNetwork},
	&key{name: "connected_after", column: connectTime, read: readMoment(false)},
	&key{name: "connected_before", column: connectTime, read: readMoment(true)},
	&key{name: "since", column: connectTime, read: readSince},
	&key{column: workspaceName, read: readText(&connectionText), find: findText, every: true},
)

// connectionText is the workspace's name, its owner's, and the visitor's.
var connectionText = words{log: "connection_logs", users: []sqlgen.Column{workspaceOwnerID, userID}}

// connectionIndexes are the columns that lead an index of connection_logs.
var connectionIndexes = map[string]bool{
	"id": true, "workspace_owner_id": true, "workspace_id": true, "user_id": true, "connection_id": true, "workspace_name": true,
	"type": true,
}

// web is the condition that a connection is one over the web.
func web() sqlgen.Predicate {
	types := make([]sqlgen.Literal, len(WebConnectionTypes))
	for i, t := range WebConnectionTypes {
		types[i] = sqlgen.String(t)
	}
	return sqlgen.Member{Of: connectionType, Set: sqlgen.ListOf(connectionType.Type, types)}
}

// status is whether a session has ended.
type status string

const (
	ongoing   status = "ongoing"
	completed status = "completed"
)

func readStatus(s string) (value, string) {
	v, detail := oneOf(Statuses)(s)
	if detail != "" {
		return nil, detail
	}
	return status(v.String()), ""
}

func (v status) String() string { return string(v) }

// predicate names the connection id besides the type: the index of sessions that
// are on is of rows that have one.
func (v status) predicate(ended sqlgen.Column, _ Resolved) sqlgen.Predicate {
	end := sqlgen.Predicate(sqlgen.Null{Of: ended})
	if v == completed {
		end = sqlgen.NotNull(ended)
	}
	return sqlgen.And{end, sqlgen.NotNull(connectionID), sqlgen.Not{Of: web()}}
}

// code is a comparison with the HTTP status of a web connection, or with the exit
// code of a session, which share a column.
type code struct {
	number
	web bool
}

func readCode(web bool) func(string) (value, string) {
	return func(s string) (value, string) {
		v, detail := readNumber(s)
		n, ok := v.(number)
		if !ok {
			return nil, detail
		}
		return code{n, web}, ""
	}
}

func (v code) predicate(c sqlgen.Column, r Resolved) sqlgen.Predicate {
	kind := web()
	if !v.web {
		kind = sqlgen.Not{Of: kind}
	}
	return sqlgen.And{v.number.predicate(c, r), kind}
}

// readMoment reads one end of a range of time, without days: it is called after
// and before, and a day is neither.
func readMoment(to bool) func(string) (value, string) {
	return func(s string) (value, string) {
		_, err := time.Parse(time.RFC3339, strings.ToUpper(s))
		v, detail := readInstant(s, to)
		if err != nil || detail != "" {
			return nil, fmt.Sprintf("must be a valid date format (%s), in quotes: %q is not", time.RFC3339, clip(s))
		}
		return v, ""
	}
}
