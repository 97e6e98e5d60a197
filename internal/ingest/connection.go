package ingest

import (
	"math"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/internal/audit"
)

type connectionEvent = audit.ConnectionEvent

var connectionFields = newFields(
	field[connectionEvent]{"action", true, oneOf([]string{"connect", "disconnect"},
		func(e *connectionEvent, v string) { e.Disconnect = v == "disconnect" })},
	field[connectionEvent]{"time", false, instant(func(e *connectionEvent, v time.Time) { e.Time = v })},
	field[connectionEvent]{"organization_id", true, realID(func(e *connectionEvent, v uuid.UUID) { e.Place.OrganizationID = v })},
	field[connectionEvent]{"workspace_owner_id", true, realID(func(e *connectionEvent, v uuid.UUID) { e.Place.WorkspaceOwnerID = v })},
	field[connectionEvent]{"workspace_id", true, realID(func(e *connectionEvent, v uuid.UUID) { e.Place.WorkspaceID = v })},
	field[connectionEvent]{"workspace_name", true, name(maxName, func(e *connectionEvent, v string) { e.Place.WorkspaceName = v })},
	field[connectionEvent]{"agent_name", true, name(maxName, func(e *connectionEvent, v string) { e.Place.AgentName = v })},
	field[connectionEvent]{"type", true, oneOf(audit.ConnectionTypes, func(e *connectionEvent, v string) { e.Place.Type = v })},
	field[connectionEvent]{"ip", false, address(func(e *connectionEvent, v netip.Prefix) { e.Place.IP = v })},
	field[connectionEvent]{"connection_id", false, realID(func(e *connectionEvent, v uuid.UUID) { e.ConnectionID = v })},
	field[connectionEvent]{"disconnect_reason", false, text(maxText, func(e *connectionEvent, v string) { e.DisconnectReason = v })},
	field[connectionEvent]{"exit_code", false, number(math.MinInt32, math.MaxInt32, func(e *connectionEvent, v int32) { e.Code = &v })},
	field[connectionEvent]{"user_agent", false, text(maxText, func(e *connectionEvent, v string) { e.UserAgent = v })},
	field[connectionEvent]{"user_id", false, id(func(e *connectionEvent, v uuid.UUID) { e.UserID = v })},
	field[connectionEvent]{"slug_or_port", false, text(maxName, func(e *connectionEvent, v string) { e.SlugOrPort = v })},
	field[connectionEvent]{"status_code", false, number(100, 599, func(e *connectionEvent, v int32) { e.Code = &v })},
)

var (
	ofSessions    = []string{"connection_id", "disconnect_reason", "exit_code"}
	ofDisconnects = []string{"disconnect_reason", "exit_code"}
	ofWeb         = []string{"user_agent", "user_id", "slug_or_port", "status_code"}
)

// Connections reads the events of a body for the connection log. An event without a
// time gets now. The error is [Problems] if it is the events that are wrong.
func Connections(body []byte, format Format, now time.Time) ([]audit.ConnectionEvent, error) {
	raw, single, err := values(body, format)
	if err != nil {
		return nil, err
	}
	var problems Problems
	if len(raw) == 0 {
		problems.add("", "at least one event is needed")
	}
	events := make([]audit.ConnectionEvent, len(raw))
	for i := range events {
		e := &events[i]
		e.Time = now.UTC().Truncate(time.Microsecond)
		add := func(field, format string, args ...any) { problems.add(at(i, single, field), format, args...) }
		fit(e, connectionFields.read(e, raw[i], add), add)
	}
	if problems != nil {
		return nil, problems
	}
	return events, nil
}

// fit says what does not fit together.
func fit(e *connectionEvent, given func(string) bool, add func(field, format string, args ...any)) {
	if e.Place.Type == "" {
		return // missing or wrong, as was said
	}
	none := func(of []string, why string) {
		for _, name := range of {
			if given(name) {
				add(name, "%s", why)
			}
		}
	}
	if audit.IsWeb(e.Place.Type) {
		none(ofSessions, "is of sessions, and a web connection ("+e.Place.Type+") is none")
		if e.Disconnect {
			add("action", "must be connect: a web connection (%s) has no end", e.Place.Type)
		}
		return
	}
	none(ofWeb, "is of web connections (workspace_app, port_forwarding), and "+e.Place.Type+" is none")
	if !given("connection_id") {
		add("connection_id", "is required of a session")
	}
	if !e.Disconnect {
		none(ofDisconnects, "is of the event disconnect")
	}
}
