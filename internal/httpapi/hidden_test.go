package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
)

// Where an incomplete page ends tells nothing of rows that the caller may not see.
func TestIncompletePagesNameNoHiddenRow(t *testing.T) {
	a := newAPI(t)
	a.exec(t, "INSERT INTO users (id, username) VALUES ($1, 'twice')", id(9))
	a.exec(t, "INSERT INTO organization_members (organization_id, user_id, roles) VALUES ($1, $3, '{organization-auditor}'), ($2, $3, '{organization-auditor}')", orgA, orgB, id(9))
	a.exec(t, "INSERT INTO sessions (token_hash, user_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')", audit.TokenHash("twice"), id(9))
	hidden := uuid.MustParse("11111111-2222-3333-4444-555555555555")
	// The 20,001st row of the log is of an organization that the caller is not in.
	a.exec(t, `INSERT INTO audit_logs (id, time, organization_id, resource_type, resource_target, action, status_code)
		SELECT CASE WHEN i = 20001 THEN $3 ELSE gen_random_uuid() END, '2026-05-01Z'::timestamptz - i * interval '1 minute', CASE WHEN i = 20001 THEN $2::uuid ELSE $1::uuid END, 'user', '', 'create', 200
		FROM generate_series(1, 20100) AS i`, orgA, uuid.UUID{7}, hidden)
	var out struct {
		Logs       []any      `json:"audit_logs"`
		SearchedTo *time.Time `json:"searched_to"`
		Next       string     `json:"next_cursor"`
	}
	w := request(a, http.MethodGet, "/api/v2/audit?q=status_code:201", "twice")
	require.Equal(t, http.StatusOK, w.Code)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	cursor, err := base64.RawURLEncoding.DecodeString(out.Next)
	require.NoError(t, err)
	place := uuid.UUID(cursor[18:34])
	place[15]-- // the place is the next one on the newer side
	var at time.Time
	require.NoError(t, a.pool.QueryRow(t.Context(), "SELECT time FROM audit_logs WHERE id = $1", hidden).Scan(&at))
	require.NotEqual(t, hidden, place, "the cursor has the id of a row of another organization")
	require.NotEqual(t, at.UTC(), out.SearchedTo.UTC(), "and searched_to its time")
}
