package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Log is a row of the audit log. Ids that the row does not have are the zero
// UUID.
type Log struct {
	ID               uuid.UUID
	RequestID        uuid.UUID
	Time             time.Time // in UTC
	Organization     *Organization
	OrganizationID   uuid.UUID
	IP               netip.Prefix // not valid if there is none
	UserAgent        string
	ResourceType     string
	ResourceID       uuid.UUID
	ResourceTarget   string
	ResourceIcon     string
	ResourceLink     string
	KindName         string // the kind of resource, as it stands in a sentence; "" is unknown
	IsDeleted        bool   // the resource is
	Action           string
	Diff             Diff
	StatusCode       int
	AdditionalFields json.RawMessage // an object
	UserID           uuid.UUID
	User             *User // nil if there is no such user (any more)
}

// Diff is what an action changed, by field.
type Diff map[string]Change

// Change is a field's value before and after. A secret field's values are not
// kept: they are the empty string.
type Change struct {
	Old    json.RawMessage `json:"old"`
	New    json.RawMessage `json:"new"`
	Secret bool            `json:"secret"`
}

var (
	masked   = json.RawMessage(`""`)
	jsonNull = json.RawMessage(`null`)
)

// UnmarshalJSON drops the values of a secret field. A change that does not say
// plainly that it is no secret is one.
func (c *Change) UnmarshalJSON(data []byte) error {
	*c = Change{Old: masked, New: masked, Secret: true}
	// Keys of a struct would match in any case; only these spellings count.
	var raw map[string]json.RawMessage
	if json.Unmarshal(data, &raw) != nil {
		return nil //nolint:nilerr // whatever it is, it is not shown
	}
	if !bytes.Equal(bytes.TrimSpace(raw["secret"]), []byte("false")) {
		return nil
	}
	*c = Change{Old: or(raw["old"], jsonNull), New: or(raw["new"], jsonNull)}
	return nil
}

func or(value, otherwise json.RawMessage) json.RawMessage {
	if value == nil {
		return otherwise
	}
	return value
}

// ParseDiff reads a stored diff.
func ParseDiff(data []byte) (Diff, error) {
	var d Diff
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("reading a diff: %w", err)
	}
	if d == nil {
		d = Diff{}
	}
	return d, nil
}
