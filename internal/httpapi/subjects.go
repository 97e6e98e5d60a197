package httpapi

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"

	"github.com/maypok86/otter/v2"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/internal/audit"
)

// subjects are those who asked of late, as the engine knows them: to read one with a
// thousand organizations takes longer than the rest of a request. Each is kept by all
// that it is, so that one whose roles have changed is another.
type subjects struct {
	kept *otter.Cache[[sha256.Size]byte, keptSubject]
}

type keptSubject struct {
	subject *rowfence.Subject
	text    int // bytes of it as the policy sees it
}

// Bytes: how much is kept, and about how many an engine's subject takes for one of its
// text.
const (
	keptSubjects   = 64 << 20
	subjectPerText = 12
)

func newSubjects() *subjects {
	return &subjects{otter.Must(&otter.Options[[sha256.Size]byte, keptSubject]{
		MaximumWeight: keptSubjects,
		Weigher: func(_ [sha256.Size]byte, k keptSubject) uint32 {
			return uint32(min(subjectPerText*k.text, math.MaxUint32))
		},
	})}
}

// of is the subject as the engine knows it.
func (s *subjects) of(subject audit.Subject) (*rowfence.Subject, error) {
	text, err := json.Marshal(subject)
	if err != nil {
		return nil, fmt.Errorf("reading the subject: %w", err)
	}
	key := sha256.Sum256(text)
	if have, ok := s.kept.GetIfPresent(key); ok {
		return have.subject, nil
	}
	// The policy sees the permissions of a role once for each organization: how large
	// that is can't be told of the key.
	document, err := json.Marshal(subject.Document())
	if err != nil {
		return nil, fmt.Errorf("reading the subject: %w", err)
	}
	made, err := rowfence.NewSubject(json.RawMessage(document))
	if err == nil {
		s.kept.Set(key, keptSubject{made, len(document)})
	}
	return made, err
}
