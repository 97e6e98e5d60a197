package rowfence

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/rowfence/rowfence/rego"
)

// Subject is who asks, as the policy sees it: a JSON value, read and hashed once. Make
// one for a session or a request, and ask with it as often as need be. It is immutable,
// and safe for concurrent use.
type Subject struct {
	id    [sha256.Size]byte
	value ast.Value
}

// NewSubject reads a subject: anything that marshals to JSON. Two subjects of the same
// JSON text share what an engine keeps.
func NewSubject(v any) (*Subject, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("reading the subject: %w", err)
	}
	s := &Subject{id: sha256.Sum256(text)}
	if s.value, err = ast.ValueFromReader(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("reading the subject: %w", err)
	}
	rego.Share(s.value)
	return s, nil
}
