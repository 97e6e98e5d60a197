package httpfilter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/httpfilter"
)

func engine() *rowfence.Engine {
	e, err := rowfence.New(context.Background(), rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\n\nallow if {\n\tinput.action in {\"read\", \"update\"}\n\tinput.object.owner == input.subject\n}")}},
		Schema:   []byte("params: {input.subject: text}\nresources: {document: {table: documents, fields: {owner: {column: owner, type: text}}}}"),
	})
	if err != nil {
		panic(err)
	}
	return e
}

func byUser(r *http.Request) (*rowfence.Subject, error) {
	user := r.Header.Get("X-User")
	switch user {
	case "":
		return nil, httpfilter.ErrUnauthenticated
	case "nobody":
		return nil, nil
	case "broken":
		return nil, errors.New("the session store holds a secret")
	}
	return rowfence.NewSubject(user)
}

func filterOf(w http.ResponseWriter, r *http.Request) {
	f, err := rowfence.FilterFrom(r.Context(), "document")
	fmt.Fprint(w, f.Inline(), err)
}

func TestMiddleware(t *testing.T) {
	handler := httpfilter.Middleware(httpfilter.Config{Engine: engine(), Subject: byUser, Log: slog.New(slog.DiscardHandler)})(http.HandlerFunc(filterOf))
	ask := func(handler http.Handler, method, user string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", nil)
		if user != "" {
			r.Header.Set("X-User", user)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		method, user string
		status       int
		want         string
	}{
		{"GET", "ann", 200, "owner = 'ann'<nil>"},
		{"HEAD", "ann", 200, "owner = 'ann'<nil>"},
		{"PATCH", "bob", 200, "owner = 'bob'<nil>"},
		{"PUT", "bob", 200, "owner = 'bob'<nil>"},
		{"POST", "bob", 200, "FALSE<nil>"},
		{"DELETE", "bob", 200, "FALSE<nil>"},
		{"OPTIONS", "bob", 200, "FALSE<nil>"},
		{"GET", "", 401, "Unauthorized\n"},
		{"GET", "nobody", 500, "Internal Server Error\n"},
		{"GET", "broken", 500, "Internal Server Error\n"},
	} {
		w := ask(handler, c.method, c.user)
		require.Equal(t, c.status, w.Code, c)
		require.Equal(t, c.want, w.Body.String(), c)
	}
	require.NotEmpty(t, ask(handler, "GET", "").Header().Get("WWW-Authenticate"))
	require.Equal(t, 500, ask(httpfilter.Middleware(httpfilter.Config{Log: slog.New(slog.DiscardHandler)})(handler), "GET", "ann").Code)

	teapot := httpfilter.Middleware(httpfilter.Config{
		Engine: engine(), Subject: byUser, Action: func(*http.Request) string { return "read" },
		Refuse: func(w http.ResponseWriter, _ *http.Request, status int, err error) { w.WriteHeader(status + 17) },
	})(http.HandlerFunc(filterOf))
	require.Equal(t, 418, ask(teapot, "GET", "").Code)
	require.Equal(t, "owner = 'ann'<nil>", ask(teapot, "POST", "ann").Body.String())

	// without the middleware there is nothing
	w := httptest.NewRecorder()
	filterOf(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, "FALSE"+rowfence.ErrNoRequest.Error(), w.Body.String())
}

func ExampleMiddleware() {
	authorized := httpfilter.Middleware(httpfilter.Config{Engine: engine(), Subject: byUser})
	mux := http.NewServeMux()
	mux.Handle("GET /documents", authorized(http.HandlerFunc(filterOf)))

	r := httptest.NewRequest("GET", "/documents", nil)
	r.Header.Set("X-User", "ann")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 owner = 'ann'<nil>
}
