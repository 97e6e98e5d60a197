package auditclient

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

var (
	// ErrFull says that a recorder holds as many events as it may.
	ErrFull = errors.New("auditclient: too many events are waiting to be sent")
	// ErrClosed says that a recorder was closed.
	ErrClosed = errors.New("auditclient: the recorder is closed")
)

// Error is the server's refusal of a batch, of which it wrote nothing.
type Error struct {
	Status      int // of the HTTP response
	Message     string
	Validations []Validation  // what is wrong with the events, if it is they
	RetryAfter  time.Duration // 0: the server did not say
}

// Validation is one thing wrong with an event: Field is the event's index in the
// batch with the field, "[3].action".
type Validation struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (e *Error) Error() string {
	text := fmt.Sprintf("auditclient: the server answers %d: %s", e.Status, e.Message)
	for i, v := range e.Validations {
		if i == 3 {
			return text + fmt.Sprintf(" and %d more", len(e.Validations)-i)
		}
		text += fmt.Sprintf(" (%s %s)", v.Field, v.Detail)
	}
	return text
}

// Temporary reports whether the same batch may be taken later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return e.Status >= 500
}

var indexed = regexp.MustCompile(`^\[(\d+)\]`)

// events are the indices of the events that are to blame; none if it is not they,
// or they alone.
func (e *Error) events() map[int]bool {
	out := map[int]bool{}
	for _, v := range e.Validations {
		m := indexed.FindStringSubmatch(v.Field)
		if m == nil {
			if v.Field == "" { // "there are more problems"
				continue
			}
			return nil
		}
		i, err := strconv.Atoi(m[1])
		if err != nil {
			return nil
		}
		out[i] = true
	}
	return out
}
