package postgres

import (
	"context"
	"net/netip"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/sqlgen"
)

// Rows are fetched by the keys of the page, as those of the audit log.
const connectionsOfPage = `
WITH page AS MATERIALIZED (%s), found AS MATERIALIZED (
	SELECT l.* FROM page CROSS JOIN LATERAL (SELECT * FROM connection_logs AS l WHERE l.id = page.id AND l.connect_time = page.connect_time%s LIMIT 1) AS l
)` + connectionLogColumns + `
FROM found AS l
LEFT JOIN LATERAL (SELECT * FROM organizations AS o WHERE o.id = l.organization_id LIMIT 1) AS o ON TRUE
LEFT JOIN LATERAL (SELECT username FROM users AS w WHERE w.id = l.workspace_owner_id LIMIT 1) AS w ON TRUE
ORDER BY l.connect_time DESC, l.id DESC`

const (
	connectionLogColumns = `
SELECT l.id, l.connect_time, l.organization_id, coalesce(o.name, ''), coalesce(o.display_name, ''), coalesce(o.icon, ''),
	l.workspace_owner_id, coalesce(w.username, ''), l.workspace_id, l.workspace_name, l.agent_name, l.ip, l.type, l.code,
	coalesce(l.user_agent, ''), l.user_id, coalesce(l.slug_or_port, ''),
	l.connection_id, l.disconnect_time, coalesce(l.disconnect_reason, '')`

	wholeConnections = connectionLogColumns + `
FROM (%s) AS l
LEFT JOIN LATERAL (SELECT * FROM organizations AS o WHERE o.id = l.organization_id LIMIT 1) AS o ON TRUE
LEFT JOIN LATERAL (SELECT username FROM users AS w WHERE w.id = l.workspace_owner_id LIMIT 1) AS w ON TRUE
ORDER BY l.connect_time DESC, l.id DESC`
)

var connectionPages = pageSource[audit.Connection]{
	log: auditquery.ConnectionLogs(), time: "connect_time", doing: "listing connection logs",
	whole: wholeConnections, ofKeys: connectionsOfPage, scan: scanConnection,
}

// ConnectionsStatement is the statement of a page of connection logs by its keys, without their
// visitors, and its arguments. ok is false when no row can match.
func ConnectionsStatement(authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (text string, args []any, ok bool) {
	return connectionPages.statement(authorized, search, page)
}

// Connections are the page's rows of those that are both authorized and found,
// newest first, as [DB.AuditLogs] are.
func (db *DB) Connections(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) (connections []audit.Connection, searched *auditquery.Stop, err error) {
	connections, searched, err = connectionPages.page(ctx, db.pool, db.limits, authorized, search, page)
	if err != nil {
		return nil, nil, err
	}
	return connections, searched, addVisitors(ctx, db.pool, connections)
}

// connectionLogs are the rows of a statement of such columns, with their visitors.
func connectionLogs(ctx context.Context, q rowsOf, text string, args []any) ([]audit.Connection, error) {
	connections, err := connectionPages.read(ctx, q, text, args)
	if err != nil {
		return nil, err
	}
	return connections, addVisitors(ctx, q, connections)
}

func addVisitors(ctx context.Context, q rowsOf, connections []audit.Connection) error {
	ids := make([]uuid.UUID, len(connections))
	for i, c := range connections {
		ids[i] = c.UserID
	}
	byID, err := users(ctx, q, ids)
	if err != nil {
		return err
	}
	for i := range connections {
		connections[i].User = byID[connections[i].UserID]
	}
	return nil
}

func scanConnection(row pgx.CollectableRow) (audit.Connection, error) {
	var (
		c                audit.Connection
		user, connection *uuid.UUID
		ip               *netip.Prefix
	)
	err := row.Scan(&c.ID, &c.Time, &c.Organization.ID, &c.Organization.Name, &c.Organization.DisplayName, &c.Organization.Icon,
		&c.OwnerID, &c.OwnerUsername, &c.WorkspaceID, &c.WorkspaceName, &c.AgentName, &ip, &c.Type, &c.Code,
		&c.UserAgent, &user, &c.SlugOrPort,
		&connection, &c.DisconnectTime, &c.DisconnectReason)
	if err != nil {
		return audit.Connection{}, err
	}
	c.Time, c.IP, c.UserID, c.ConnectionID = c.Time.UTC(), orZero(ip), orZero(user), orZero(connection)
	if c.DisconnectTime != nil {
		end := c.DisconnectTime.UTC()
		c.DisconnectTime = &end
	}
	return c, nil
}
