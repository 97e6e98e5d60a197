package demo

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"
)

const connectionCount = 10_000

var connectionColumns = []string{
	"id", "connect_time", "organization_id", "workspace_owner_id", "workspace_id", "workspace_name", "agent_name", "type",
	"ip", "code", "user_agent", "user_id", "slug_or_port", "connection_id", "disconnect_time", "disconnect_reason",
}

var (
	connectionTypes = []string{"ssh", "vscode", "jetbrains", "reconnecting_pty", "workspace_app", "port_forwarding"}
	connectionMix   = newPicker(len(connectionTypes), func(i int) float64 { return []float64{40, 28, 8, 12, 9, 3}[i] })
)

// connectionLogs makes connection logs in the order of time; a pgx.CopyFromSource.
type connectionLogs struct {
	w     *world
	r     *rand.Rand
	clock *clock
	n     int
	row   []any
}

func newConnectionLogs(w *world) *connectionLogs {
	return &connectionLogs{w: w, r: w.random(kindConnectionLog), clock: newClock(w.day), row: make([]any, len(connectionColumns))}
}

func (s *connectionLogs) Err() error { return nil }

func (s *connectionLogs) Next() bool { s.n++; return s.n <= connectionCount }

func (s *connectionLogs) Values() ([]any, error) {
	r, w, i := s.r, s.w, s.n-1
	at := s.clock.at((float64(i) + r.Float64()) / connectionCount)
	o := w.orgs[w.busy.pick(r)]
	owner := oneOf(r, o.members)
	ws := w.workspace(o, owner, r.IntN(workspacesPerUser))
	kind := connectionTypes[connectionMix.pick(r)]
	var (
		code                     *int
		agent, slug, reason      *string
		visitor, connection      *uuid.UUID
		disconnected             *time.Time
		connectionID, statusCode = w.id(kindOther, i), 200
	)
	switch kind {
	case "workspace_app", "port_forwarding":
		text, port := owner.agent(r), strconv.Itoa(oneOf(r, []int{3000, 5173, 8000, 8080, 8888}))
		agent, slug, code = &text, &port, &statusCode
		if kind == "workspace_app" {
			app := oneOf(r, slugs)
			slug = &app
		}
		if chance(r, 12) {
			statusCode = oneOf(r, []int{401, 403, 404, 502})
		}
		if !chance(r, 6) { // of a public app nobody is known
			visitor = &oneOf(r, o.members).id
		}
	default:
		connection = &connectionID
		end := at.Add(time.Duration(1+r.IntN(6*3600)) * time.Second)
		// Those that would end after the last day are on, and a few that were lost.
		if end.Before(w.day) && !chance(r, 400) {
			why, exit := "client closed the connection", 0
			if chance(r, 10) {
				why, exit = oneOf(r, []string{"workspace stopped", "network timeout", "agent restarted"}), oneOf(r, []int{1, 130, 255})
			}
			disconnected, reason, code = &end, &why, &exit
		}
	}
	copy(s.row, []any{
		w.id(kindConnectionLog, i), at, o.id, owner.id, ws.id, ws.name, oneOf(r, []string{"main", "main", "dev", "gpu"}), kind,
		owner.address(r), code, agent, visitor, slug, connection, disconnected, reason,
	})
	return s.row, nil
}
