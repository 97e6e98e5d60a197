package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

const (
	// MaxEvents is how many events a batch may have.
	MaxEvents = 10_000
	// maxProblems is how many are told.
	maxProblems = 100
)

// A Format is how a body holds events.
type Format int

const (
	JSON   Format = iota // an object, or an array of objects
	NDJSON               // an object a line
)

// A Problem is one thing wrong with the events. Field is the event's place and the
// field: [3].action, or action alone if the body is one object; "" is the body.
type Problem struct{ Field, Detail string }

// Problems are all that is wrong with the events, in their order.
type Problems []Problem

func (p Problems) Error() string {
	return fmt.Sprintf("%d problems, the first: %s: %s", len(p), p[0].Field, p[0].Detail)
}

// add adds a problem, as long as they can be told.
func (p *Problems) add(field, format string, args ...any) {
	switch {
	case len(*p) < maxProblems:
		*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
	case len(*p) == maxProblems:
		*p = append(*p, Problem{"", "there are more problems"})
	}
}

var (
	// ErrMalformed says that a body is not what its format is.
	ErrMalformed = errors.New("malformed")
	// ErrTooMany says that a body has more events than a batch may have.
	ErrTooMany = fmt.Errorf("there are more than %d events", MaxEvents)
)

// values are the JSON values of the body's events, and whether it is a single one.
func values(body []byte, format Format) (events []json.RawMessage, single bool, err error) {
	if !utf8.Valid(body) {
		return nil, false, fmt.Errorf("%w: it is not UTF-8", ErrMalformed)
	}
	if format == NDJSON {
		events, err = lines(body)
		return events, false, err
	}
	start := skip(body, 0)
	if start == len(body) {
		return nil, false, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	if body[start] != '[' {
		if err := valid(body); err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		return []json.RawMessage{body}, true, nil
	}
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrMalformed, located(err))
	}
	if len(events) > MaxEvents {
		return nil, false, ErrTooMany
	}
	return events, false, nil
}

func lines(body []byte) (events []json.RawMessage, err error) {
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if skip(line, 0) == len(line) {
			continue
		}
		if err := valid(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrMalformed, n, err)
		}
		if events = append(events, json.RawMessage(line)); len(events) > MaxEvents {
			return nil, ErrTooMany
		}
	}
	return events, nil
}

func valid(text []byte) error {
	var v json.RawMessage
	return located(json.Unmarshal(text, &v))
}

// located says where a syntax error is.
func located(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w at byte %d", syntax, syntax.Offset)
	}
	return err
}

// at is the name of a field of the i-th event.
func at(i int, single bool, field string) string {
	if single {
		return field
	}
	if field == "" {
		return fmt.Sprintf("[%d]", i)
	}
	return fmt.Sprintf("[%d].%s", i, field)
}
