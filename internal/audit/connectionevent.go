package audit

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ConnectionTypes are the known types of connections.
var ConnectionTypes = []string{"ssh", "vscode", "jetbrains", "reconnecting_pty", "workspace_app", "port_forwarding"}

// IsWeb reports whether connections of the type are single requests of a browser,
// which have no end.
func IsWeb(connectionType string) bool {
	return connectionType == "workspace_app" || connectionType == "port_forwarding"
}

// ConnectionEvent is the beginning or the end of a connection.
type ConnectionEvent struct {
	Disconnect bool
	Time       time.Time
	Place      Place

	// Of a session, which is all but a web connection.
	ConnectionID     uuid.UUID // the zero UUID: a web connection
	DisconnectReason string    // "" is none; of a disconnect only
	// Code is the exit code of a session's disconnect, or the HTTP status of a web
	// connection; nil is none.
	Code *int32

	// Of a web connection.
	UserAgent  string
	UserID     uuid.UUID
	SlugOrPort string
}

// Place is where a connection leads, and where from.
type Place struct {
	OrganizationID   uuid.UUID
	WorkspaceOwnerID uuid.UUID
	WorkspaceID      uuid.UUID
	WorkspaceName    string
	AgentName        string
	Type             string
	IP               netip.Prefix // not valid if there is none
}

// SessionKey is what the events of one session have in common.
type SessionKey struct {
	ConnectionID uuid.UUID
	WorkspaceID  uuid.UUID
	AgentName    string
}

// Compare orders keys; it is how several of them are locked.
func (k SessionKey) Compare(other SessionKey) int {
	return cmp.Or(
		slices.Compare(k.ConnectionID[:], other.ConnectionID[:]),
		slices.Compare(k.WorkspaceID[:], other.WorkspaceID[:]),
		strings.Compare(k.AgentName, other.AgentName),
	)
}

// Session is the key of the session that the event is of.
func (e ConnectionEvent) Session() SessionKey {
	return SessionKey{e.ConnectionID, e.Place.WorkspaceID, e.Place.AgentName}
}

// SessionState is what is known of a session. The same events make the same state,
// in whatever order and however often they come. The zero state knows nothing.
type SessionState struct {
	// Place is that of the earliest connect, or while there is none of the earliest
	// disconnect.
	Place          Place
	ConnectedAt    time.Time // of the earliest connect; zero: none was seen
	DisconnectedAt time.Time // of the earliest disconnect; zero: none was seen
	// The reason and the code are those of the earliest disconnect that has one,
	// with its time.
	Reason   string
	ReasonAt time.Time
	Code     *int32
	CodeAt   time.Time
}

// ConnectTime is when the session began: as long as no connect was seen, no later
// than it ended.
func (s SessionState) ConnectTime() time.Time {
	if s.ConnectedAt.IsZero() {
		return s.DisconnectedAt
	}
	return s.ConnectedAt
}

// Add takes in an event of the session.
func (s *SessionState) Add(e ConnectionEvent) {
	if s.placedBy(e) {
		s.Place = e.Place
	}
	if !e.Disconnect {
		s.ConnectedAt = earlier(s.ConnectedAt, e.Time)
		return
	}
	s.DisconnectedAt = earlier(s.DisconnectedAt, e.Time)
	// At one time the smaller value counts, so that the order of coming does not.
	if e.DisconnectReason != "" && before(e.Time, s.ReasonAt, strings.Compare(e.DisconnectReason, s.Reason)) {
		s.Reason, s.ReasonAt = e.DisconnectReason, e.Time
	}
	if e.Code != nil && (s.Code == nil || before(e.Time, s.CodeAt, cmp.Compare(*e.Code, *s.Code))) {
		s.Code, s.CodeAt = e.Code, e.Time
	}
}

// placedBy reports whether the event says better than those before where the
// session leads.
func (s *SessionState) placedBy(e ConnectionEvent) bool {
	at := s.ConnectedAt
	if at.IsZero() && !e.Disconnect {
		return true
	}
	if at.IsZero() {
		at = s.DisconnectedAt
	} else if e.Disconnect {
		return false
	}
	return before(e.Time, at, e.Place.compare(s.Place))
}

func (p Place) compare(other Place) int {
	return cmp.Or(
		slices.Compare(p.OrganizationID[:], other.OrganizationID[:]),
		slices.Compare(p.WorkspaceOwnerID[:], other.WorkspaceOwnerID[:]),
		strings.Compare(p.WorkspaceName, other.WorkspaceName),
		strings.Compare(p.Type, other.Type),
		p.IP.Compare(other.IP),
	)
}

// before reports whether t comes before the time that is known, if any is.
func before(t, known time.Time, tie int) bool {
	return known.IsZero() || t.Before(known) || t.Equal(known) && tie < 0
}

func earlier(known, t time.Time) time.Time {
	if known.IsZero() || t.Before(known) {
		return t
	}
	return known
}
