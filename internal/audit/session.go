package audit

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrNoSession says that a token belongs to no session that may be used: it is
// unknown, expired, or its user is suspended. Which of these is not told.
var ErrNoSession = errors.New("no such session")

// Session is what a valid token stands for.
type Session struct {
	ID        uuid.UUID
	ExpiresAt time.Time
	Subject   Subject
}

// TokenHash is what is kept of a session's token. Tokens are random and long, so
// a plain hash can't be searched.
func TokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
