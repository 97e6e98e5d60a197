-- What writing the logs through the API needs: keys of batches that came before,
-- sessions of connections, and the resources that the audit log speaks of.

-- +goose Up
-- Batches with an Idempotency-Key, written in the transaction of their rows.
CREATE TABLE ingested_batches (
    user_id     uuid        NOT NULL,
    log         text        NOT NULL CHECK (log IN ('audit', 'connection')),
    key         text        NOT NULL,
    -- SHA-256 of what was sent.
    fingerprint bytea       NOT NULL,
    -- Of the rows, in the order of the events.
    ids         uuid[]      NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, log, key)
);
-- Those that may be forgotten.
CREATE INDEX ingested_batches_expiry ON ingested_batches (expires_at);

-- One row for each session in connection_logs, where it stands, and which of its
-- events said so. A unique index of connection_logs could not do this once that is
-- partitioned by time: it would have to include the time, which is what a connect
-- that comes late changes.
CREATE TABLE connection_sessions (
    connection_id uuid        NOT NULL,
    workspace_id  uuid        NOT NULL,
    agent_name    text        NOT NULL,
    -- The row in connection_logs: its id, and its time, which leads to the partition.
    id            uuid        NOT NULL,
    connect_time  timestamptz NOT NULL,
    -- Times of the events that the row's values are of; NULL: no such event came.
    connected_at  timestamptz,
    reason_at     timestamptz,
    code_at       timestamptz,
    PRIMARY KEY (connection_id, workspace_id, agent_name)
);
-- Retention: the sessions of rows that are gone.
CREATE INDEX connection_sessions_time ON connection_sessions (connect_time);

-- Kinds of resources, by the audit log's resource_type. A service adds its own.
CREATE TABLE resource_kinds (
    name          text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    -- As it stands in a sentence: "{user} created the template version {target}".
    display_name  text NOT NULL CHECK (display_name <> ''),
    -- A path with {id}, {name}, {owner} (a username) and {organization} (a name) in
    -- it; '' has no page. Without one of the values there is no link.
    link_template text NOT NULL DEFAULT '',
    icon          text NOT NULL DEFAULT ''
);

-- Resources, as the events tell of them. Events come in any order, so each value
-- has the time of the event that it is of.
CREATE TABLE resources (
    kind       text    NOT NULL,
    id         uuid    NOT NULL,
    name       text    NOT NULL DEFAULT '',
    named_at   timestamptz,
    owner_id   uuid,
    owned_at   timestamptz,
    created_at timestamptz, -- the last time
    deleted_at timestamptz, -- the last time
    deleted    boolean NOT NULL GENERATED ALWAYS AS
        (deleted_at IS NOT NULL AND (created_at IS NULL OR deleted_at >= created_at)) STORED,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 70); -- busy rows are updated in place

-- Both make entries for the rows of logs that were written by other ways than the
-- API, and leave those that there are.
-- +goose StatementBegin
CREATE FUNCTION register_resources() RETURNS void LANGUAGE sql AS $$
    INSERT INTO resources (kind, id, name, named_at, created_at, deleted_at)
    SELECT resource_type, resource_id,
        coalesce((array_agg(resource_target ORDER BY "time" DESC, resource_target DESC) FILTER (WHERE resource_target <> ''))[1], ''),
        max("time") FILTER (WHERE resource_target <> ''),
        max("time") FILTER (WHERE action IN ('create', 'register')),
        max("time") FILTER (WHERE action = 'delete')
    FROM audit_logs
    WHERE resource_id IS NOT NULL AND status_code < 400 AND status_code <> 303
    GROUP BY resource_type, resource_id
    ON CONFLICT DO NOTHING
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION register_connection_sessions() RETURNS void LANGUAGE sql AS $$
    INSERT INTO connection_sessions (connection_id, workspace_id, agent_name, id, connect_time, connected_at, reason_at, code_at)
    SELECT DISTINCT ON (connection_id, workspace_id, agent_name)
        connection_id, workspace_id, agent_name, id, connect_time, connect_time,
        CASE WHEN disconnect_reason IS NOT NULL THEN disconnect_time END,
        CASE WHEN code IS NOT NULL THEN disconnect_time END
    FROM connection_logs
    WHERE connection_id IS NOT NULL
    ORDER BY connection_id, workspace_id, agent_name, connect_time, id
    ON CONFLICT DO NOTHING
$$;
-- +goose StatementEnd
SELECT register_resources(), register_connection_sessions();

INSERT INTO resource_kinds (name, display_name, link_template) VALUES
('api_key',                        'API key',                        ''),
('audit_log',                      'audit log',                      ''),
('connection_log',                 'connection log',                 ''),
('convert_login',                  'login type conversion',          ''),
('custom_role',                    'custom role',                    '/organizations/{organization}/roles/{name}'),
('document',                       'document',                       '/documents/{id}'),
('git_ssh_key',                    'git SSH key',                    ''),
('group',                          'group',                          '/organizations/{organization}/groups/{name}'),
('health_settings',                'health settings',                ''),
('idp_sync_settings_group',        'idp sync settings group',        ''),
('idp_sync_settings_organization', 'idp sync settings organization', ''),
('idp_sync_settings_role',         'idp sync settings role',         ''),
('license',                        'license',                        ''),
('notification_template',          'notification template',          ''),
('notifications_settings',         'notifications settings',         ''),
('oauth2_provider_app',            'OAuth2 app',                     ''),
('oauth2_provider_app_secret',     'OAuth2 app secret',              ''),
('organization',                   'organization',                   '/organizations/{name}'),
('organization_member',            'organization member',            '/organizations/{organization}/members'),
('prebuilds_settings',             'prebuilds settings',             ''),
('task',                           'task',                           '/tasks/{owner}/{id}'),
('template',                       'template',                       '/templates/{organization}/{name}'),
('template_version',               'template version',               ''),
('user',                           'user',                           '/users?filter={name}'),
('workspace',                      'workspace',                      '/@{owner}/{name}'),
('workspace_agent',                'workspace agent',                ''),
('workspace_app',                  'workspace app',                  ''),
('workspace_build',                'workspace build',                ''),
('workspace_proxy',                'workspace proxy',                '');

-- For the services that write logs: they read nothing.
INSERT INTO roles (name, display_name, permissions) VALUES
('audit-writer', 'Audit writer', '{
    "site":   [{"negate": false, "resource_type": "audit_log", "action": "create"},
               {"negate": false, "resource_type": "connection_log", "action": "create"}],
    "user":   [], "org": [], "member": []}'),
('organization-audit-writer', 'Organization audit writer', '{
    "site":   [], "user": [],
    "org":    [{"negate": false, "resource_type": "audit_log", "action": "create"},
               {"negate": false, "resource_type": "connection_log", "action": "create"}],
    "member": []}');

-- +goose Down
DELETE FROM roles WHERE name IN ('audit-writer', 'organization-audit-writer') AND organization_id IS NULL;
DROP FUNCTION register_resources(), register_connection_sessions();
DROP TABLE resources, resource_kinds, connection_sessions, ingested_batches;
