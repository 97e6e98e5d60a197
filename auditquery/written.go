package auditquery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/rowfence/rowfence/sqlgen"
)

// Position is where a row stands in the order in which rows were written, which is
// not that of their times: by the number of the transaction that wrote it, then by
// time and id. A transaction may end after one with a greater number.
type Position struct {
	Transaction int64
	Time        time.Time // to the microsecond
	ID          uuid.UUID
}

// EndOf is the position behind all that the transaction, and those before it, wrote.
func EndOf(transaction int64) Position {
	p := Position{Transaction: transaction, Time: time.Date(maxYear, 12, 31, 23, 59, 59, 999_999_000, time.UTC)}
	for i := range p.ID {
		p.ID[i] = 0xff
	}
	return p
}

// WrittenKeys is a statement that selects transaction, time and id of the rows found
// that were written behind one position, and no later than another, in the order in
// which they were written, and its arguments, numbered from 1. ok is false when no
// row can match.
func WrittenKeys(of Log, authorized sqlgen.Filter, search sqlgen.Predicate, after, until Position) (text string, args []any, ok bool) {
	filter := both(authorized, search)
	if filter.Result() == sqlgen.ResultNever {
		return "", nil, false
	}
	s := statement{log: of, start: 1}
	s.write("SELECT ", of.written(), of.from(), " WHERE (", of.written(), ") > ", s.position(after),
		" AND (", of.written(), ") <= ", s.position(until))
	s.and(filter)
	s.write(" ORDER BY ", of.written())
	return s.text.String(), s.args, true
}

// WrittenUntil is a statement that selects the position of the row that stands so
// many rows behind a position, if it was written by a transaction before another.
func WrittenUntil(of Log, after Position, before int64, rows int) (text string, args []any) {
	s := statement{log: of, start: 1}
	s.write("SELECT ", of.written(), of.from(), " WHERE (", of.written(), ") > ", s.position(after),
		" AND written_in < ", s.bind(before), " ORDER BY ", of.written(), " OFFSET ", s.bind(int64(rows-1)), " LIMIT 1")
	return s.text.String(), s.args
}

// written are the columns that order the log as it was written; one index has them.
func (l Log) written() string { return "written_in, " + l.time + ", id" }

func (s *statement) position(p Position) string {
	return "(" + s.bind(p.Transaction) + ", " + s.bind(p.Time) + ", " + s.bind(p.ID) + ")"
}

// A position is its payload and the payload's signature:
//
//	version (1 byte) | transaction | time (microseconds since 1970, 8 bytes each) | id (16 bytes) | HMAC-SHA256
const (
	positionPayload = 1 + 8 + 8 + 16
	positionBytes   = positionPayload + sha256.Size
)

// EncodePosition is the position as a text for a client to keep, bound to a scope as
// a cursor is.
func (c Cursors) EncodePosition(of Scope, p Position) string {
	b := make([]byte, 0, positionBytes)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Transaction))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Time.UnixMicro()))
	b = append(b, p.ID[:]...)
	b = append(b, c.signPosition(of, b)...)
	return cursorEncoding.EncodeToString(b)
}

// DecodePosition reads what EncodePosition wrote for the same scope with the same
// key. The error is a *CursorError.
func (c Cursors) DecodePosition(of Scope, text string) (Position, error) {
	payload, err := c.verified("a position", text, positionPayload, func(payload []byte) []byte { return c.signPosition(of, payload) })
	if err != nil {
		return Position{}, err
	}
	p := Position{
		Transaction: int64(binary.BigEndian.Uint64(payload[1:])),
		Time:        time.UnixMicro(int64(binary.BigEndian.Uint64(payload[9:]))).UTC(),
	}
	copy(p.ID[:], payload[17:])
	return p, nil
}

func (c Cursors) signPosition(of Scope, payload []byte) []byte {
	mac := hmac.New(sha256.New, c.key)
	bind(mac, "rowfence position", of.Log.name, of.Log.written(), of.Search.String(), of.Caller)
	mac.Write(payload)
	return mac.Sum(nil)
}
