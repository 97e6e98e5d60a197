package oracle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/conformance"
	"github.com/rowfence/rowfence/rego"
	"github.com/rowfence/rowfence/sqlgen"
)

// TestConformanceSchema holds the schema beside the conformance files to the one that
// they run with. Readers need it, and so does the module peer.
func TestConformanceSchema(t *testing.T) {
	path := filepath.Join(conformanceDir, conformance.SchemaFile)
	text := "# How the rows of the conformance files look to a policy, where NULL is null.\n" + schemaText(conventions[0])
	if *update {
		require.Empty(t, os.Getenv("CI"), "conformance files are not rewritten in CI")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(have), "make support rewrites it")
}

// TestPeer holds the SQL that OPA's own SQL target makes of each construct (the module
// peer writes it into the conformance files) against full evaluation, as TestConformance
// holds ours. What differs is no failure: the verdict is to be the one in the file.
func TestPeer(t *testing.T) {
	f := newFixture(t)
	eachConstruct(t, func(t *testing.T, c conformance.File) {
		if c.OPA.SQL == "" {
			return
		}
		judged := c.OPA
		judged.Verdicts = map[string]string{}
		for _, convention := range conventions {
			judged.Verdicts[convention] = f.judge(t, c, convention)
		}
		if judged.Text() == c.OPA.Text() {
			return
		}
		if *update {
			require.NoError(t, c.Rewrite("opa", judged.Text()))
			return
		}
		t.Errorf("OPA's SQL target is now\n%swas\n%s(make support rewrites it)", judged.Text(), c.OPA.Text())
	})
}

// judge is the verdict on OPA's SQL for a construct under a convention.
func (f *fixture) judge(t *testing.T, c conformance.File, convention string) string {
	ctx := context.Background()
	var sources []rego.Source
	for name, text := range c.Policy() {
		sources = append(sources, rego.Module(name, text))
	}
	policy, err := rego.Load(ctx, append(sources, rego.Data(c.Data))...)
	if err != nil {
		return conformance.PeerUnjudged(err.Error())
	}
	query, err := policy.Prepare(ctx, "data.authz.allow")
	if err != nil {
		return conformance.PeerUnjudged(err.Error())
	}
	of := Case{Query: query, Resource: f.resources[convention], Input: c.Input, Key: "row_id"}
	rows := f.rows[convention]
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.Key
	}
	selected, err := of.selected(ctx, f.db, peerCondition(c.OPA.SQL), keys, nil)
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return conformance.PeerFails(refused.Message)
	}
	require.NoError(t, err)
	report, err := of.compare(ctx, sqlgen.Never(), rows, func(i int) bool { return selected[rows[i].Key] })
	require.NoError(t, err)
	if report.Exact() {
		return conformance.PeerExact
	}
	return conformance.PeerWrong(len(report.Leaked), len(report.Lost))
}

// peerCondition is the condition in a WHERE clause of OPA's.
func peerCondition(sql string) string {
	switch sql {
	case conformance.PeerAll:
		return "TRUE"
	case conformance.PeerNone:
		return "FALSE"
	default:
		return strings.TrimPrefix(sql, "WHERE ")
	}
}
