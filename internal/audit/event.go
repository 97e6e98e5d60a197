package audit

import (
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Event is an entry of the audit log that is to be written. Ids that it does not
// have are the zero UUID.
type Event struct {
	ID               uuid.UUID // of the row
	Time             time.Time
	UserID           uuid.UUID
	OrganizationID   uuid.UUID
	ResourceType     string
	ResourceID       uuid.UUID
	ResourceTarget   string
	ResourceIcon     string
	ResourceLink     string
	ResourceOwnerID  uuid.UUID // kept in the registry of resources only
	Action           string
	Diff             []byte // JSON of a Diff, whose secrets are masked
	StatusCode       int32
	AdditionalFields []byte // a JSON object
	RequestID        uuid.UUID
	IP               netip.Prefix // not valid if there is none
	UserAgent        string
	BuildReason      string
}

// Batch is what one request writes: all of it or nothing. It has audit events or
// connection events.
type Batch struct {
	Audit       []Event
	Connections []ConnectionEvent
	Once        *Once // nil: the batch is written whenever it comes
}

// Len is the number of events.
func (b Batch) Len() int { return len(b.Audit) + len(b.Connections) }

// Once is what makes a batch that comes again no other batch.
type Once struct {
	UserID      uuid.UUID // whose key it is
	Key         string
	Fingerprint [32]byte // of what was sent
}

// Receipt says what became of a batch. A batch that came again gets the receipt
// that it got the first time, but for Repeated.
type Receipt struct {
	IDs      []uuid.UUID // the rows' ids, in the order of the events
	Repeated bool
}

// Outcome is a batch's receipt, or why it was not written.
type Outcome struct {
	Receipt Receipt
	Err     error
}

// ErrKeyReused says that a key was used before for another batch.
var ErrKeyReused = errors.New("the idempotency key was used for another batch")
