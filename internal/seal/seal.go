// Package seal makes changes of the logs evident: the rows of a log are sealed in
// batches, the seals are links of one chain, and a checkpoint is a signed word on
// where the chain stood.
//
//	rows ──▶ leaf: SHA-256 of each row ──▶ entry: digest of the leaves, and of the
//	                                       entry before ──▶ checkpoint: signed hash
//
// An entry covers the rows of a log that stand behind those of the entry before,
// in the order of the transactions that wrote them, up to a last one. No row can
// come to stand among them later, so a row is in one entry, exactly once; only a
// connection that was completed since is in a later one as well.
//
// An entry of kind purge says that rows older than a time may be gone.
package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Hash is a SHA-256, written in hexadecimal.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads it.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("%q is no SHA-256 in hexadecimal", text)
	}
	copy(h[:], b)
	return nil
}

// A Position is where a row stands in the order of sealing.
type Position struct {
	Transaction int64     `json:"transaction"` // number of the one that wrote the row
	Time        time.Time `json:"time"`
	ID          uuid.UUID `json:"id"`
}

// Start is before every row, whatever number its transaction is said to have.
var Start = Position{Transaction: math.MinInt64, Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)}

// Compare orders positions.
func (p Position) Compare(q Position) int {
	switch {
	case p.Transaction != q.Transaction:
		return compare(p.Transaction, q.Transaction)
	case !p.Time.Equal(q.Time):
		return p.Time.Compare(q.Time)
	default:
		return bytes.Compare(p.ID[:], q.ID[:])
	}
}

func compare(a, b int64) int {
	if a < b {
		return -1
	}
	return 1
}

// A Leaf is a row that was sealed.
type Leaf struct {
	ID   uuid.UUID
	Time time.Time // to the microsecond
	Hash Hash
}

const leafSize = 16 + 8 + sha256.Size

// Leaves are those of an entry, in the order of sealing.
type Leaves []Leaf

// Bytes is how leaves are stored, and what their digest is of.
func (l Leaves) Bytes() []byte {
	b := make([]byte, 0, len(l)*leafSize)
	for _, leaf := range l {
		b = append(b, leaf.ID[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(leaf.Time.UnixMicro()))
		b = append(b, leaf.Hash[:]...)
	}
	return b
}

// ParseLeaves reads what Bytes wrote.
func ParseLeaves(b []byte) (Leaves, error) {
	if len(b)%leafSize != 0 {
		return nil, fmt.Errorf("%d bytes of leaves of %d each", len(b), leafSize)
	}
	l := make(Leaves, 0, len(b)/leafSize)
	for chunk := range slices.Chunk(b, leafSize) {
		l = append(l, Leaf{
			ID:   uuid.UUID(chunk[:16]),
			Time: time.UnixMicro(int64(binary.BigEndian.Uint64(chunk[16:]))).UTC(),
			Hash: Hash(chunk[24:]),
		})
	}
	return l, nil
}

// A RowHasher hashes rows of a log.
type RowHasher struct {
	log     string
	columns []string
	sum     hash.Hash
	buffer  []byte
}

// NewRowHasher hashes rows of these columns.
func NewRowHasher(log string, columns []string) *RowHasher {
	return &RowHasher{log: log, columns: columns, sum: sha256.New()}
}

// Hash is that of a row: of the log's name, and of each column's name and value as
// text, or that it is NULL. Everything has its length before it, so that two rows
// that differ are never hashed alike.
func (h *RowHasher) Hash(values [][]byte) Hash {
	b := append(h.buffer[:0], "rowfence row 1\n"...)
	b = appendSized(b, []byte(h.log))
	for i, name := range h.columns {
		b = appendSized(b, []byte(name))
		if values[i] == nil {
			b = append(b, 0)
			continue
		}
		b = appendSized(append(b, 1), values[i])
	}
	h.buffer = b
	h.sum.Reset()
	h.sum.Write(b)
	return Hash(h.sum.Sum(nil))
}

func appendSized(b, value []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(value))), value...)
}

// Kinds of entries.
const (
	KindRows  = "rows"
	KindPurge = "purge"
)

// An Entry is a link of the chain.
type Entry struct {
	N        int64     `json:"n"` // 1, 2, 3, …
	Previous Hash      `json:"previous"`
	Kind     string    `json:"kind"`
	Log      string    `json:"log"`
	SealedAt time.Time `json:"sealed_at"`
	Rows     int64     `json:"rows"` // sealed, or deleted

	// Of rows: what was hashed, the last row's position, and the digest of the
	// leaves.
	Columns []string  `json:"columns,omitempty"`
	Last    *Position `json:"last,omitempty"`
	Leaves  *Hash     `json:"leaves,omitempty"`
	// The latest time of a row. Once all of them may be gone, so may the leaves.
	Newest *time.Time `json:"newest,omitempty"`

	// Of a purge: rows older than this may be gone. Partition is the one that was
	// dropped, "" where rows were deleted one by one.
	Before    *time.Time `json:"before,omitempty"`
	Partition string     `json:"partition,omitempty"`
}

// A Link is an entry as it is stored: its text, of which the hash is.
type Link struct {
	N    int64
	Text string
	Hash Hash
}

// Link writes the entry behind a previous link, the zero Link if it is the first.
func (e Entry) Link(previous Link) (Link, error) {
	e.N, e.Previous = previous.N+1, previous.Hash
	text, err := json.Marshal(e)
	if err != nil {
		return Link{}, fmt.Errorf("writing a seal: %w", err)
	}
	return Link{e.N, string(text), hashOf(string(text))}, nil
}

func hashOf(text string) Hash { return sha256.Sum256([]byte("rowfence seal 1\n" + text)) }

// ReadEntry reads the text of an entry, of which nothing is checked.
func ReadEntry(text string) (e Entry, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return e, fmt.Errorf("reading a seal: %w", err)
	}
	return e, nil
}

// Entry reads the link, which is to stand behind a previous one.
func (l Link) Entry(previous Link) (Entry, error) {
	if hashOf(l.Text) != l.Hash {
		return Entry{}, errors.New("its text is not that of its hash")
	}
	e, err := ReadEntry(l.Text)
	if err != nil {
		return e, err
	}
	switch {
	case e.N != l.N:
		return e, fmt.Errorf("it says that it is seal %d", e.N)
	case e.Previous != previous.Hash:
		return e, fmt.Errorf("it does not follow seal %d as that is now", previous.N)
	case e.Kind == KindRows && e.Last != nil && e.Leaves != nil && e.Newest != nil, e.Kind == KindPurge && e.Before != nil:
		return e, nil
	default:
		return e, fmt.Errorf("it is of no known kind: %q", e.Kind)
	}
}

// Digest is the hash of stored leaves.
func Digest(leaves []byte) Hash { return sha256.Sum256(leaves) }
