-- Who there is: users, organizations, roles, groups and sessions.

-- +goose Up
CREATE TABLE users (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username         text        NOT NULL CHECK (username <> ''),
    email            text        NOT NULL DEFAULT '',
    name             text        NOT NULL DEFAULT '',
    avatar_url       text        NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    last_seen_at     timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00',
    status           text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'dormant', 'suspended')),
    login_type       text        NOT NULL DEFAULT 'password' CHECK (login_type IN ('password', 'github', 'oidc', 'token', 'none')),
    theme_preference text        NOT NULL DEFAULT '',
    -- Names of roles that apply everywhere: their site and user permissions count.
    roles            text[]      NOT NULL DEFAULT '{member}'
);
-- A name or address is one user's, however it is written; search by either ignores case.
CREATE UNIQUE INDEX users_username ON users (lower(username));
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE email <> '';

CREATE TABLE organizations (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text        NOT NULL CHECK (name <> ''),
    display_name text        NOT NULL DEFAULT '',
    icon         text        NOT NULL DEFAULT '',
    description  text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX organizations_name ON organizations (lower(name));

CREATE TABLE organization_members (
    organization_id uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id         uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    -- Names of roles in this organization, beside organization-member, which
    -- every member has: their org and member permissions count.
    roles           text[]      NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_id)
);
-- The organizations of a user, when a session is loaded.
CREATE INDEX organization_members_user ON organization_members (user_id, organization_id);

-- permissions: {"site": [p], "user": [p], "org": [p], "member": [p]}, where p is
-- {"negate": bool, "resource_type": text, "action": text}.
CREATE TABLE roles (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text        NOT NULL CHECK (name <> ''),
    -- NULL: known to the site and to every organization.
    organization_id uuid        REFERENCES organizations ON DELETE CASCADE,
    display_name    text        NOT NULL DEFAULT '',
    permissions     jsonb       NOT NULL CHECK (jsonb_typeof(permissions) = 'object'),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX roles_everywhere ON roles (name) WHERE organization_id IS NULL;
CREATE UNIQUE INDEX roles_of_organization ON roles (organization_id, name) WHERE organization_id IS NOT NULL;

-- The group Everyone of an organization bears the organization's id; all members
-- are in it without a row in group_members.
CREATE TABLE groups (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name            text        NOT NULL CHECK (name <> ''),
    display_name    text        NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, name)
);

CREATE TABLE group_members (
    group_id uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    user_id  uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
-- The groups of a user, when a session is loaded.
CREATE INDEX group_members_user ON group_members (user_id, group_id);

CREATE TABLE sessions (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- SHA-256 of the token, which is kept nowhere.
    token_hash bytea       NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    -- NULL: the token may do whatever its user may. Else a role with an allow
    -- list, {"site", "user", "by_org_id", "allow_list": [{"type", "id"}]}.
    scope      jsonb       CHECK (jsonb_typeof(scope) = 'object')
);
-- The sessions of a user, when the user is deleted.
CREATE INDEX sessions_user ON sessions (user_id);

-- The built-in roles.
INSERT INTO roles (name, display_name, permissions) VALUES
('owner', 'Owner', '{
    "site":   [{"negate": false, "resource_type": "*", "action": "*"}],
    "user":   [], "org": [], "member": []}'),
('auditor', 'Auditor', '{
    "site":   [{"negate": false, "resource_type": "audit_log", "action": "read"},
               {"negate": false, "resource_type": "connection_log", "action": "read"}],
    "user":   [], "org": [], "member": []}'),
('member', 'Member', '{
    "site":   [],
    "user":   [{"negate": false, "resource_type": "*", "action": "*"}],
    "org":    [], "member": []}'),
('organization-admin', 'Organization admin', '{
    "site":   [], "user": [],
    "org":    [{"negate": false, "resource_type": "*", "action": "*"}],
    "member": []}'),
('organization-auditor', 'Organization auditor', '{
    "site":   [], "user": [],
    "org":    [{"negate": false, "resource_type": "audit_log", "action": "read"},
               {"negate": false, "resource_type": "connection_log", "action": "read"}],
    "member": []}'),
('organization-member', 'Organization member', '{
    "site":   [], "user": [], "org": [],
    "member": [{"negate": false, "resource_type": "*", "action": "*"}]}');

-- +goose Down
DROP TABLE sessions, group_members, groups, roles, organization_members, organizations, users;
