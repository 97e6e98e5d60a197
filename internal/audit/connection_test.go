package audit_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/internal/audit"
)

// Few values, so that they meet.
func someConnectionEvent(t *rapid.T) audit.ConnectionEvent {
	e := audit.ConnectionEvent{
		Disconnect:   rapid.Bool().Draw(t, "disconnect"),
		Time:         time.Unix(int64(rapid.IntRange(1, 4).Draw(t, "time")), 0),
		ConnectionID: uuid.UUID{15: 1},
		Place: audit.Place{
			OrganizationID: uuid.UUID{15: byte(rapid.IntRange(1, 2).Draw(t, "organization"))},
			Type:           rapid.SampledFrom([]string{"ssh", "vscode"}).Draw(t, "type"),
		},
	}
	if e.Disconnect {
		e.DisconnectReason = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "reason")
		if code := rapid.IntRange(-1, 1).Draw(t, "code"); code >= 0 {
			e.Code = new(int32(code))
		}
	}
	return e
}

func TestSessionsDoNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(someConnectionEvent), 1, 6).Draw(t, "events")
		var first, second audit.SessionState
		for _, e := range events {
			first.Add(e)
		}
		for _, e := range rapid.Permutation(append(events, events...)).Draw(t, "again") {
			second.Add(e)
		}
		require.Equal(t, first, second)
	})
}

func TestExitCodeZeroIsKept(t *testing.T) {
	at := time.Unix(100, 0)
	var s audit.SessionState
	s.Add(audit.ConnectionEvent{Disconnect: true, Time: at, Code: new(int32(0)), DisconnectReason: "bye"})
	require.Equal(t, at, s.ConnectTime(), "nothing earlier is known")
	s.Add(audit.ConnectionEvent{Disconnect: true, Time: at.Add(time.Second), Code: new(int32(255))})
	s.Add(audit.ConnectionEvent{Disconnect: true, Time: at.Add(-time.Second)})
	s.Add(audit.ConnectionEvent{Time: at.Add(-time.Minute)})
	require.Equal(t, int32(0), *s.Code)
	require.Equal(t, "bye", s.Reason)
	require.Equal(t, at.Add(-time.Second), s.DisconnectedAt)
	require.Equal(t, at.Add(-time.Minute), s.ConnectTime())
}
