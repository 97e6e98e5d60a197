package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/rowfence/rowfence/internal/audit"
)

// authenticated lets a request with a valid session pass.
func (s *server) authenticated(next func(http.ResponseWriter, *http.Request, audit.Subject) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		unauthorized := func(message string) error {
			w.Header().Set("WWW-Authenticate", "Bearer")
			return &apiError{Status: http.StatusUnauthorized, Message: message}
		}
		token := sessionToken(r)
		if token == "" {
			return unauthorized("A session token is needed, in the Coder-Session-Token header or as Authorization: Bearer.")
		}
		session, err := s.store.Session(r.Context(), token)
		if errors.Is(err, audit.ErrNoSession) {
			return unauthorized("The session token is not valid, or has expired.")
		}
		if err != nil {
			return fmt.Errorf("authenticating: %w", err)
		}
		return next(w, r, session.Subject)
	}
}

// sessionToken is the token in the request, "" if there is none. The header
// that is the API's own comes first.
func sessionToken(r *http.Request) string {
	if token := r.Header.Get("Coder-Session-Token"); token != "" {
		return token
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
