# METADATA
# title: Organizations, roles, scopes and ACLs
# description: |
#   What the subject, the action and the resource type decide is settled in
#   votes and in sets of organizations and ids. Conditions on the object are
#   membership tests in those sets: partial evaluation over an unknown object
#   keeps one test, however many organizations the subject has.
#
#   Known conditions stand before unknown ones, and an empty set is ruled out
#   before it is searched: what cannot succeed leaves no residual.
#
#   Missing keys never grant.
# scope: package
package authz

import rego.v1

# METADATA
# title: The subject may take the action on the object
# description: There is no default, undefined means denied.
# scope: document
# entrypoint: true
allow if {
	role_allow
	scope_allow
}

allow if {
	acl_allow
	scope_allow
}

# METADATA
# title: The roles of the subject allow it
# description: A site vote of -1 denies, whatever the other votes.
# scope: document
role_allow if role_site == 1

role_allow if {
	role_site == 0
	input.object.owner == input.subject.id
	role_user == 1
	input.object.org_owner == ""
}

role_allow if {
	role_site == 0
	count(role_orgs) > 0
	input.object.org_owner in role_orgs
}

role_allow if {
	role_site == 0
	input.subject.id != ""
	input.object.owner == input.subject.id
	count(role_member_orgs) > 0
	input.object.org_owner in role_member_orgs
}

# METADATA
# title: The token in use allows it
# description: Both its votes and its allow list have to.
# scope: document
scope_allow if {
	scope_listed
	scope_vote
}

# METADATA
# title: The scope, as the only role, allows it
# scope: document
scope_vote if scope_site == 1

scope_vote if {
	scope_site == 0
	input.object.owner == input.subject.id
	scope_user == 1
	input.object.org_owner == ""
}

scope_vote if {
	scope_site == 0
	count(scope_orgs) > 0
	input.object.org_owner in scope_orgs
}

scope_vote if {
	scope_site == 0
	input.subject.id != ""
	input.object.owner == input.subject.id
	count(scope_member_orgs) > 0
	input.object.org_owner in scope_member_orgs
}

# METADATA
# title: The object is inside the allow list of the scope
# scope: document
scope_listed if every_id_listed

scope_listed if {
	not every_id_listed
	count(listed_ids) > 0
	input.object.id in listed_ids
}

# METADATA
# title: An ACL of the object allows it
# description: |
#   Only inside the subject's organizations. No negative permission of a role
#   stops it.
# scope: document
acl_allow if {
	acl_grant
	count(member_of_orgs) > 0
	input.object.org_owner in member_of_orgs
}

# METADATA
# title: The ACLs grant the action to the subject or to one of its groups
# scope: document
acl_grant if {
	some action in asked_actions
	action in input.object.acl_user_list[input.subject.id]
}

acl_grant if {
	some group in input.subject.groups
	some action in asked_actions
	action in input.object.acl_group_list[group]
}

# The group Everyone of an organization bears the organization's id.
acl_grant if {
	some action in asked_actions
	action in input.object.acl_group_list[input.object.org_owner]
}

# From here on, everything is known before the object is.

role_site := vote([permission |
	some role in input.subject.roles
	some permission in role.site
])

role_user := vote([permission |
	some role in input.subject.roles
	some permission in role.user
])

# Where every entry votes for it, they are all of them, without a look-up each.
role_orgs := member_of_orgs if {
	role_org_results == {1}
} else := role_orgs_voting(role_org_votes, 1) - role_orgs_voting(role_org_votes, -1)

role_member_orgs := role_orgs_voting(role_member_votes, 1) - (role_orgs_voting(role_member_votes, -1) | role_orgs_voting(role_org_votes, -1))

# The organizations where some role's entry votes so. Partial evaluation walks all
# arguments of a call, at each call: to stay linear, none here is as large as the
# subject.
role_orgs_voting(votes, value) := {org |
	value in votes
	votes[input.subject.roles[_].by_org_id[org]] == value
}

role_org_results := {vote | some vote in role_org_votes}

# Organizations share few distinct entries. Each is voted on once, so that an
# organization costs a look-up.
role_org_votes := {entry: vote(object.get(entry, "org", [])) | some entry; role_entries[entry]}

role_member_votes := {entry: vote(object.get(entry, "member", [])) | some entry; role_entries[entry]}

role_entries := {entry | entry := input.subject.roles[_].by_org_id[_]}

scope_site := vote(input.subject.scope.site)

scope_user := vote(input.subject.scope.user)

# A scope limits the subject's organizations and adds none.
scope_orgs contains org if {
	some org, entry in input.subject.scope.by_org_id
	org in member_of_orgs
	vote(entry.org) == 1
}

scope_member_orgs contains org if {
	some org, entry in input.subject.scope.by_org_id
	org in member_of_orgs
	vote(entry.member) == 1
	vote(entry.org) != -1
}

member_of_orgs := union({object.keys(role.by_org_id) | some role in input.subject.roles})

every_id_listed if {
	some entry in input.subject.scope.allow_list
	entry.id == "*"
	entry.type in asked_types
}

listed_ids contains entry.id if {
	some entry in input.subject.scope.allow_list
	entry.type in asked_types
}

asked_actions := {input.action, "*"}

asked_types := {input.object.type, "*"}

# METADATA
# title: The vote of a list of permissions
# description: |
#   -1 if any matching permission is negated, 1 if any matches, else 0. A
#   permission that does not say `negate: false` counts as negated.
# scope: document
vote(permissions) := object.get({set(): 0, {false}: 1}, negations, -1) if {
	negations := {object.get(permission, "negate", true) |
		some permission in permissions
		permission.action in {input.action, "*"}
		permission.resource_type in {input.object.type, "*"}
	}
}
