package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
	"github.com/rowfence/rowfence/internal/audit"
	"github.com/rowfence/rowfence/internal/httpapi"
	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/sqlgen"
)

// brief is a store whose budget pays for two rows that are found, those that are
// skipped among them.
type brief struct{ *postgres.DB }

func (b brief) AuditLogs(ctx context.Context, authorized sqlgen.Filter, search sqlgen.Predicate, page auditquery.Page) ([]audit.Log, *auditquery.Stop, error) {
	skip := page.Offset
	page.Limit, page.Offset = min(page.Limit+skip, 2), 0
	logs, searched, err := b.DB.AuditLogs(ctx, authorized, search, page)
	if len(logs) < 2 || err != nil {
		return logs[min(skip, len(logs)):], searched, err
	}
	end := logs[1]
	if page.Newer && page.From != nil {
		end = logs[0]
	}
	skipped := min(skip, len(logs))
	return logs[skipped:], &auditquery.Stop{Place: auditquery.Place{Time: end.Time, ID: end.ID}, Skip: skip - skipped}, nil
}

// A page that is not full because rows were looked at for long enough says so, and
// how far they were, and its cursors go on there.
func TestIncompletePages(t *testing.T) {
	a := newAPI(t)
	config := a.config
	config.Store = brief{postgres.NewDB(a.pool)}
	h := httpapi.New(config)
	type answer struct {
		paged
		Incomplete bool
		SearchedTo *time.Time `json:"searched_to"`
	}
	get := func(target string) (out answer) {
		w := request(h, http.MethodGet, target, "bob")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
		return out
	}
	first := get("/api/v2/audit?limit=10")
	require.Equal(t, []uuid.UUID{id(4), id(3)}, first.ids())
	require.True(t, first.Incomplete)
	require.Equal(t, time.Date(2026, 4, 11, 0, 0, 0, 0, time.UTC), *first.SearchedTo)
	require.Empty(t, first.Prev)
	second := get("/api/v2/audit?limit=10&cursor=" + first.Next)
	require.Equal(t, []uuid.UUID{id(2), id(1)}, second.ids())
	require.True(t, second.Incomplete)
	third := get("/api/v2/audit?limit=10&cursor=" + second.Next)
	require.Empty(t, third.ids())
	require.False(t, third.Incomplete)
	require.Nil(t, third.SearchedTo)
	require.Empty(t, third.Next)
	// And back.
	back := get("/api/v2/audit?limit=10&cursor=" + third.Prev)
	require.Equal(t, []uuid.UUID{id(2), id(1)}, back.ids())
	require.True(t, back.Incomplete)
	require.Equal(t, []uuid.UUID{id(4), id(3)}, get("/api/v2/audit?limit=10&cursor="+back.Prev).ids())
	// What is left of an offset is skipped behind its page.
	for offset, want := range [][]uuid.UUID{{id(4), id(3), id(2), id(1)}, {id(3), id(2), id(1)}, {id(2), id(1)}, {id(1)}, nil} {
		var got []uuid.UUID
		page := get("/api/v2/audit?limit=10&offset=" + strconv.Itoa(offset))
		for got = page.ids(); page.Next != ""; got = append(got, page.ids()...) {
			require.True(t, page.Incomplete)
			page = get("/api/v2/audit?limit=10&cursor=" + page.Next)
		}
		require.Equal(t, want, got, offset)
	}
	// A page that is full is not incomplete.
	full := get("/api/v2/audit?limit=2")
	require.Equal(t, []uuid.UUID{id(4), id(3)}, full.ids())
	require.False(t, full.Incomplete)
	require.NotEmpty(t, full.Next)
}
