package auditclient

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// Event is an entry of the audit log. Action, ResourceType and StatusCode are
// needed; ids, times and texts that are zero are none.
type Event struct {
	// Time is when it happened; zero is when it is recorded.
	Time           time.Time `json:"time,omitzero"`
	UserID         uuid.UUID `json:"user_id,omitzero"`
	OrganizationID uuid.UUID `json:"organization_id,omitzero"`
	// ResourceType is a kind of resource that the server knows, such as "template".
	ResourceType string    `json:"resource_type"`
	ResourceID   uuid.UUID `json:"resource_id,omitzero"`
	// ResourceTarget is what the resource is called, at most 2,000 bytes.
	ResourceTarget  string    `json:"resource_target,omitempty"`
	ResourceIcon    string    `json:"resource_icon,omitempty"`
	ResourceLink    string    `json:"resource_link,omitempty"`
	ResourceOwnerID uuid.UUID `json:"resource_owner_id,omitzero"`
	// Action is what was done: "create", "write", "delete", "login", …
	Action string `json:"action"`
	// StatusCode is the HTTP status that it ended with; of 400 or more it failed.
	StatusCode       int               `json:"status_code"`
	Diff             map[string]Change `json:"diff,omitempty"`
	AdditionalFields map[string]any    `json:"additional_fields,omitempty"`
	RequestID        uuid.UUID         `json:"request_id,omitzero"`
	IP               string            `json:"ip,omitempty"` // an address or a network
	UserAgent        string            `json:"user_agent,omitempty"`
	BuildReason      string            `json:"build_reason,omitempty"`
}

// LogValue is the event as a log line shows it, without what it changed.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("action", e.Action),
		slog.String("resource_type", e.ResourceType),
		slog.Any("resource_id", e.ResourceID),
		slog.String("resource_target", e.ResourceTarget),
	)
}

// Change is a field's value before and after. The values of a secret are not sent.
type Change struct {
	Old, New any
	Secret   bool
}

// MarshalJSON leaves out the values of a secret.
func (c Change) MarshalJSON() ([]byte, error) {
	if c.Secret {
		return []byte(`{"old":"","new":"","secret":true}`), nil
	}
	return json.Marshal(struct {
		Old    any  `json:"old"`
		New    any  `json:"new"`
		Secret bool `json:"secret"`
	}{c.Old, c.New, false})
}

// The actions of a [Connection].
const (
	Connect    = "connect"
	Disconnect = "disconnect"
)

// Connection is the beginning or the end of a connection to a workspace. The events
// of a session have one ConnectionID, and may come in any order, and again.
type Connection struct {
	Action           string    `json:"action"` // Connect or Disconnect
	Time             time.Time `json:"time,omitzero"`
	OrganizationID   uuid.UUID `json:"organization_id"`
	WorkspaceOwnerID uuid.UUID `json:"workspace_owner_id"`
	WorkspaceID      uuid.UUID `json:"workspace_id"`
	WorkspaceName    string    `json:"workspace_name"`
	AgentName        string    `json:"agent_name"`
	// Type is "ssh", "vscode", "jetbrains" or "reconnecting_pty"; or of a web
	// connection, which is a single request, "workspace_app" or "port_forwarding".
	Type string `json:"type"`
	IP   string `json:"ip,omitempty"`

	// Of sessions.
	ConnectionID     uuid.UUID `json:"connection_id,omitzero"`
	DisconnectReason string    `json:"disconnect_reason,omitempty"`
	ExitCode         *int      `json:"exit_code,omitempty"` // nil is unknown

	// Of web connections.
	UserAgent  string    `json:"user_agent,omitempty"`
	UserID     uuid.UUID `json:"user_id,omitzero"`
	SlugOrPort string    `json:"slug_or_port,omitempty"`
	StatusCode int       `json:"status_code,omitzero"`
}
