package audit

import (
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/auditquery"
)

// Connection is a row of the connection log: a session, or a connection over the
// web, by its type.
type Connection struct {
	ID            uuid.UUID
	Time          time.Time    // in UTC
	Organization  Organization // without a name if there is no such organization any more
	OwnerID       uuid.UUID    // of the workspace
	OwnerUsername string       // "" if there is no such user any more
	WorkspaceID   uuid.UUID
	WorkspaceName string
	AgentName     string
	IP            netip.Prefix // not valid if there is none
	Type          string
	Code          *int // the exit code of a session, the HTTP status of a web connection; nil while unknown

	// Of web connections.
	UserAgent  string
	UserID     uuid.UUID // the zero UUID if nobody is known
	User       *User     // nil if there is no such user (any more)
	SlugOrPort string

	// Of sessions.
	ConnectionID     uuid.UUID  // the zero UUID if there is none
	DisconnectTime   *time.Time // in UTC; nil while it is on
	DisconnectReason string
}

// Web reports whether the connection is one over the web.
func (c Connection) Web() bool { return slices.Contains(auditquery.WebConnectionTypes, c.Type) }
