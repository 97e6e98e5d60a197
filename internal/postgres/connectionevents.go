package postgres

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/rowfence/rowfence/internal/audit"
)

const (
	// The update changes nothing: it locks the session, and gives back what is
	// known of it, in the statement that makes one where there is none.
	lockSessions = `
INSERT INTO connection_sessions AS s (connection_id, workspace_id, agent_name, id, connect_time)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::timestamptz[])
ON CONFLICT (connection_id, workspace_id, agent_name) DO UPDATE SET id = s.id
RETURNING connection_id, workspace_id, agent_name, id, connect_time, connected_at, reason_at, code_at`

	// Locked, so that retention does not take them before they are written.
	sessionRows = `
SELECT l.id, l.organization_id, l.workspace_owner_id, l.workspace_id, l.workspace_name, l.agent_name, l.type, l.ip,
	l.disconnect_time, coalesce(l.disconnect_reason, ''), l.code
FROM unnest($1::uuid[], $2::timestamptz[]) AS k(id, at)
JOIN connection_logs AS l ON l.id = k.id AND l.connect_time = k.at
FOR UPDATE OF l`

	updateSessionRows = `
UPDATE connection_logs AS l
SET connect_time = v.connect_time, organization_id = v.organization_id, workspace_owner_id = v.workspace_owner_id,
	workspace_name = v.workspace_name, type = v.type, ip = v.ip,
	disconnect_time = v.disconnect_time, disconnect_reason = v.disconnect_reason, code = v.code
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::inet[],
	$9::timestamptz[], $10::text[], $11::int[])
	AS v(id, was, connect_time, organization_id, workspace_owner_id, workspace_name, type, ip, disconnect_time, disconnect_reason, code)
WHERE l.id = v.id AND l.connect_time = v.was`

	updateSessions = `
UPDATE connection_sessions AS s
SET connect_time = v.connect_time, connected_at = v.connected_at, reason_at = v.reason_at, code_at = v.code_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[])
	AS v(connection_id, workspace_id, agent_name, connect_time, connected_at, reason_at, code_at)
WHERE s.connection_id = v.connection_id AND s.workspace_id = v.workspace_id AND s.agent_name = v.agent_name`
)

var connectionColumns = []string{
	"id", "connect_time", "organization_id", "workspace_owner_id", "workspace_id", "workspace_name", "agent_name", "type",
	"ip", "code", "user_agent", "user_id", "slug_or_port", "connection_id", "disconnect_time", "disconnect_reason",
}

// A session is a session that events of the group are of.
type session struct {
	key    audit.SessionKey
	id     uuid.UUID // of its row
	at     time.Time // the row's time, before the events
	stored bool      // there is a row
	state  audit.SessionState
	events []audit.ConnectionEvent
}

// writeConnections writes a row for each web connection, and has one for each
// session.
func (g *group) writeConnections(ctx context.Context) error {
	byKey := map[audit.SessionKey]*session{}
	var rows [][]any // new ones
	for _, i := range g.fresh {
		for _, e := range g.batches[i].Connections {
			if !audit.IsWeb(e.Place.Type) {
				key := e.Session()
				if byKey[key] == nil {
					byKey[key] = &session{key: key, id: newID(), at: e.Time}
				}
				byKey[key].events = append(byKey[key].events, e)
				continue
			}
			id := newID()
			g.outcomes[i].Receipt.IDs = append(g.outcomes[i].Receipt.IDs, id)
			rows = append(rows, append(placeValues(id, e.Time, e.Place), nullCode(e.Code), nullText(e.UserAgent),
				nullUUID(e.UserID), nullText(e.SlugOrPort), pgtype.UUID{}, pgtype.Timestamptz{}, pgtype.Text{}))
		}
	}
	sessions, err := g.lockSessions(ctx, byKey)
	if err != nil {
		return err
	}
	g.receiptsOfSessions(byKey)
	var changed, moved []*session
	for _, s := range sessions {
		before := s.state
		for _, e := range s.events {
			s.state.Add(e)
		}
		switch {
		case !s.stored:
			rows = append(rows, append(placeValues(s.id, s.state.ConnectTime(), s.state.Place), nullCode(s.state.Code), pgtype.Text{},
				pgtype.UUID{}, pgtype.Text{}, nullUUID(s.key.ConnectionID), nullTime(s.state.DisconnectedAt), nullText(s.state.Reason)))
		case s.state != before:
			changed = append(changed, s)
		default:
			continue
		}
		moved = append(moved, s)
	}
	if rows != nil {
		if _, err := g.tx.CopyFrom(ctx, pgx.Identifier{"connection_logs"}, connectionColumns, pgx.CopyFromRows(rows)); err != nil {
			return err
		}
	}
	if err := g.updateSessionRows(ctx, changed); err != nil {
		return err
	}
	return g.updateSessions(ctx, moved)
}

// placeValues are the first of the connectionColumns.
func placeValues(id uuid.UUID, at time.Time, p audit.Place) []any {
	return append(make([]any, 0, len(connectionColumns)),
		nullUUID(id), at, nullUUID(p.OrganizationID), nullUUID(p.WorkspaceOwnerID), nullUUID(p.WorkspaceID),
		p.WorkspaceName, p.AgentName, p.Type, orNull(p.IP, p.IP.IsValid()))
}

func nullCode(code *int32) pgtype.Int4 {
	if code == nil {
		return pgtype.Int4{}
	}
	return pgtype.Int4{Int32: *code, Valid: true}
}

// receiptsOfSessions adds the ids of rows to the receipts: a session's events have
// one row. A batch's web connections have theirs already, in the order of events.
func (g *group) receiptsOfSessions(byKey map[audit.SessionKey]*session) {
	for _, i := range g.fresh {
		web := g.outcomes[i].Receipt.IDs
		var ids []uuid.UUID
		for _, e := range g.batches[i].Connections {
			if audit.IsWeb(e.Place.Type) {
				ids, web = append(ids, web[0]), web[1:]
			} else {
				ids = append(ids, byKey[e.Session()].id)
			}
		}
		if ids != nil {
			g.outcomes[i].Receipt.IDs = ids
		}
	}
}

// lockSessions makes or finds the sessions, and loads what is known of them. They
// come back in the order of their keys.
func (g *group) lockSessions(ctx context.Context, byKey map[audit.SessionKey]*session) ([]*session, error) {
	if len(byKey) == 0 {
		return nil, nil
	}
	var sessions []*session
	for _, s := range byKey {
		sessions = append(sessions, s)
	}
	slices.SortFunc(sessions, func(a, b *session) int { return a.key.Compare(b.key) })
	var ids []pgtype.UUID
	var at []time.Time
	connections, workspaces, agents := keysOf(sessions)
	for _, s := range sessions {
		ids, at = append(ids, nullUUID(s.id)), append(at, s.at)
	}
	rows, err := g.tx.Query(ctx, lockSessions, connections, workspaces, agents, ids, at)
	if err != nil {
		return nil, err
	}
	known := map[uuid.UUID]*session{}
	var (
		key                           audit.SessionKey
		id                            uuid.UUID
		time                          time.Time
		connectedAt, reasonAt, codeAt pgtype.Timestamptz
	)
	_, err = pgx.ForEachRow(rows, []any{&key.ConnectionID, &key.WorkspaceID, &key.AgentName, &id, &time, &connectedAt, &reasonAt, &codeAt}, func() error {
		s := byKey[key]
		if s.id == id {
			return nil // made just now
		}
		s.id, s.at = id, time
		s.state = audit.SessionState{ConnectedAt: connectedAt.Time, ReasonAt: reasonAt.Time, CodeAt: codeAt.Time}
		known[id] = s
		return nil
	})
	if err != nil || len(known) == 0 {
		return sessions, err
	}
	return sessions, g.loadSessionRows(ctx, known)
}

func (g *group) loadSessionRows(ctx context.Context, known map[uuid.UUID]*session) error {
	var ids []pgtype.UUID
	var at []time.Time
	for id, s := range known {
		ids, at = append(ids, nullUUID(id)), append(at, s.at)
	}
	rows, err := g.tx.Query(ctx, sessionRows, ids, at)
	if err != nil {
		return err
	}
	var (
		id           uuid.UUID
		p            audit.Place
		ip           *netip.Prefix
		disconnected pgtype.Timestamptz
		reason       string
		code         *int32
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &p.OrganizationID, &p.WorkspaceOwnerID, &p.WorkspaceID, &p.WorkspaceName, &p.AgentName, &p.Type, &ip,
		&disconnected, &reason, &code}, func() error {
		s := known[id]
		s.stored = true
		p.IP = orZero(ip)
		s.state.Place, s.state.DisconnectedAt, s.state.Reason, s.state.Code = p, disconnected.Time, reason, code
		return nil
	})
	for _, s := range known {
		if !s.stored { // retention took the row: what comes now is all that is known
			s.state = audit.SessionState{}
		}
	}
	return err
}

func keysOf(sessions []*session) (connections, workspaces []pgtype.UUID, agents []string) {
	for _, s := range sessions {
		connections = append(connections, nullUUID(s.key.ConnectionID))
		workspaces = append(workspaces, nullUUID(s.key.WorkspaceID))
		agents = append(agents, s.key.AgentName)
	}
	return connections, workspaces, agents
}

func (g *group) updateSessionRows(ctx context.Context, sessions []*session) error {
	if len(sessions) == 0 {
		return nil
	}
	var (
		ids, orgs, owners []pgtype.UUID
		was, at           []time.Time
		names, types      []string
		ips               []*netip.Prefix
		disconnected      []pgtype.Timestamptz
		reasons           []pgtype.Text
		codes             []pgtype.Int4
	)
	for _, s := range sessions {
		p := s.state.Place
		ids, orgs, owners = append(ids, nullUUID(s.id)), append(orgs, nullUUID(p.OrganizationID)), append(owners, nullUUID(p.WorkspaceOwnerID))
		was, at = append(was, s.at), append(at, s.state.ConnectTime())
		names, types = append(names, p.WorkspaceName), append(types, p.Type)
		var ip *netip.Prefix
		if p.IP.IsValid() {
			ip = &p.IP
		}
		ips = append(ips, ip)
		disconnected = append(disconnected, nullTime(s.state.DisconnectedAt))
		reasons, codes = append(reasons, nullText(s.state.Reason)), append(codes, nullCode(s.state.Code))
	}
	tag, err := g.tx.Exec(ctx, updateSessionRows, ids, was, at, orgs, owners, names, types, ips, disconnected, reasons, codes)
	if err == nil && tag.RowsAffected() != int64(len(sessions)) {
		err = errMissing
	}
	return err
}

func (g *group) updateSessions(ctx context.Context, sessions []*session) error {
	if len(sessions) == 0 {
		return nil
	}
	var at []time.Time
	var connected, reason, code []pgtype.Timestamptz
	connections, workspaces, agents := keysOf(sessions)
	for _, s := range sessions {
		at = append(at, s.state.ConnectTime())
		connected = append(connected, nullTime(s.state.ConnectedAt))
		reason, code = append(reason, nullTime(s.state.ReasonAt)), append(code, nullTime(s.state.CodeAt))
	}
	tag, err := g.tx.Exec(ctx, updateSessions, connections, workspaces, agents, at, connected, reason, code)
	if err == nil && tag.RowsAffected() != int64(len(sessions)) {
		err = errMissing
	}
	return err
}
