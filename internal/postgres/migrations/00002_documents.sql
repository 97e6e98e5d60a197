-- Documents have owners and ACLs: the resource that keeps every branch of the policy.

-- +goose Up
CREATE TABLE documents (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    owner_id        uuid        REFERENCES users ON DELETE SET NULL,
    title           text        NOT NULL DEFAULT '',
    body            text        NOT NULL DEFAULT '',
    -- Id of a user or group → array of actions.
    user_acl        jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(user_acl) = 'object'),
    group_acl       jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(group_acl) = 'object'),
    created_at      timestamptz NOT NULL DEFAULT now()
);
-- The newest documents of an organization.
CREATE INDEX documents_organization ON documents (organization_id, created_at DESC, id DESC);
-- The documents of an owner.
CREATE INDEX documents_owner ON documents (owner_id, created_at DESC, id DESC) WHERE owner_id IS NOT NULL;

-- +goose Down
DROP TABLE documents;
