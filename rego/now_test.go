package rego_test

import (
	"context"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/rego"
)

func TestAt(t *testing.T) {
	ctx := context.Background()
	policy, err := rego.Load(ctx, rego.Module("p.rego", "package authz\n\nallow if time.now_ns() == 1000000000"))
	require.NoError(t, err)
	query, err := policy.Prepare(ctx, "data.authz.allow")
	require.NoError(t, err)
	then := query.At(time.Unix(1, 0))
	for _, c := range []struct {
		query *rego.Query
		want  bool
	}{{then, true}, {then.At(time.Unix(2, 0)), false}, {query, false}} {
		allowed, err := c.query.Eval(ctx, ast.NewObject())
		require.NoError(t, err)
		require.Equal(t, c.want, allowed)
	}
	require.Equal(t, time.Unix(1, 0), then.Now())
	require.WithinDuration(t, time.Now(), query.Now(), time.Minute)
}
