package auditquery_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/auditquery"
)

// quoted writes any text so that it is one part of an element.
func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// TestStringIsTheSearch writes random searches, of values with quotes, colons and
// spaces in them, and holds the text of each against the search.
func TestStringIsTheSearch(t *testing.T) {
	texts := rapid.StringMatching(`[a-zé"%_\\: -]{0,12}`)
	name := rapid.Map(texts, quoted)
	id := rapid.SampledFrom([]string{uuid1, uuid2, strings.ToUpper(uuid1)})
	date := rapid.SampledFrom([]string{"2026-04-09", `"2026-04-09T01:02:03.456789+02:00"`, `"0001-01-01T00:00:00Z"`, "9999-12-31"})
	moment := rapid.SampledFrom([]string{`"2026-04-09T01:02:03.456789+02:00"`, `"0001-01-01T00:00:00Z"`})
	number := rapid.SampledFrom([]string{"0", ">=400", "<-1", "=7", "<=2147483647", ">+5"})
	network := rapid.SampledFrom([]string{"10.1.2.3", "10.1.2.3/9", `"::1"`, `"fe80::/10"`})
	since := rapid.SampledFrom([]string{"1h", "90m", "2w", "7d", "1h1m1s", "1ns"})
	for log, of := range map[string]struct {
		parse func(string) (auditquery.Search, error)
		keys  map[string]*rapid.Generator[string]
	}{
		"audit": {auditquery.ParseAudit, map[string]*rapid.Generator[string]{
			"organization": rapid.OneOf(name, id), "username": name, "email": name, "resource_id": id, "request_id": id,
			"resource_type": rapid.SampledFrom(auditquery.ResourceTypes), "resource_target": name, "action": rapid.SampledFrom(auditquery.Actions),
			"build_reason": rapid.SampledFrom(auditquery.BuildReasons), "status_code": number, "ip": network,
			"date_from": date, "date_to": date, "since": since,
		}},
		"connections": {auditquery.ParseConnections, map[string]*rapid.Generator[string]{
			"organization": rapid.OneOf(name, id), "workspace_owner": name, "workspace_owner_email": name, "username": name, "user_email": name,
			"workspace_id": id, "connection_id": id, "type": rapid.SampledFrom(auditquery.ConnectionTypes), "status": rapid.SampledFrom(auditquery.Statuses),
			"status_code": number, "exit_code": number, "ip": network, "connected_after": moment, "connected_before": moment, "since": since,
		}},
	} {
		names := slices.Sorted(maps.Keys(of.keys))
		element := rapid.Custom(func(t *rapid.T) string {
			minus := rapid.SampledFrom([]string{"", "-"}).Draw(t, "minus")
			if rapid.IntRange(0, 3).Draw(t, "word") == 0 {
				return minus + quoted("web"+texts.Draw(t, "text"))
			}
			key := rapid.SampledFrom(names).Draw(t, "key")
			return minus + key + ":" + of.keys[key].Draw(t, "value")
		})
		t.Run(log, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				q := strings.Join(rapid.SliceOfN(element, 0, 8).Draw(t, "elements"), " ")
				s, err := of.parse(q)
				require.NoError(t, err, "%s", q)
				again, err := of.parse(s.String())
				require.NoError(t, err, "%s", s)
				require.Equal(t, s, again)
				require.Equal(t, s.String(), again.String())
				require.Equal(t, s.Predicate(resolved), again.Predicate(resolved))
			})
		})
	}
}
