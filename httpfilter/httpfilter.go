// Package httpfilter puts a request's subject and action into its context, from where
// pgxfilter, sqlfilter and [rowfence.FilterFrom] take them.
//
//	mux.Handle("GET /documents", authorized(listDocuments))
//
//	authorized := httpfilter.Middleware(httpfilter.Config{Engine: engine, Subject: whoAsks})
package httpfilter

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/rowfence/rowfence"
)

// ErrUnauthenticated is what a Config's Subject returns for a request of nobody known:
// it is answered with 401.
var ErrUnauthenticated = errors.New("unauthenticated")

// Config says how requests are read.
type Config struct {
	Engine *rowfence.Engine
	// Subject says who asks. ErrUnauthenticated is answered with 401, any other error,
	// and no subject without one, with 500. A service keeps the subject with the
	// session, so that it is read and hashed once.
	Subject func(*http.Request) (*rowfence.Subject, error)
	// Action says what is asked for; ActionOf when nil.
	Action func(*http.Request) string
	// Refuse answers a request that gets no further, with 401 or 500. When it is nil the
	// answer is the status and its text: the error is not told.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, err error)
	// Log is told of errors that are answered with 500. Nil is slog.Default.
	Log *slog.Logger
}

// ActionOf is the action of a request by its method: read, create (POST), update (PUT and
// PATCH) or delete. Of any other method it is the method itself.
func ActionOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, "":
		return "read"
	case http.MethodPost:
		return "create"
	case http.MethodPut, http.MethodPatch:
		return "update"
	case http.MethodDelete:
		return "delete"
	default:
		return r.Method
	}
}

// Middleware wraps handlers whose statements need the filters of who asks. A handler
// runs only for a subject that is known.
func Middleware(c Config) func(http.Handler) http.Handler {
	if c.Action == nil {
		c.Action = ActionOf
	}
	if c.Refuse == nil {
		c.Refuse = refuse
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			subject, err := c.subject(r)
			switch {
			case errors.Is(err, ErrUnauthenticated):
				c.Refuse(w, r, http.StatusUnauthorized, err)
				return
			case err != nil:
				c.Log.ErrorContext(r.Context(), "reading the subject of a request", "error", err)
				c.Refuse(w, r, http.StatusInternalServerError, err)
				return
			}
			ctx := rowfence.NewContext(r.Context(), rowfence.Request{Engine: c.Engine, Subject: subject, Action: c.Action(r)})
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

func (c Config) subject(r *http.Request) (*rowfence.Subject, error) {
	if c.Engine == nil || c.Subject == nil {
		return nil, errors.New("the middleware has no engine, or no way to know who asks")
	}
	s, err := c.Subject(r)
	if err == nil && s == nil {
		err = errors.New("there is no subject, and no error that says why")
	}
	return s, err
}

func refuse(w http.ResponseWriter, _ *http.Request, status int, _ error) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	http.Error(w, http.StatusText(status), status)
}
