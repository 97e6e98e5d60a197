package auditquery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"time"
)

// Cursor is where a page begins that is asked for by what stood next to it on
// another, and not by how many rows stand before it.
type Cursor struct {
	// From is the row that the page lies behind.
	From Place
	// Newer: the page is of the rows that are newer than From, not of the older.
	Newer bool
	// Skip is what is left of an offset: so many rows behind From are not on the page.
	Skip int
	// Now is what since: counted back from on the first page, to the microsecond:
	// all pages are of one range of time.
	Now time.Time
}

// Scope is what a cursor belongs to: it is refused with any other. How many rows
// a page has is not of it.
type Scope struct {
	Log    Log
	Search Search
	Caller string // whatever tells one caller from another
}

// CursorError says why a text is no cursor of a scope.
type CursorError struct{ Reason string }

// Error is the reason.
func (e *CursorError) Error() string { return e.Reason }

// Cursors writes cursors for clients to keep, and reads no others than it wrote:
// they are signed, which is not encrypted. What a cursor tells, its holder has seen
// on the page.
type Cursors struct{ key []byte }

// MinCursorKeyBytes is the shortest key of [NewCursors].
const MinCursorKeyBytes = 32

// NewCursors signs with the key, which has to be secret and random, and the same
// for all servers that are to understand each other's cursors.
func NewCursors(key []byte) (Cursors, error) {
	if len(key) < MinCursorKeyBytes {
		return Cursors{}, fmt.Errorf("a key for cursors has at least %d bytes, not %d", MinCursorKeyBytes, len(key))
	}
	return Cursors{append([]byte(nil), key...)}, nil
}

// A cursor is its payload and the payload's signature:
//
//	version, direction (1 byte each) | time, now (microseconds since 1970, 8 bytes each) | id (16 bytes) |
//	rows to skip (8 bytes, if there are any) | HMAC-SHA256
const (
	cursorVersion   = 1
	payloadBytes    = 2 + 8 + 8 + 16
	skippingPayload = payloadBytes + 8
)

// Strict, so that no two texts are one cursor.
var cursorEncoding = base64.RawURLEncoding.Strict()

// Encode is the cursor as a text that can stand in a URL.
func (c Cursors) Encode(of Scope, cursor Cursor) string {
	b := make([]byte, 0, skippingPayload+sha256.Size)
	b = append(b, cursorVersion, 0)
	if cursor.Newer {
		b[1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(cursor.From.Time.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(cursor.Now.UnixMicro()))
	b = append(b, cursor.From.ID[:]...)
	if cursor.Skip > 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(cursor.Skip))
	}
	b = append(b, c.sign(of, b)...)
	return cursorEncoding.EncodeToString(b)
}

// Decode reads what Encode wrote for the same scope with the same key. The error is
// a *CursorError: the text is something else.
func (c Cursors) Decode(of Scope, text string) (Cursor, error) {
	size := payloadBytes
	if len(text) == cursorEncoding.EncodedLen(skippingPayload+sha256.Size) {
		size = skippingPayload
	}
	payload, err := c.verified("a cursor", text, size, func(payload []byte) []byte { return c.sign(of, payload) })
	if err != nil {
		return Cursor{}, err
	}
	out := Cursor{Newer: payload[1] == 1}
	out.From.Time = time.UnixMicro(int64(binary.BigEndian.Uint64(payload[2:]))).UTC()
	out.Now = time.UnixMicro(int64(binary.BigEndian.Uint64(payload[10:]))).UTC()
	copy(out.From.ID[:], payload[18:])
	if size == skippingPayload {
		out.Skip = int(binary.BigEndian.Uint64(payload[payloadBytes:]))
	}
	return out, nil
}

// verified is the payload, of so many bytes, of a text that this server has signed, as
// what it is called. The error is a *CursorError.
func (c Cursors) verified(what, text string, bytes int, sign func(payload []byte) []byte) ([]byte, error) {
	if len(text) != cursorEncoding.EncodedLen(bytes+sha256.Size) {
		return nil, &CursorError{"is not " + what}
	}
	b, err := cursorEncoding.DecodeString(text)
	if err != nil || len(b) != bytes+sha256.Size {
		return nil, &CursorError{"is not " + what}
	}
	payload, signature := b[:bytes], b[bytes:]
	if c.key == nil || !hmac.Equal(signature, sign(payload)) {
		return nil, &CursorError{"is not " + what + " of this search and caller"}
	}
	if payload[0] != cursorVersion {
		return nil, &CursorError{"is " + what + " of another version of the server"}
	}
	return payload, nil
}

// sign binds the payload to the scope and to the order of rows.
func (c Cursors) sign(of Scope, payload []byte) []byte {
	mac := hmac.New(sha256.New, c.key)
	bind(mac, "rowfence cursor", of.Log.name, of.Log.order("", false), of.Search.String(), of.Caller)
	mac.Write(payload)
	return mac.Sum(nil)
}

// bind writes texts so that no others give the same bytes.
func bind(into hash.Hash, texts ...string) {
	for _, t := range texts {
		into.Write(binary.BigEndian.AppendUint64(nil, uint64(len(t))))
		into.Write([]byte(t))
	}
}

// Pages are the cursors of the pages beside one.
type Pages struct{ Newer, Older *Cursor }

// Beside says where the pages beside one begin. page is the one that was asked for,
// keys are the places of its rows, newest first, which were looked up with a limit
// of one more than the page has: that row, which tells that there are others, is
// taken off them. now is what since: counted back from.
//
// There is a newer page if one was seen: the first page has none, whatever has
// arrived since.
func Beside[Row any](page Page, rows []Row, at func(Row) Place, now time.Time) ([]Row, Pages) {
	more := len(rows) > page.Limit
	if more && page.backward() {
		rows = rows[len(rows)-page.Limit:]
	} else if more {
		rows = rows[:page.Limit]
	}
	older, newer := more, page.From != nil || page.Offset > 0
	if page.backward() {
		older, newer = true, more
	}
	var beside Pages
	switch {
	case len(rows) > 0:
		if older {
			beside.Older = &Cursor{From: at(rows[len(rows)-1]), Now: now}
		}
		if newer {
			beside.Newer = &Cursor{From: at(rows[0]), Newer: true, Now: now}
		}
	case page.From == nil || page.Offset > 0: // an offset behind the end: there is no place to begin from
	case page.backward():
		// The row itself is on the page that was left, if it is still there.
		beside.Older = &Cursor{From: page.From.newer(), Now: now}
	default:
		beside.Newer = &Cursor{From: page.From.older(), Newer: true, Now: now}
	}
	return rows, beside
}

// newer is the place next to p on the newer side, where no other can be between.
func (p Place) newer() Place {
	for i := len(p.ID) - 1; i >= 0; i-- {
		p.ID[i]++
		if p.ID[i] != 0 {
			return p
		}
	}
	p.Time = p.Time.Add(time.Microsecond)
	return p
}

// older is the place next to p on the older side.
func (p Place) older() Place {
	for i := len(p.ID) - 1; i >= 0; i-- {
		p.ID[i]--
		if p.ID[i] != 0xff {
			return p
		}
	}
	p.Time = p.Time.Add(-time.Microsecond)
	return p
}
