-- What an organization's auditor looks for among the rows of an organization: a kind
-- or an action that is frequent elsewhere, and not there, is found in neither of the
-- indexes that lead with one of the two alone.

-- +goose Up
-- action:x in one organization.
CREATE INDEX audit_logs_organization_action ON audit_logs (organization_id, action, "time" DESC, id DESC);
-- resource_type:x in one organization.
CREATE INDEX audit_logs_organization_resource_type ON audit_logs (organization_id, resource_type, "time" DESC, id DESC);

-- +goose Down
DROP INDEX audit_logs_organization_resource_type, audit_logs_organization_action;
