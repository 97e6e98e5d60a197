package policies_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/uuid"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/policies"
)

const me = "11111111-1111-4111-8111-111111111111"

// orgs returns n organization ids, in ascending order.
func orgs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = uuid.UUID{6: 0x40, 8: 0x80, 14: byte(i >> 8), 15: byte(i)}.String()
	}
	return ids
}

func grant(resourceType string) []permission {
	return []permission{{ResourceType: resourceType, Action: "read"}}
}

func auditor(of []string) role {
	r := role{ByOrgID: map[string]orgPermissions{}}
	for _, org := range of {
		r.ByOrgID[org] = orgPermissions{Org: grant("audit_log")}
	}
	return r
}

func plainMember(of []string) role {
	r := role{ByOrgID: map[string]orgPermissions{}}
	for _, org := range of {
		r.ByOrgID[org] = orgPermissions{Member: grant("document")}
	}
	return r
}

func limitedTo(resourceType string, ids ...string) scope {
	s := unlimited()
	s.AllowList = nil
	for _, id := range ids {
		s.AllowList = append(s.AllowList, listed{Type: resourceType, ID: id})
	}
	return s
}

// row reads from the schema what is known of a resource's rows, and the paths
// that are not.
func row(tb testing.TB, resource string) (known map[string]any, unknowns []string) {
	tb.Helper()
	var schema struct {
		Resources map[string]struct {
			Root   string
			Fields map[string]struct {
				Column string
				Const  any
			}
		}
	}
	require.NoError(tb, yaml.Unmarshal(policies.Schema(), &schema))
	require.Contains(tb, schema.Resources, resource)

	known = map[string]any{}
	for path, field := range schema.Resources[resource].Fields {
		if field.Column == "" {
			known[path] = field.Const
		} else {
			unknowns = append(unknowns, schema.Resources[resource].Root+"."+path)
		}
	}
	return known, unknowns
}

func preparePartial(tb testing.TB, resource string) (rego.PreparedPartialQuery, map[string]any) {
	tb.Helper()
	known, unknowns := row(tb, resource)
	prepared, err := rego.New(
		rego.Query(policies.Entrypoint),
		rego.Module("authz.rego", source(tb)),
		rego.Unknowns(unknowns),
		rego.ShallowInlining(true),
	).PrepareForPartial(context.Background())
	require.NoError(tb, err)
	return prepared, known
}

func partialInput(tb testing.TB, s subject, known map[string]any) ast.Value {
	tb.Helper()
	input, err := ast.InterfaceToValue(map[string]any{"action": "read", "subject": s, "object": known})
	require.NoError(tb, err)
	return input
}

// members is a membership test as conditions writes it.
func members(path string, ids ...string) string {
	return fmt.Sprintf(`%s in {"%s"}`, path, strings.Join(ids, `", "`))
}

func TestResidual(t *testing.T) {
	two, thousand := orgs(2), orgs(1000)
	tests := []struct {
		name     string
		resource string
		subject  subject
		want     []string // disjuncts
	}{
		{
			name:     "site auditor",
			resource: "audit_log",
			subject:  subject{Roles: []role{{Site: grant("audit_log")}}, Scope: unlimited()},
			want:     []string{"true"},
		},
		{
			name:     "auditor of two organizations",
			resource: "audit_log",
			subject:  subject{Roles: []role{auditor(two)}, Scope: unlimited()},
			want:     []string{members("input.object.org_owner", two...)},
		},
		{
			name:     "auditor of two organizations by two roles, in groups",
			resource: "audit_log",
			subject: subject{
				Roles:  []role{auditor(two[:1]), plainMember(two), auditor(two[1:])},
				Groups: []string{"g1", "g2"},
				Scope:  unlimited(),
			},
			want: []string{members("input.object.org_owner", two...)},
		},
		{
			name:     "auditor of 1,000 organizations",
			resource: "audit_log",
			subject:  subject{Roles: []role{auditor(thousand)}, Scope: unlimited()},
			want:     []string{members("input.object.org_owner", thousand...)},
		},
		{
			name:     "auditor on another resource",
			resource: "connection_log",
			subject:  subject{Roles: []role{auditor(two)}, Scope: unlimited()},
		},
		{
			name:     "plain member",
			resource: "audit_log",
			subject:  subject{Roles: []role{plainMember(two)}, Scope: unlimited()},
		},
		{
			name:     "plain member without roles",
			resource: "audit_log",
			subject:  subject{Scope: unlimited()},
		},
		{
			name:     "site auditor with a token limited to two ids",
			resource: "audit_log",
			subject:  subject{Roles: []role{{Site: grant("audit_log")}}, Scope: limitedTo("audit_log", "1", "2")},
			want:     []string{members("input.object.id", "1", "2")},
		},
		{
			name:     "site auditor with an empty token",
			resource: "audit_log",
			subject:  subject{Roles: []role{{Site: grant("audit_log")}}, Scope: limitedTo("audit_log")},
		},
		{
			name:     "auditor with a token limited to an organization",
			resource: "audit_log",
			subject: subject{
				Roles: []role{auditor(two)},
				Scope: scope{role: auditor(two[1:]), AllowList: unlimited().AllowList},
			},
			want: []string{
				members("input.object.org_owner", two...) + " and " + members("input.object.org_owner", two[1]),
			},
		},
		{
			name:     "member in a group, on documents",
			resource: "document",
			subject:  subject{Roles: []role{plainMember(two)}, Groups: []string{"g1"}, Scope: unlimited()},
			want: []string{
				`"` + me + `" = input.object.owner and ` + members("input.object.org_owner", two...),
				`"*" in input.object.acl_group_list.g1 and ` + members("input.object.org_owner", two...),
				`"*" in input.object.acl_group_list[input.object.org_owner] and ` + members("input.object.org_owner", two...),
				`"*" in input.object.acl_user_list["` + me + `"] and ` + members("input.object.org_owner", two...),
				`"read" in input.object.acl_group_list.g1 and ` + members("input.object.org_owner", two...),
				`"read" in input.object.acl_group_list[input.object.org_owner] and ` + members("input.object.org_owner", two...),
				`"read" in input.object.acl_user_list["` + me + `"] and ` + members("input.object.org_owner", two...),
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			prepared, known := preparePartial(t, tt.resource)
			tt.subject.ID = me
			left, err := prepared.Partial(t.Context(), rego.EvalParsedInput(partialInput(t, tt.subject, known)))
			require.NoError(t, err)

			slices.Sort(tt.want)
			require.Equal(t, tt.want, conditions(t, left), "%v", left)
		})
	}
}

// Not even a rule that nothing refers to is left for who may see nothing.
func TestResidualOfPlainMemberIsEmpty(t *testing.T) {
	prepared, known := preparePartial(t, "audit_log")
	for name, roles := range map[string][]role{"no roles": nil, "member": {plainMember(orgs(2))}} {
		t.Run(name, func(t *testing.T) {
			s := subject{ID: me, Roles: roles, Groups: []string{"g1"}, Scope: unlimited()}
			left, err := prepared.Partial(t.Context(), rego.EvalParsedInput(partialInput(t, s, known)))
			require.NoError(t, err)
			require.Empty(t, left.Queries)
			require.Empty(t, left.Support)
		})
	}
}

// conditions multiplies a residual out into sorted disjuncts, with rules and
// local variables replaced by what they stand for. Without conditions a
// disjunct is "true"; nil is never.
func conditions(t *testing.T, left *rego.PartialQueries) []string {
	t.Helper()
	rules := map[string][]*ast.Rule{}
	for _, module := range left.Support {
		for _, rule := range module.Rules {
			require.Empty(t, rule.Head.Args, "a function is left: %v", rule)
			ref := module.Package.Path.Extend(rule.Head.Ref()).String()
			rules[ref] = append(rules[ref], rule)
		}
	}

	var disjuncts func(body ast.Body) []string
	disjuncts = func(body ast.Body) []string {
		products := []string{""}
		multiply := func(factors ...string) {
			var next []string
			for _, product := range products {
				for _, factor := range factors {
					next = append(next, strings.TrimPrefix(strings.TrimSuffix(product+" and "+factor, " and "), " and "))
				}
			}
			products = next
		}
		var locals []string
		name := func(term *ast.Term) string { return strings.NewReplacer(locals...).Replace(term.String()) }

		for _, expr := range body {
			require.False(t, expr.Negated, "a negation is left: %v", expr)
			if !expr.IsCall() { // "true", or the wildcard of a rule's value
				continue
			}
			left, right := expr.Operand(0), expr.Operand(1)
			switch {
			case expr.IsEquality() && len(rules[left.String()]) > 0:
				var factors []string
				for _, rule := range rules[left.String()] {
					factors = append(factors, disjuncts(rule.Body)...)
				}
				multiply(factors...)
			case expr.IsEquality() && isVar(left):
				locals = append(locals, left.String(), name(right))
			case expr.IsEquality():
				multiply(name(left) + " = " + name(right))
			case expr.Operator().String() == ast.Member.Name:
				multiply(name(left) + " in " + name(right))
			default:
				t.Fatalf("unexpected in a residual: %v", expr)
			}
		}
		return products
	}

	var all []string
	for _, query := range left.Queries {
		all = append(all, disjuncts(query)...)
	}
	for i, disjunct := range all {
		if disjunct == "" {
			all[i] = "true"
		}
	}
	slices.Sort(all)
	return all
}

func isVar(term *ast.Term) bool {
	_, ok := term.Value.(ast.Var)
	return ok
}

// The cost grows with the number of organizations, and not faster; also when
// no two of them have the same permissions.
func BenchmarkPartial(b *testing.B) {
	for _, bench := range []struct {
		name, resource string
		roles          func(orgs []string) []role
		scope          func(orgs []string) scope
	}{
		{
			name:     "audit_log",
			resource: "audit_log",
			roles:    func(orgs []string) []role { return []role{auditor(orgs)} },
		},
		{
			name:     "document",
			resource: "document",
			roles:    func(orgs []string) []role { return []role{auditor(orgs), plainMember(orgs)} },
		},
		{
			name:     "distinct permissions",
			resource: "audit_log",
			roles: func(orgs []string) []role {
				r := auditor(orgs)
				for org, p := range r.ByOrgID {
					p.Org = append(p.Org, permission{ResourceType: "document", Action: org})
					r.ByOrgID[org] = p
				}
				return []role{r}
			},
		},
		{
			name:     "limited token",
			resource: "audit_log",
			roles:    func(orgs []string) []role { return []role{auditor(orgs)} },
			scope: func(orgs []string) scope {
				return scope{role: auditor(orgs), AllowList: unlimited().AllowList}
			},
		},
	} {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/orgs=%d", bench.name, n), func(b *testing.B) {
				prepared, known := preparePartial(b, bench.resource)
				s := subject{ID: me, Roles: bench.roles(orgs(n)), Scope: unlimited()}
				if bench.scope != nil {
					s.Scope = bench.scope(orgs(n))
				}
				input := partialInput(b, s, known)
				b.ReportAllocs()
				for b.Loop() {
					left, err := prepared.Partial(b.Context(), rego.EvalParsedInput(input))
					if err != nil || len(left.Queries) != 1 {
						b.Fatal(left, err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/org")
			})
		}
	}
}
