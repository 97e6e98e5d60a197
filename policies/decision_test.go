package policies_test

import (
	"context"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rowfence/rowfence/policies"
)

// Few names, so that they meet.
var (
	someAction     = rapid.SampledFrom([]string{"read", "read", "update"})
	someType       = rapid.SampledFrom([]string{"audit_log", "document"})
	someOrg        = rapid.SampledFrom([]string{"", "A", "B", "C"})
	someOwner      = rapid.SampledFrom([]string{"", "me", "other"})
	someID         = rapid.SampledFrom([]string{"", "1", "2", "3"})
	somePermission = rapid.Custom(func(t *rapid.T) permission {
		return permission{
			Negate:       rapid.IntRange(0, 5).Draw(t, "negate") == 5,
			ResourceType: rapid.SampledFrom([]string{"audit_log", "document", "*"}).Draw(t, "type"),
			Action:       rapid.SampledFrom([]string{"read", "read", "update", "*"}).Draw(t, "action"),
		}
	})
	somePermissions = rapid.SliceOfN(somePermission, 0, 3)
	someRole        = rapid.Custom(func(t *rapid.T) role {
		r := role{
			User: somePermissions.Draw(t, "user"),
			ByOrgID: rapid.MapOfN(someOrg, rapid.Custom(func(t *rapid.T) orgPermissions {
				return orgPermissions{Org: somePermissions.Draw(t, "org"), Member: somePermissions.Draw(t, "member")}
			}), 1, 3).Draw(t, "by_org_id"),
		}
		// A vote of the site hides all others: let most roles abstain.
		if rapid.IntRange(0, 3).Draw(t, "has site") == 3 {
			r.Site = somePermissions.Draw(t, "site")
		}
		return r
	})
	someListed = rapid.Custom(func(t *rapid.T) listed {
		return listed{
			Type: rapid.SampledFrom([]string{"audit_log", "document", "*"}).Draw(t, "type"),
			ID:   rapid.SampledFrom([]string{"", "1", "2", "*"}).Draw(t, "id"),
		}
	})
	someSubject = rapid.Custom(func(t *rapid.T) subject {
		s := subject{
			ID:     rapid.SampledFrom([]string{"me", "me", "other", ""}).Draw(t, "id"),
			Roles:  rapid.SliceOfN(someRole, 1, 4).Draw(t, "roles"),
			Groups: rapid.SliceOfN(rapid.SampledFrom([]string{"g1", "g2", "A"}), 0, 2).Draw(t, "groups"),
			Scope:  unlimited(),
		}
		// A token that allows little hides what the roles say, too.
		if rapid.IntRange(0, 3).Draw(t, "limited votes") == 3 {
			s.Scope.role = someRole.Draw(t, "scope")
		}
		if rapid.IntRange(0, 3).Draw(t, "limited list") == 3 {
			s.Scope.AllowList = rapid.SliceOfN(someListed, 0, 3).Draw(t, "allow_list")
		}
		return s
	})
	someACL = rapid.MapOfN(
		rapid.SampledFrom([]string{"me", "other", "g1", "g2", "A", "B", "*"}),
		rapid.SliceOfN(rapid.SampledFrom([]string{"read", "update", "*"}), 0, 2), 0, 2,
	)
)

func someObject(typ string) *rapid.Generator[object] {
	return rapid.Custom(func(t *rapid.T) object {
		return object{
			Type:         typ,
			ID:           someID.Draw(t, "id"),
			Owner:        someOwner.Draw(t, "owner"),
			OrgOwner:     someOrg.Draw(t, "org_owner"),
			ACLUserList:  someACL.Draw(t, "acl_user_list"),
			ACLGroupList: someACL.Draw(t, "acl_group_list"),
		}
	})
}

func unlimited() scope {
	all := []permission{{ResourceType: "*", Action: "*"}}
	return scope{role: role{Site: all}, AllowList: []listed{{Type: "*", ID: "*"}}}
}

// TestDecisions holds the policy, and what partial evaluation leaves of it,
// against the rules in Go.
func TestDecisions(t *testing.T) {
	ctx := context.Background()
	module := rego.Module("authz.rego", source(t))
	full, err := rego.New(rego.Query(policies.Entrypoint), module).PrepareForEval(ctx)
	require.NoError(t, err)
	unknowns := []string{
		"input.object.id", "input.object.owner", "input.object.org_owner",
		"input.object.acl_user_list", "input.object.acl_group_list",
	}
	partial, err := rego.New(
		rego.Query(policies.Entrypoint), module, rego.Unknowns(unknowns), rego.ShallowInlining(true),
	).PrepareForPartial(ctx)
	require.NoError(t, err)

	decided := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		r := request{Action: someAction.Draw(t, "action"), Subject: someSubject.Draw(t, "subject")}
		typ := someType.Draw(t, "type")

		known := map[string]any{"action": r.Action, "subject": r.Subject, "object": map[string]any{"type": typ}}
		left, err := partial.Partial(ctx, rego.EvalInput(known))
		require.NoError(t, err)
		residual := prepareResidual(ctx, t, left)

		for _, r.Object = range rapid.SliceOfN(someObject(typ), 40, 40).Draw(t, "objects") {
			want := r.allowed()
			decided[want]++

			results, err := full.Eval(ctx, rego.EvalInput(r))
			require.NoError(t, err)
			require.Equal(t, want, results.Allowed(), "policy: %+v", r)
			require.Equal(t, want, len(results) > 0, "a denial is undefined, not false")

			require.Equal(t, want, residual(r), "residual: %+v\n%v", r, left)
		}
	})
	t.Logf("%d allowed, %d denied", decided[true], decided[false])
	require.Greater(t, decided[true], decided[false]/20, "too few requests are allowed to mean much")
}

// prepareResidual makes the residual's queries into a decision.
func prepareResidual(ctx context.Context, t *rapid.T, left *rego.PartialQueries) func(request) bool {
	var queries []rego.PreparedEvalQuery
	for _, query := range left.Queries {
		options := []func(*rego.Rego){rego.ParsedQuery(query)}
		for _, module := range left.Support {
			options = append(options, rego.ParsedModule(module.Copy()))
		}
		prepared, err := rego.New(options...).PrepareForEval(ctx)
		require.NoError(t, err)
		queries = append(queries, prepared)
	}
	return func(r request) bool {
		for _, query := range queries {
			results, err := query.Eval(ctx, rego.EvalInput(r))
			require.NoError(t, err)
			if len(results) > 0 {
				return true
			}
		}
		return false
	}
}
