package rowfenceprom_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/rowfenceprom"
)

func TestMetrics(t *testing.T) {
	metrics := rowfenceprom.New()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	e, err := rowfence.New(context.Background(), rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\n\nallow if input.object.owner == input.subject")}},
		Schema:   []byte("params: {input.subject: text}\nresources: {document: {table: documents, fields: {owner: {column: owner, type: text}}}}"),
		Metrics:  metrics,
	})
	require.NoError(t, err)
	for _, who := range []any{"a", "b", "a", 7} {
		s, err := rowfence.NewSubject(who)
		require.NoError(t, err)
		_, err = e.Filter(t.Context(), s, "read", "document")
		require.Equal(t, who == 7, err != nil)
	}
	s, err := rowfence.NewSubject("a")
	require.NoError(t, err)
	_, err = e.Allow(t.Context(), s, "read", rowfence.Object{Resource: "document", Document: map[string]any{"owner": "a"}})
	require.NoError(t, err)
	require.NoError(t, e.Reload(t.Context()))

	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP rowfence_decisions_total Objects on which the policy was evaluated.
# TYPE rowfence_decisions_total counter
rowfence_decisions_total{resource="document",result="ok"} 1
# HELP rowfence_filters_total Filters that were asked for.
# TYPE rowfence_filters_total counter
rowfence_filters_total{from="cache",resource="document",result="ok"} 1
rowfence_filters_total{from="template",resource="document",result="error"} 1
rowfence_filters_total{from="template",resource="document",result="ok"} 2
# HELP rowfence_reloads_total Reloads of the policies.
# TYPE rowfence_reloads_total counter
rowfence_reloads_total{result="ok"} 1
`), "rowfence_decisions_total", "rowfence_filters_total", "rowfence_reloads_total"))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func Example() {
	metrics := rowfenceprom.New()
	prometheus.MustRegister(metrics)
	_, err := rowfence.New(context.Background(), rowfence.Config{
		Policies: fstest.MapFS{"authz.rego": {Data: []byte("package authz\n\nallow if input.object.owner == input.subject")}},
		Schema:   []byte("params: {input.subject: text}\nresources: {document: {table: documents, fields: {owner: {column: owner, type: text}}}}"),
		Metrics:  metrics,
	})
	if err != nil {
		panic(err)
	}
	// Output:
}
