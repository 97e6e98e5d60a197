package httpapi

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
)

// connectionLogs is what GET /api/v2/connectionlog answers from.
func (s *server) connectionLogs() searched[audit.Connection] {
	return searched[audit.Connection]{
		resource: "connection_log",
		log:      auditquery.ConnectionLogs(),
		invalid:  "Invalid connection search query.",
		parse:    func(context.Context) func(string) (auditquery.Search, error) { return auditquery.ParseConnections },
		list:     s.store.Connections,
		count:    s.store.CountConnections,
		place:    func(c audit.Connection) auditquery.Place { return auditquery.Place{Time: c.Time, ID: c.ID} },
		answer: func(rows []audit.Connection, beside beside) any {
			answer := connectionLogsAnswer{ConnectionLogs: []connectionLog{}, beside: beside}
			for _, c := range rows {
				answer.ConnectionLogs = append(answer.ConnectionLogs, newConnectionLog(c))
			}
			return answer
		},
	}
}

// connectionLogsAnswer is the answer of GET /api/v2/connectionlog.
type connectionLogsAnswer struct {
	ConnectionLogs []connectionLog `json:"connection_logs"`
	beside
}

// connectionLog is a row of the connection log. It has one of the two infos.
type connectionLog struct {
	ID            uuid.UUID    `json:"id"`
	ConnectTime   time.Time    `json:"connect_time"`
	Organization  organization `json:"organization"`
	OwnerID       uuid.UUID    `json:"workspace_owner_id"`
	OwnerUsername string       `json:"workspace_owner_username"`
	WorkspaceID   uuid.UUID    `json:"workspace_id"`
	WorkspaceName string       `json:"workspace_name"`
	AgentName     string       `json:"agent_name"`
	IP            string       `json:"ip"`
	Type          string       `json:"type"`
	WebInfo       *webInfo     `json:"web_info,omitempty"`
	SessionInfo   *sessionInfo `json:"ssh_info,omitempty"`
}

type webInfo struct {
	UserAgent  string `json:"user_agent"`
	User       *user  `json:"user"`
	SlugOrPort string `json:"slug_or_port"`
	StatusCode int    `json:"status_code"` // 0 while unknown
}

// sessionInfo leaves out what is not known. An exit code of 0 is known.
type sessionInfo struct {
	ConnectionID     uuid.UUID  `json:"connection_id"`
	DisconnectTime   *time.Time `json:"disconnect_time,omitempty"`
	DisconnectReason string     `json:"disconnect_reason,omitempty"`
	ExitCode         *int       `json:"exit_code,omitempty"`
}

func newConnectionLog(c audit.Connection) connectionLog {
	out := connectionLog{
		ID:            c.ID,
		ConnectTime:   c.Time,
		Organization:  organization(c.Organization),
		OwnerID:       c.OwnerID,
		OwnerUsername: c.OwnerUsername,
		WorkspaceID:   c.WorkspaceID,
		WorkspaceName: c.WorkspaceName,
		AgentName:     c.AgentName,
		IP:            address(c.IP),
		Type:          c.Type,
	}
	if !c.Web() {
		out.SessionInfo = &sessionInfo{c.ConnectionID, c.DisconnectTime, c.DisconnectReason, c.Code}
		return out
	}
	out.WebInfo = &webInfo{UserAgent: c.UserAgent, SlugOrPort: c.SlugOrPort}
	if c.Code != nil {
		out.WebInfo.StatusCode = *c.Code
	}
	if c.User != nil {
		out.WebInfo.User = newUser(*c.User)
	}
	return out
}
