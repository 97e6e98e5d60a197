package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A kind that a service registers while the server runs can be searched by, alone or
// behind its key, and is suggested for a near miss.
func TestSearchByRegisteredKinds(t *testing.T) {
	a := newAPI(t)
	const missed = "/api/v2/audit?q=resource_type:invoise"
	require.NotContains(t, request(a, http.MethodGet, missed, "bob").Body.String(), "did you mean")
	a.exec(t, "INSERT INTO resource_kinds (name, display_name) VALUES ('invoice', 'invoice')")
	a.exec(t, `INSERT INTO audit_logs (id, time, organization_id, resource_type, resource_target, action, status_code)
		VALUES ($1, '2026-04-13Z', $2, 'invoice', 'n 1', 'create', 200)`, id(9), orgA)
	require.Eventually(t, func() bool {
		return request(a, http.MethodGet, "/api/v2/audit?q=resource_type:invoice", "bob").Code == http.StatusOK
	}, 5*time.Second, 10*time.Millisecond)
	for _, q := range []string{"resource_type:invoice", "resource_type:INVOICE", "invoice", "-resource_type:user+invoice"} {
		require.Equal(t, []byte{9}, a.list(t, "bob", "q="+q).ids(), q)
	}
	require.Equal(t, []byte{}, a.list(t, "bob", "q=%22invoice%22").ids()) // a text, which no target has
	require.Equal(t, []byte{1}, a.list(t, "bob", "q=template").ids())     // a built-in one
	w := request(a, http.MethodGet, missed, "bob")
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, refused(t, w).Validations[0].Detail, `did you mean "invoice"?`)
	for _, route := range []string{"/api/v2/audit/export?format=csv&q=resource_type:invoice", "/api/v2/audit/export?format=csv&q=invoice"} {
		w := request(a, http.MethodGet, route, "bob")
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), `"n 1"`)
	}
}
