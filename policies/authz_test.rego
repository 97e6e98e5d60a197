package authz_test

import rego.v1

import data.authz

# Fixtures

grant(action, type) := {"negate": false, "action": action, "resource_type": type}

deny(action, type) := {"negate": true, "action": action, "resource_type": type}

read_logs := grant("read", "audit_log")

read_documents := grant("read", "document")

site(permissions) := {"site": permissions, "user": [], "by_org_id": {}}

user(permissions) := {"site": [], "user": permissions, "by_org_id": {}}

org(id, org_permissions, member_permissions) := {"site": [], "user": [], "by_org_id": {id: {
	"org": org_permissions,
	"member": member_permissions,
}}}

scope(role, allow_list) := object.union(role, {"allow_list": allow_list})

everything := [{"type": "*", "id": "*"}]

unlimited := scope(site([grant("*", "*")]), everything)

log := {
	"type": "audit_log",
	"id": "log1",
	"owner": "",
	"org_owner": "A",
	"acl_user_list": {},
	"acl_group_list": {},
}

document := object.union(log, {"type": "document", "id": "doc1", "owner": "other"})

own_document := object.union(document, {"owner": "me"})

# A document that belongs to the subject and to no organization.
own_siteless := object.union(own_document, {"org_owner": ""})

shared(key, acl) := object.union(document, {key: acl})

ask(roles, target) := {
	"action": "read",
	"subject": {"id": "me", "roles": roles, "groups": ["g1", "g2"], "scope": unlimited},
	"object": target,
}

ask_scoped(roles, token, target) := json.patch(
	ask(roles, target),
	[{"op": "replace", "path": "/subject/scope", "value": token}],
)

allowed(request) if authz.allow with input as request

plain_member := org("A", [], [])

# Matching

test_action_and_type[note] if {
	some note, tc in {
		"exact": {"permission": grant("read", "audit_log"), "allow": true},
		"any action": {"permission": grant("*", "audit_log"), "allow": true},
		"any type": {"permission": grant("read", "*"), "allow": true},
		"any": {"permission": grant("*", "*"), "allow": true},
		"other action": {"permission": grant("create", "audit_log"), "allow": false},
		"other type": {"permission": grant("read", "document"), "allow": false},
		"prefix is no match": {"permission": grant("re", "audit"), "allow": false},
		"other case": {"permission": grant("READ", "audit_log"), "allow": false},
	}
	requests := [
		ask([site([tc.permission])], log),
		ask([org("A", [tc.permission], [])], log),
	]
	every request in requests {
		{true | allowed(request)} == {true | tc.allow}
	}
}

# Votes

test_vote[note] if {
	some note, tc in {
		"none": {"permissions": [], "vote": 0},
		"none matching": {"permissions": [read_documents, deny("read", "document")], "vote": 0},
		"one": {"permissions": [read_logs], "vote": 1},
		"several": {"permissions": [read_logs, grant("*", "*")], "vote": 1},
		"negated": {"permissions": [deny("read", "audit_log")], "vote": -1},
		"negated outweighs": {"permissions": [read_logs, deny("*", "*"), read_logs], "vote": -1},
		"another action negated": {"permissions": [read_logs, deny("delete", "*")], "vote": 1},
		"unclear counts as negated": {
			"permissions": [read_logs, {"action": "read", "resource_type": "audit_log"}],
			"vote": -1,
		},
	}
	authz.vote(tc.permissions) == tc.vote with input as ask([], log)
}

# role_allow

test_site_grants_everywhere if {
	every target in [log, document, own_document, own_siteless] {
		allowed(ask([site([grant("read", "*")])], target))
	}
}

test_site_denies_whatever_else_grants if {
	granting := [grant("*", "*")]
	every target in [log, document, own_document, own_siteless] {
		not allowed(ask(
			[site([deny("read", "*")]), site(granting), user(granting), org("A", granting, granting)],
			target,
		))
	}
}

test_site_vote_counts_all_roles if {
	not allowed(ask([site([read_logs]), site([deny("*", "audit_log")])], log))
	allowed(ask([site([read_logs]), site([])], log))
}

test_site_outweighs_org_denial if allowed(ask([site([read_logs]), org("A", [deny("*", "*")], [])], log))

test_user[note] if {
	granting := user([read_documents])
	some note, tc in {
		"own, no organization": {"roles": [granting], "object": own_siteless, "allow": true},
		"own, in an organization": {"roles": [granting], "object": own_document, "allow": false},
		"another's": {
			"roles": [granting],
			"object": object.union(own_siteless, {"owner": "other"}),
			"allow": false,
		},
		"nobody's": {
			"roles": [granting],
			"object": object.union(own_siteless, {"owner": ""}),
			"allow": false,
		},
		"negated": {
			"roles": [granting, user([deny("read", "*")])],
			"object": own_siteless,
			"allow": false,
		},
		"negated, but another vote grants": {
			"roles": [user([deny("read", "*")]), site([read_documents])],
			"object": own_siteless,
			"allow": true,
		},
	}
	{true | allowed(ask(tc.roles, tc.object))} == {true | tc.allow}
}

test_org[note] if {
	some note, tc in {
		"granted": {"roles": [org("A", [read_logs], [])], "allow": true},
		"elsewhere": {"roles": [org("B", [read_logs], [])], "allow": false},
		"member of it only": {"roles": [plain_member], "allow": false},
		"negated in one role": {
			"roles": [org("A", [read_logs], []), org("A", [deny("*", "*")], [])],
			"allow": false,
		},
		"negated in another organization": {
			"roles": [org("A", [read_logs], []), org("B", [deny("*", "*")], [])],
			"allow": true,
		},
		"second role": {"roles": [plain_member, org("A", [read_logs], [])], "allow": true},
		"no roles": {"roles": [], "allow": false},
	}
	{true | allowed(ask(tc.roles, log))} == {true | tc.allow}
}

test_org_does_not_reach_the_siteless if {
	not allowed(ask([org("A", [grant("*", "*")], [])], object.union(log, {"org_owner": ""})))
}

test_member[note] if {
	granting := org("A", [], [read_documents])
	some note, tc in {
		"own": {"roles": [granting], "object": own_document, "allow": true},
		"another's": {"roles": [granting], "object": document, "allow": false},
		"nobody's": {
			"roles": [granting],
			"object": object.union(document, {"owner": ""}),
			"allow": false,
		},
		"own, elsewhere": {
			"roles": [granting],
			"object": object.union(own_document, {"org_owner": "B"}),
			"allow": false,
		},
		"own, no organization": {"roles": [granting], "object": own_siteless, "allow": false},
		"negated": {
			"roles": [granting, org("A", [], [deny("*", "document")])],
			"object": own_document,
			"allow": false,
		},
		"stopped by the organization": {
			"roles": [granting, org("A", [deny("*", "document")], [])],
			"object": own_document,
			"allow": false,
		},
		"member denial does not stop the organization": {
			"roles": [org("A", [read_documents], [deny("*", "*")])],
			"object": own_document,
			"allow": true,
		},
	}
	{true | allowed(ask(tc.roles, tc.object))} == {true | tc.allow}
}

test_member_without_subject_id if {
	request := ask([org("A", [], [read_documents])], object.union(document, {"owner": ""}))
	not allowed(json.patch(request, [{"op": "replace", "path": "/subject/id", "value": ""}]))
}

# scope_allow

test_scope_votes[note] if {
	roles := [site([grant("*", "*")]), plain_member]
	some note, tc in {
		"site grants": {"scope": site([read_documents]), "object": document, "allow": true},
		"nothing": {"scope": site([]), "object": document, "allow": false},
		"another type": {"scope": site([read_logs]), "object": document, "allow": false},
		"site denies": {
			"scope": object.union(org("A", [read_documents], []), {"site": [deny("*", "*")]}),
			"object": document,
			"allow": false,
		},
		"user": {"scope": user([read_documents]), "object": own_siteless, "allow": true},
		"user, negated": {
			"scope": user([read_documents, deny("*", "*")]),
			"object": own_siteless,
			"allow": false,
		},
		"user, in an organization": {
			"scope": user([read_documents]),
			"object": own_document,
			"allow": false,
		},
		"organization": {"scope": org("A", [read_documents], []), "object": document, "allow": true},
		"organization, negated": {
			"scope": org("A", [read_documents, deny("*", "*")], []),
			"object": document,
			"allow": false,
		},
		"member": {"scope": org("A", [], [read_documents]), "object": own_document, "allow": true},
		"member, another's": {
			"scope": org("A", [], [read_documents]),
			"object": document,
			"allow": false,
		},
		"member, stopped by the organization": {
			"scope": org("A", [deny("*", "*")], [read_documents]),
			"object": own_document,
			"allow": false,
		},
		"adds no organization": {
			"scope": org("B", [read_documents], [read_documents]),
			"object": object.union(own_document, {"org_owner": "B"}),
			"allow": false,
		},
	}
	{true | allowed(ask_scoped(roles, scope(tc.scope, everything), tc.object))} == {true | tc.allow}
}

test_allow_list[note] if {
	some note, tc in {
		"empty": {"list": [], "allow": false},
		"everything": {"list": everything, "allow": true},
		"its type": {"list": [{"type": "audit_log", "id": "*"}], "allow": true},
		"another type": {"list": [{"type": "document", "id": "*"}], "allow": false},
		"its id": {"list": [{"type": "audit_log", "id": "log1"}], "allow": true},
		"its id, any type": {"list": [{"type": "*", "id": "log1"}], "allow": true},
		"its id, another type": {"list": [{"type": "document", "id": "log1"}], "allow": false},
		"another id": {"list": [{"type": "audit_log", "id": "log2"}], "allow": false},
		"one of several": {
			"list": [
				{"type": "document", "id": "*"},
				{"type": "audit_log", "id": "log2"},
				{"type": "*", "id": "log1"},
			],
			"allow": true,
		},
	}
	token := scope(site([grant("*", "*")]), tc.list)
	{true | allowed(ask_scoped([site([read_logs])], token, log))} == {true | tc.allow}
}

# acl_allow

test_acl[note] if {
	some note, tc in {
		"user": {"object": shared("acl_user_list", {"me": ["read"]}), "allow": true},
		"user, any action": {"object": shared("acl_user_list", {"me": ["*"]}), "allow": true},
		"user, another action": {"object": shared("acl_user_list", {"me": ["update"]}), "allow": false},
		"user, no action": {"object": shared("acl_user_list", {"me": []}), "allow": false},
		"another user": {"object": shared("acl_user_list", {"other": ["*"]}), "allow": false},
		"no wildcard user": {"object": shared("acl_user_list", {"*": ["*"]}), "allow": false},
		"group": {"object": shared("acl_group_list", {"g2": ["create", "read"]}), "allow": true},
		"group, any action": {"object": shared("acl_group_list", {"g1": ["*"]}), "allow": true},
		"group, another action": {"object": shared("acl_group_list", {"g1": ["update"]}), "allow": false},
		"another group": {"object": shared("acl_group_list", {"g3": ["*"]}), "allow": false},
		"a group is no user": {"object": shared("acl_user_list", {"g1": ["*"]}), "allow": false},
		"a user is no group": {"object": shared("acl_group_list", {"me": ["*"]}), "allow": false},
		"everyone": {"object": shared("acl_group_list", {"A": ["read"]}), "allow": true},
		"everyone, any action": {"object": shared("acl_group_list", {"A": ["*"]}), "allow": true},
		"everyone, another action": {"object": shared("acl_group_list", {"A": ["update"]}), "allow": false},
		"everyone of the object's organization": {
			"object": object.union(shared("acl_group_list", {"C": ["read"]}), {"org_owner": "C"}),
			"allow": true,
		},
		"everyone elsewhere": {"object": shared("acl_group_list", {"B": ["*"]}), "allow": false},
		"empty": {"object": document, "allow": false},
	}
	{true | allowed(ask([plain_member, org("C", [], [])], tc.object))} == {true | tc.allow}
}

# One object for each way an ACL can grant.
shared_documents := [
	shared("acl_user_list", {"me": ["read"]}),
	shared("acl_group_list", {"g1": ["read"]}),
	shared("acl_group_list", {"A": ["read"]}),
]

test_acl_needs_membership if {
	every target in shared_documents {
		allowed(ask([plain_member], target))
		not allowed(ask([], target))
		not allowed(ask([org("B", [], [])], target))
		not allowed(ask([plain_member], object.union(target, {"org_owner": ""})))
	}
}

test_acl_survives_negated_permissions if {
	denying := [deny("*", "*")]
	every target in shared_documents {
		allowed(ask([site(denying), user(denying), org("A", denying, denying)], target))
	}
}

test_acl_is_limited_by_the_scope if {
	every target in shared_documents {
		not allowed(ask_scoped([plain_member], scope(site([deny("*", "*")]), everything), target))
		not allowed(ask_scoped([plain_member], scope(site([read_logs]), everything), target))
		not allowed(ask_scoped([plain_member], scope(site([grant("*", "*")]), []), target))
		allowed(ask_scoped([plain_member], scope(site([read_documents]), everything), target))
		allowed(ask_scoped([plain_member], scope(org("A", [read_documents], []), everything), target))
	}
}

test_acl_membership_is_not_from_the_scope if {
	every target in shared_documents {
		not allowed(ask_scoped(
			[],
			object.union(org("A", [], []), scope(site([grant("*", "*")]), everything)),
			target,
		))
	}
}

# Input that lacks a key

complete := ask([site([read_logs])], log)

test_complete if allowed(complete)

test_missing_key_denies[path] if {
	some path in [
		"/action",
		"/subject",
		"/subject/roles",
		"/subject/roles/0/site",
		"/subject/roles/0/site/0/negate",
		"/subject/roles/0/site/0/action",
		"/subject/roles/0/site/0/resource_type",
		"/subject/scope",
		"/subject/scope/site",
		"/subject/scope/allow_list",
		"/subject/scope/allow_list/0/id",
		"/subject/scope/allow_list/0/type",
		"/object",
		"/object/type",
	]
	not allowed(json.patch(complete, [{"op": "remove", "path": path}]))
}

test_missing_object_key_denies[path] if {
	some path, request in {
		"/object/org_owner": ask([org("A", [read_logs], [])], log),
		"/object/owner": ask([user([read_documents])], own_siteless),
		"/object/acl_user_list": ask([plain_member], shared_documents[0]),
		"/object/acl_group_list": ask([plain_member], shared_documents[1]),
		"/subject/id": ask([user([read_documents])], own_siteless),
		"/subject/groups": ask([plain_member], shared_documents[1]),
		"/subject/roles/0/by_org_id": ask([org("A", [read_logs], [])], log),
		"/subject/roles/0/by_org_id/A": ask([org("A", [read_logs], [])], log),
		"/subject/roles/0/by_org_id/A/org": ask([org("A", [read_logs], [])], log),
		"/object/id": ask_scoped(
			[site([read_logs])],
			scope(site([grant("*", "*")]), [{"type": "audit_log", "id": "log1"}]),
			log,
		),
	}
	allowed(request)
	not allowed(json.patch(request, [{"op": "remove", "path": path}]))
}

test_empty_input_denies if not allowed({})
