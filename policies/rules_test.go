package policies_test

import (
	"slices"
)

// The rules of the policy a second time, written from their description and
// sharing nothing with the Rego: what TestDecisions holds the policy against.

type permission struct {
	Negate       bool   `json:"negate"`
	ResourceType string `json:"resource_type"`
	Action       string `json:"action"`
}

type orgPermissions struct {
	Org    []permission `json:"org"`
	Member []permission `json:"member"`
}

type role struct {
	Site    []permission              `json:"site"`
	User    []permission              `json:"user"`
	ByOrgID map[string]orgPermissions `json:"by_org_id"`
}

type listed struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type scope struct {
	role
	AllowList []listed `json:"allow_list"`
}

type subject struct {
	ID     string   `json:"id"`
	Roles  []role   `json:"roles"`
	Groups []string `json:"groups"`
	Scope  scope    `json:"scope"`
}

type object struct {
	Type         string              `json:"type"`
	ID           string              `json:"id"`
	Owner        string              `json:"owner"`
	OrgOwner     string              `json:"org_owner"`
	ACLUserList  map[string][]string `json:"acl_user_list"`
	ACLGroupList map[string][]string `json:"acl_group_list"`
}

type request struct {
	Action  string  `json:"action"`
	Subject subject `json:"subject"`
	Object  object  `json:"object"`
}

func (r request) allowed() bool {
	return (r.rolesAllow(r.Subject.Roles) || r.aclAllows()) &&
		r.rolesAllow([]role{r.Subject.Scope.role}) && r.inAllowList()
}

func (r request) rolesAllow(roles []role) bool {
	var site, user, org, member []permission
	for _, role := range roles {
		site = append(site, role.Site...)
		user = append(user, role.User...)
		org = append(org, role.ByOrgID[r.Object.OrgOwner].Org...)
		member = append(member, role.ByOrgID[r.Object.OrgOwner].Member...)
	}

	owned := r.Object.Owner == r.Subject.ID
	switch r.vote(site) {
	case 1:
		return true
	case -1:
		return false
	}
	switch {
	case owned && r.Object.OrgOwner == "" && r.vote(user) == 1:
		return true
	case !r.inSubjectsOrganization():
		return false
	case r.vote(org) == 1:
		return true
	default:
		return owned && r.Object.Owner != "" && r.vote(member) == 1 && r.vote(org) != -1
	}
}

func (r request) vote(permissions []permission) int {
	vote := 0
	for _, p := range permissions {
		if (p.Action != r.Action && p.Action != "*") || (p.ResourceType != r.Object.Type && p.ResourceType != "*") {
			continue
		}
		if p.Negate {
			return -1
		}
		vote = 1
	}
	return vote
}

// inSubjectsOrganization asks the roles only: a scope adds no organization.
func (r request) inSubjectsOrganization() bool {
	for _, role := range r.Subject.Roles {
		if _, ok := role.ByOrgID[r.Object.OrgOwner]; ok {
			return true
		}
	}
	return false
}

func (r request) inAllowList() bool {
	for _, entry := range r.Subject.Scope.AllowList {
		typeFits := entry.Type == "*" || entry.Type == r.Object.Type
		if typeFits && (entry.ID == "*" || entry.ID == r.Object.ID) {
			return true
		}
	}
	return false
}

func (r request) aclAllows() bool {
	if !r.inSubjectsOrganization() {
		return false
	}
	holds := func(actions []string) bool {
		return slices.Contains(actions, r.Action) || slices.Contains(actions, "*")
	}
	if holds(r.Object.ACLUserList[r.Subject.ID]) || holds(r.Object.ACLGroupList[r.Object.OrgOwner]) {
		return true
	}
	return slices.ContainsFunc(r.Subject.Groups, func(group string) bool {
		return holds(r.Object.ACLGroupList[group])
	})
}
