package ingest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
)

// Bounds of fields, in bytes.
const (
	maxTarget   = 2000 // that of the column, which is indexed
	maxText     = 2048
	maxName     = 256
	maxJSON     = 256 << 10
	maxKindName = 63
)

type auditEvent = audit.Event

var auditFields = newFields(
	field[auditEvent]{"time", false, instant(func(e *auditEvent, v time.Time) { e.Time = v })},
	field[auditEvent]{"user_id", false, id(func(e *auditEvent, v uuid.UUID) { e.UserID = v })},
	field[auditEvent]{"organization_id", false, id(func(e *auditEvent, v uuid.UUID) { e.OrganizationID = v })},
	field[auditEvent]{"resource_type", true, name(maxKindName, func(e *auditEvent, v string) { e.ResourceType = v })},
	field[auditEvent]{"resource_id", false, id(func(e *auditEvent, v uuid.UUID) { e.ResourceID = v })},
	field[auditEvent]{"resource_target", false, text(maxTarget, func(e *auditEvent, v string) { e.ResourceTarget = v })},
	field[auditEvent]{"resource_icon", false, text(maxText, func(e *auditEvent, v string) { e.ResourceIcon = v })},
	field[auditEvent]{"resource_link", false, text(maxText, func(e *auditEvent, v string) { e.ResourceLink = v })},
	field[auditEvent]{"resource_owner_id", false, id(func(e *auditEvent, v uuid.UUID) { e.ResourceOwnerID = v })},
	field[auditEvent]{"action", true, oneOf(auditquery.Actions, func(e *auditEvent, v string) { e.Action = v })},
	field[auditEvent]{"status_code", true, number(100, 599, func(e *auditEvent, v int32) { e.StatusCode = v })},
	field[auditEvent]{"diff", false, readDiff},
	field[auditEvent]{"additional_fields", false, readAdditional},
	field[auditEvent]{"request_id", false, id(func(e *auditEvent, v uuid.UUID) { e.RequestID = v })},
	field[auditEvent]{"ip", false, address(func(e *auditEvent, v netip.Prefix) { e.IP = v })},
	field[auditEvent]{"user_agent", false, text(maxText, func(e *auditEvent, v string) { e.UserAgent = v })},
	field[auditEvent]{"build_reason", false, oneOf(auditquery.BuildReasons, func(e *auditEvent, v string) { e.BuildReason = v })},
)

var noJSON = []byte("{}")

// Audit reads the events of a body for the audit log. An event without a time gets
// now. kinds says which of the names are kinds of resources that a service has
// registered; it is asked for those alone that are not built in.
//
// The error is [Problems] if it is the events that are wrong.
func Audit(body []byte, format Format, now time.Time, kinds func(names []string) ([]string, error)) ([]audit.Event, error) {
	raw, single, err := values(body, format)
	if err != nil {
		return nil, err
	}
	var problems Problems
	if len(raw) == 0 {
		problems.add("", "at least one event is needed")
	}
	events := make([]audit.Event, len(raw))
	unknown := map[string][]int{}
	for i := range events {
		e := &events[i]
		*e = audit.Event{
			ID: uuid.Must(uuid.NewV7()), Time: now.UTC().Truncate(time.Microsecond), Diff: noJSON, AdditionalFields: noJSON,
		}
		auditFields.read(e, raw[i], func(field, format string, args ...any) { problems.add(at(i, single, field), format, args...) })
		if t := e.ResourceType; t != "" && !slices.Contains(auditquery.ResourceTypes, t) {
			unknown[t] = append(unknown[t], i)
		}
	}
	if len(unknown) > 0 {
		var names []string
		for name := range unknown {
			names = append(names, name)
		}
		slices.Sort(names)
		registered, err := kinds(names)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if slices.Contains(registered, name) {
				continue
			}
			for _, i := range unknown[name] {
				problems.add(at(i, single, "resource_type"), "has invalid value: %q is not a valid value%s",
					clip(name), hint(name, auditquery.ResourceTypes))
			}
		}
	}
	if problems != nil {
		return nil, problems
	}
	return events, nil
}

func readAdditional(e *auditEvent, v json.RawMessage) string {
	detail := object(v)
	e.AdditionalFields = v
	return detail
}

// object says why the value is no object of a reasonable size.
func object(v json.RawMessage) string {
	if k := kind(v); k != "an object" {
		return "must be an object, and is " + k
	}
	if len(v) > maxJSON {
		return fmt.Sprintf("must be at most %d bytes long, and has %d", maxJSON, len(v))
	}
	return ""
}

// readDiff reads the changes by field, and drops the values of secret ones.
func readDiff(e *auditEvent, v json.RawMessage) string {
	if detail := object(v); detail != "" {
		return detail
	}
	var wrong []string
	secret := false
	seen := map[string]bool{}
	for _, change := range members(v) {
		add := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%q ", clip(change.key))+fmt.Sprintf(format, args...))
		}
		if seen[change.key] {
			add("is given twice")
		}
		seen[change.key] = true
		if k := kind(change.value); k != "an object" {
			add(`must be {"old": …, "new": …, "secret": false}, and is %s`, k)
			continue
		}
		said := map[string]bool{}
		for _, m := range members(change.value) {
			switch {
			case m.key != "old" && m.key != "new" && m.key != "secret":
				add("has %q, which is none of old, new and secret", clip(m.key))
			case said[m.key]:
				add("has %q twice", m.key)
			case m.key == "secret" && kind(m.value) != "a boolean":
				add("must have a boolean as secret, which is %s", kind(m.value))
			case m.key == "secret":
				secret = secret || string(m.value) == "true"
			}
			said[m.key] = true
		}
		if !said["secret"] {
			// A guess could publish a password.
			add(`must say whether it is secret: "secret": true or false`)
		}
	}
	if wrong != nil {
		return strings.Join(wrong, "; ")
	}
	e.Diff = v
	if secret {
		masked, err := audit.ParseDiff(v)
		if err == nil {
			e.Diff, err = json.Marshal(masked)
		}
		if err != nil {
			return "can't be read"
		}
	}
	return ""
}
