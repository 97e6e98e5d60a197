package auditclient

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/felixge/httpsnoop"
	"github.com/google/uuid"
)

// Actor is who does something, and by which request.
type Actor struct {
	UserID         uuid.UUID
	OrganizationID uuid.UUID
	IP             string
	UserAgent      string
	RequestID      uuid.UUID
}

// fill sets what the event does not say.
func (a Actor) fill(e *Event) {
	set(&e.UserID, a.UserID)
	set(&e.OrganizationID, a.OrganizationID)
	set(&e.RequestID, a.RequestID)
	set(&e.IP, a.IP)
	set(&e.UserAgent, a.UserAgent)
}

func set[T comparable](field *T, otherwise T) {
	var zero T
	if *field == zero {
		*field = otherwise
	}
}

// trail is what happens in one request.
type trail struct {
	mu    sync.Mutex
	actor Actor
	did   []Event
}

type trailKey struct{}

func trailOf(ctx context.Context) *trail {
	t, _ := ctx.Value(trailKey{}).(*trail)
	return t
}

// Middleware records what handlers say they [Did], when they have answered: with the
// status of the answer, who asked as they [Identify] them, their address, user agent
// and X-Request-Id (if that is a uuid). The address is that of the connection; behind
// a proxy, let who say the real one.
//
// who says what is known of a request before it is handled; nil is what the request
// itself says. Events that the recorder does not take go to its OnLost.
func Middleware(recorder *Recorder, who func(*http.Request, *Actor)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t := &trail{actor: actorOf(r)}
			if who != nil {
				who(r, &t.actor)
			}
			status := 0
			w = httpsnoop.Wrap(w, httpsnoop.Hooks{
				WriteHeader: func(write httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
					return func(code int) {
						// The others below 200 come before the answer.
						if status == 0 && (code >= http.StatusOK || code == http.StatusSwitchingProtocols) {
							status = code
						}
						write(code)
					}
				},
			})
			returned := false
			defer func() {
				switch {
				case status != 0:
				case returned:
					status = http.StatusOK
				default: // it panics
					status = http.StatusInternalServerError
				}
				t.record(recorder, status)
			}()
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), trailKey{}, t)))
			returned = true
		})
	}
}

func actorOf(r *http.Request) Actor {
	a := Actor{UserAgent: clip(r.UserAgent())}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && net.ParseIP(host) != nil {
		a.IP = host
	}
	if id, err := uuid.Parse(r.Header.Get("X-Request-Id")); err == nil {
		a.RequestID = id
	}
	return a
}

// clip makes of a header what the server takes: else whoever asks could keep the
// event out of the log.
func clip(header string) string {
	const most = 2048
	text := strings.ToValidUTF8(header, "\uFFFD")
	for len(text) > most {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

func (t *trail) record(recorder *Recorder, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.did {
		t.actor.fill(&e)
		set(&e.StatusCode, status)
		recorder.keep(e)
	}
}

// keep records the event, or says that it is lost.
func (r *Recorder) keep(e Event) {
	raw, err := encodeEvent(e)
	if err == nil {
		if err = r.add(item{false, raw}); err == nil {
			return
		}
	}
	r.lose(Lost{Events: []json.RawMessage{raw}, Err: err})
}

// Did says what the request of ctx did or was to do, also when it fails. What the
// event does not say is filled in when the request is answered. It reports whether
// there is a [Middleware] to record it.
func Did(ctx context.Context, e Event) bool {
	t := trailOf(ctx)
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.did = append(t.did, e)
	return true
}

// Identify says who makes the request of ctx, once that is known. It reports whether
// there is a [Middleware] to tell.
func Identify(ctx context.Context, who func(*Actor)) bool {
	t := trailOf(ctx)
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	who(&t.actor)
	return true
}
