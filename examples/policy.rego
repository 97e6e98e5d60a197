package authz

# Administrators do everything.
allow if input.subject.role == "admin"

# Members read what belongs to their organizations.
allow if {
	input.action == "read"
	input.object.org in input.subject.orgs
}

# They change and remove what they own there. Folders have no owner.
allow if {
	input.action in {"update", "delete"}
	input.object.org in input.subject.orgs
	input.object.owner == input.subject.id
}
