package audit_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rowfence/rowfence/internal/audit"
)

func TestDescription(t *testing.T) {
	for _, c := range []struct {
		action, resource string
		status           int
		want             string
	}{
		{"create", "template", 201, "{user} created the template {target}"},
		{"create", "template", 400, "{user} unsuccessfully attempted to create the template {target}"},
		{"write", "template_version", 200, "{user} updated the template version {target}"},
		{"delete", "git_ssh_key", 200, "{user} deleted the git SSH key"},
		{"start", "workspace_build", 200, "{user} started the workspace build {target}"},
		{"stop", "workspace_build", 500, "{user} unsuccessfully attempted to stop the workspace build {target}"},
		{"login", "api_key", 201, "{user} logged in"},
		{"login", "user", 401, "{user} unsuccessfully attempted to login"},
		{"logout", "api_key", 200, "{user} logged out"},
		{"register", "api_key", 201, "{user} registered"},
		{"register", "user", 201, "{user} registered the user {target}"},
		{"login", "api_key", 303, "{user} was redirected attempting to login"},
		{"request_password_reset", "user", 204, "password reset requested for {target}"},
		{"read", "document", 200, "{user} read the document {target}"},
		{"close", "workspace_app", 200, "{user} closed the workspace app {target}"},
	} {
		l := audit.Log{Action: c.action, ResourceType: c.resource, StatusCode: c.status}
		if c.resource == "git_ssh_key" {
			l.KindName = "git SSH key"
		}
		require.Equal(t, c.want, l.Description())
	}
}

func TestDescribe(t *testing.T) {
	id := uuid.MustParse("00000000-0000-0000-0000-00000000000a")
	for _, c := range []struct {
		log      audit.Log
		resource audit.Resource
		want     string
	}{
		{audit.Log{ResourceID: id}, audit.Resource{LinkTemplate: "/@{owner}/{name}", Owner: "ann", Name: "a b/c?d"}, "/@ann/a%20b%2Fc%3Fd"},
		{audit.Log{ResourceID: id}, audit.Resource{LinkTemplate: "/@{owner}/{name}", Name: "dev"}, ""},
		{audit.Log{ResourceID: id, ResourceTarget: "a&b"}, audit.Resource{LinkTemplate: "/users?filter={name}&x={id}"}, "/users?filter=a%26b&x=" + id.String()},
		{audit.Log{ResourceID: id, Organization: &audit.Organization{Name: "a"}}, audit.Resource{LinkTemplate: "/o/{organization}/x"}, "/o/a/x"},
		{audit.Log{ResourceID: id}, audit.Resource{LinkTemplate: "/{id}", Deleted: true}, ""},
		{audit.Log{ResourceTarget: "x"}, audit.Resource{LinkTemplate: "/{name}"}, ""},
		{audit.Log{ResourceID: id, ResourceLink: "/own"}, audit.Resource{LinkTemplate: "/{id}"}, "/own"},
		{audit.Log{ResourceID: id}, audit.Resource{LinkTemplate: "/{id"}, ""},
		{audit.Log{ResourceID: id}, audit.Resource{LinkTemplate: "/{what}"}, ""},
		{audit.Log{ResourceID: id}, audit.Resource{}, ""},
	} {
		c.resource.KindName, c.resource.Icon = "thing", "/i"
		c.log.Describe(c.resource)
		require.Equal(t, c.want, c.log.ResourceLink, c)
		require.Equal(t, c.resource.Deleted, c.log.IsDeleted)
		require.Equal(t, "/i", c.log.ResourceIcon)
		require.Equal(t, "thing", c.log.KindName)
	}
}

func TestDiffDropsSecrets(t *testing.T) {
	diff, err := audit.ParseDiff([]byte(`{
		"name":    {"old": "a", "new": 12345678901234567890, "secret": false},
		"gone":    {"old": null, "secret": false},
		"key":     {"old": "hunter2", "new": "hunter3", "secret": true},
		"odd":     {"old": "hunter2", "new": "hunter3", "secret": "no"},
		"unsaid":  {"old": 1, "new": 2},
		"Spelled": {"Old": "hunter2", "New": "hunter3", "Secret": false},
		"bare":    "hunter2",
		"null":    null
	}`))
	require.NoError(t, err)
	out, err := json.Marshal(diff)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"name":    {"old": "a", "new": 12345678901234567890, "secret": false},
		"gone":    {"old": null, "new": null, "secret": false},
		"key":     {"old": "", "new": "", "secret": true},
		"odd":     {"old": "", "new": "", "secret": true},
		"unsaid":  {"old": "", "new": "", "secret": true},
		"Spelled": {"old": "", "new": "", "secret": true},
		"bare":    {"old": "", "new": "", "secret": true},
		"null":    {"old": "", "new": "", "secret": true}
	}`, string(out))
	require.Contains(t, string(out), "12345678901234567890")

	for _, bad := range []string{"", "[]", `"x"`} {
		_, err := audit.ParseDiff([]byte(bad))
		require.Error(t, err, bad)
	}
	diff, err = audit.ParseDiff([]byte("null"))
	require.NoError(t, err)
	require.NotNil(t, diff)
}

func TestPermissionsAreReadStrictly(t *testing.T) {
	var p audit.Permissions
	require.NoError(t, json.Unmarshal([]byte(`{"org": [{"negate": true, "resource_type": "*", "action": "read"}]}`), &p))
	require.Equal(t, []audit.Permission{{Negate: true, ResourceType: "*", Action: "read"}}, p.Org)
	for _, bad := range []string{
		`{"org": [{"resource_type": "*", "action": "read"}]}`,
		`{"org": [{"negate": false, "action": "read"}]}`,
		`{"org": [{"negate": false, "resource_type": "*"}]}`,
		`{"org": [{"negate": false, "resource_type": "*", "action": "read", "unless": "x"}]}`,
		`{"org": [{"negate": 1, "resource_type": "*", "action": "read"}]}`,
		`{"organization": []}`,
		// encoding/json ignores case, and takes the last of two
		`{"org": [{"negate": true, "NEGATE": false, "resource_type": "*", "action": "read"}]}`,
		`{"org": [{"Negate": false, "resource_type": "*", "action": "read"}]}`,
		`{"org": [{"negate": true, "negate": false, "resource_type": "*", "action": "read"}]}`,
		`{"org": [{"negate": null, "resource_type": "*", "action": "read"}]}`,
		`{"org": [null]}`,
		`{"org": [], "org": []}`,
		`{"ORG": []}`,
	} {
		require.Error(t, json.Unmarshal([]byte(bad), &p), bad)
	}
}

func TestParseScope(t *testing.T) {
	s, err := audit.ParseScope([]byte(`null`))
	require.NoError(t, err)
	require.Empty(t, s.AllowList, "the JSON value null is not an unlimited scope")
	s, err = audit.ParseScope([]byte(`{"user": null, "by_org_id": {"x": {"member": [{"negate": true, "resource_type": "a", "action": "b"}]}},
		"allow_list": [{"type": "c", "id": "d"}]}`))
	require.NoError(t, err)
	require.Equal(t, audit.Scope{
		ByOrgID:   map[string]audit.OrgPermissions{"x": {Member: []audit.Permission{{Negate: true, ResourceType: "a", Action: "b"}}}},
		AllowList: []audit.Allowed{{Type: "c", ID: "d"}},
	}, s)
	for _, bad := range []string{
		``, `[]`, `{`, `{"allowlist": []}`, `{} {}`, `null null`, `{"Allow_List": []}`, `{"site": [], "site": []}`,
		`{"allow_list": [{"type": "*", "ID": "*"}]}`, `{"allow_list": [{"type": "x", "type": "*", "id": "*"}]}`,
		`{"by_org_id": []}`, `{"by_org_id": {"x": {"Org": []}}}`, `{"by_org_id": {"x": {}, "x": {}}}`,
		`{"by_org_id": {"x": {"org": [{"negate": true, "NEGATE": false, "resource_type": "*", "action": "read"}]}}}`,
	} {
		_, err := audit.ParseScope([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestSubjectInput(t *testing.T) {
	user, org := uuid.MustParse("00000000-0000-0000-0000-00000000000a"), uuid.MustParse("00000000-0000-0000-0000-0000000000c1")
	s := audit.Subject{
		ID:     user,
		Roles:  []audit.Role{{Orgs: []uuid.UUID{org}, Org: []audit.Permission{{ResourceType: "audit_log", Action: "read"}}}},
		Groups: []uuid.UUID{org},
		Scope:  audit.Unlimited(),
	}
	out, err := json.Marshal(s.Input())
	require.NoError(t, err)
	require.JSONEq(t, `{"action": "read", "subject": {
		"id": "00000000-0000-0000-0000-00000000000a",
		"roles": [{"site": [], "user": [], "by_org_id": {"00000000-0000-0000-0000-0000000000c1": {
			"org": [{"negate": false, "resource_type": "audit_log", "action": "read"}], "member": []}}}],
		"groups": ["00000000-0000-0000-0000-0000000000c1"],
		"scope": {"site": [{"negate": false, "resource_type": "*", "action": "*"}], "user": [], "by_org_id": {},
			"allow_list": [{"type": "*", "id": "*"}]}
	}}`, string(out))
}
