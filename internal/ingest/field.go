package ingest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
	"github.com/google/uuid"
)

// A read sets a field of the event of its JSON value, or says what is wrong with
// that: the detail follows the field's name.
type read[E any] func(event *E, value json.RawMessage) (detail string)

// A field is a key that an event may have.
type field[E any] struct {
	name     string
	required bool
	read     read[E]
}

// fields are those that an event may have.
type fields[E any] struct {
	byName map[string]int
	list   []field[E]
	names  []string
}

func newFields[E any](list ...field[E]) fields[E] {
	f := fields[E]{byName: map[string]int{}, list: list}
	for i, field := range list {
		f.byName[field.name] = i
		f.names = append(f.names, field.name)
	}
	return f
}

// read makes an event of the JSON value; what is wrong goes to add. given reports
// which fields the value has.
func (f fields[E]) read(event *E, value json.RawMessage, add func(field, format string, args ...any)) (given func(name string) bool) {
	seen, met := make([]bool, len(f.list)), make([]bool, len(f.list))
	given = func(name string) bool { return seen[f.byName[name]] }
	if k := kind(value); k != "an object" {
		add("", "must be an object, and is %s", k)
		return given
	}
	if err := storable(value); err != nil {
		add("", "%s", err)
		return given
	}
	for _, m := range members(value) {
		i, known := f.byName[m.key]
		switch {
		case !known:
			add(clip(m.key), "is not a field of the event%s", hint(m.key, f.names))
		case met[i]:
			add(m.key, "is given twice")
		default:
			met[i] = true
			if string(m.value) == "null" && !f.list[i].required {
				continue // as if it were left out
			}
			seen[i] = true
			if detail := f.list[i].read(event, m.value); detail != "" {
				add(m.key, "%s", detail)
			}
		}
	}
	for i, field := range f.list {
		if field.required && !seen[i] {
			add(field.name, "is required")
		}
	}
	return given
}

func text[E any](most int, set func(*E, string)) read[E] {
	return func(e *E, v json.RawMessage) string {
		s, detail := readText(v)
		if detail == "" && len(s) > most {
			detail = fmt.Sprintf("must be at most %d bytes long, and has %d", most, len(s))
		}
		if detail == "" {
			set(e, s)
		}
		return detail
	}
}

// name is a text that is not empty.
func name[E any](most int, set func(*E, string)) read[E] {
	of := text(most, set)
	return func(e *E, v json.RawMessage) string {
		if s, detail := readText(v); detail == "" && s == "" {
			return "must not be empty"
		}
		return of(e, v)
	}
}

func readText(v json.RawMessage) (s, detail string) {
	if k := kind(v); k != "a string" {
		return "", "must be a string, and is " + k
	}
	return unquote(v), ""
}

func id[E any](set func(*E, uuid.UUID)) read[E] {
	return func(e *E, v json.RawMessage) string {
		s, detail := readText(v)
		if detail != "" {
			return detail
		}
		u, err := uuid.Parse(s)
		if err != nil || len(s) != 36 {
			return fmt.Sprintf("must be a uuid: %q is not", clip(s))
		}
		set(e, u)
		return ""
	}
}

// realID is an id that is not the zero UUID.
func realID[E any](set func(*E, uuid.UUID)) read[E] {
	return func(e *E, v json.RawMessage) string {
		var got uuid.UUID
		detail := id(func(_ *E, u uuid.UUID) { got = u })(e, v)
		switch {
		case detail != "":
			return detail
		case got == uuid.Nil:
			return "must not be the zero uuid"
		}
		set(e, got)
		return ""
	}
}

func oneOf[E any](known []string, set func(*E, string)) read[E] {
	return func(e *E, v json.RawMessage) string {
		s, detail := readText(v)
		if detail != "" {
			return detail
		}
		if !slices.Contains(known, s) {
			return fmt.Sprintf("has invalid value: %q is not a valid value%s", clip(s), hint(s, known))
		}
		set(e, s)
		return ""
	}
}

// number is an integer between two, both included.
func number[E any](least, most int32, set func(*E, int32)) read[E] {
	return func(e *E, v json.RawMessage) string {
		var n int32
		if json.Unmarshal(v, &n) != nil || string(v) == "null" || n < least || n > most {
			return fmt.Sprintf("must be an integer from %d to %d", least, most)
		}
		set(e, n)
		return ""
	}
}

func address[E any](set func(*E, netip.Prefix)) read[E] {
	return func(e *E, v json.RawMessage) string {
		s, detail := readText(v)
		if detail != "" || s == "" { // what an event without an address answers
			return detail
		}
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			a = a.Unmap()
			set(e, netip.PrefixFrom(a, a.BitLen()))
			return ""
		}
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() {
			return fmt.Sprintf("must be an IP address, or a network such as 10.0.0.0/8: %q is not", clip(s))
		}
		set(e, p)
		return ""
	}
}

// maxAhead is how far a client's clock may be ahead of the server's.
const maxAhead = 24 * time.Hour

// instant is a time, in microseconds as they are stored.
func instant[E any](set func(*E, time.Time)) read[E] {
	return func(e *E, v json.RawMessage) string {
		s, detail := readText(v)
		if detail != "" {
			return detail
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return fmt.Sprintf("must be an RFC 3339 time such as 2026-04-09T12:00:00Z: %q is not", clip(s))
		}
		t = t.UTC().Truncate(time.Microsecond)
		switch {
		case t.Year() < 1 || t.Year() > 9999:
			return "must be in the years 1 to 9999"
		case time.Until(t) > maxAhead:
			return fmt.Sprintf("must not be more than %d hours ahead: the server's time is %s",
				int(maxAhead.Hours()), time.Now().UTC().Format(time.RFC3339))
		}
		set(e, t)
		return ""
	}
}

// hint names the known name that was probably meant.
func hint(s string, known []string) string {
	s = strings.ToLower(clip(s))
	best, least := "", 1+len(s)/3
	for _, k := range known {
		if d := levenshtein.ComputeDistance(s, k); d <= least {
			best, least = k, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

const clipBytes = 100

// clip shortens what a client wrote for an answer.
func clip(s string) string {
	if len(s) <= clipBytes {
		return s
	}
	at := clipBytes
	for !utf8.RuneStart(s[at]) {
		at--
	}
	return s[:at] + "…"
}
