package httpapi

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/auditquery"
)

func FuzzParseSearch(f *testing.F) {
	cursors, err := auditquery.NewCursors(bytes.Repeat([]byte("k"), 32))
	require.NoError(f, err)
	for _, s := range []string{"", "limit=1&offset=2", "limit=+1", "limit=-0", "limit=1_0", "q=%00&limit=%ff", "offset=99999999999999999999", "limit=0x1", "q=a;b", "q=action:login", "count=none", "count=exact&cursor=x",
		"cursor=" + cursors.Encode(auditquery.Scope{Log: auditquery.AuditLogs(), Caller: "ann"}, auditquery.Cursor{})} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rawQuery string) {
		scope := auditquery.Scope{Log: auditquery.AuditLogs(), Caller: "ann"}
		query, err := parseSearch(rawQuery, "bad", auditquery.ParseAudit, cursors, scope)
		var api *apiError
		if err != nil {
			require.True(t, errors.As(err, &api), "a query is refused, it does not fail: %v", err)
			require.Equal(t, 400, api.Status)
			return
		}
		require.True(t, 1 <= query.page.Limit && query.page.Limit <= maxLimit)
		require.True(t, 0 <= query.page.Offset && query.page.Offset <= maxOffset)
		require.False(t, strings.Contains(rawQuery, "%00"))
		require.Contains(t, []count{countCapped, countNone, countExact}, query.count)
		require.True(t, query.page.From == nil || query.page.Offset == 0)
	})
}
