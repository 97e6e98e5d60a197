-- +goose Up
CREATE TABLE connection_logs (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    connect_time       timestamptz NOT NULL DEFAULT now() CHECK (connect_time BETWEEN '0001-01-01Z' AND '9999-12-31Z'),
    organization_id    uuid        NOT NULL,
    workspace_owner_id uuid        NOT NULL,
    workspace_id       uuid        NOT NULL,
    workspace_name     text        NOT NULL,
    agent_name         text        NOT NULL,
    type               text        NOT NULL CHECK (type IN
        ('ssh', 'vscode', 'jetbrains', 'reconnecting_pty', 'workspace_app', 'port_forwarding')),
    ip                 inet,
    -- Exit code of a session, HTTP status of a web connection; NULL while unknown.
    code               integer,

    -- Web connections (workspace_app, port_forwarding) only.
    user_agent         text,
    user_id            uuid,
    slug_or_port       text,

    -- The others only. A session is one connection id; NULL disconnect_time: it
    -- is still on.
    connection_id      uuid,
    disconnect_time    timestamptz CHECK (disconnect_time BETWEEN '0001-01-01Z' AND '9999-12-31Z'),
    disconnect_reason  text
);

-- Lists of organization auditors; organization:x.
CREATE INDEX connection_logs_organization ON connection_logs (organization_id, connect_time DESC, id DESC);
-- Lists of site auditors; connected_after and connected_before.
CREATE INDEX connection_logs_time ON connection_logs (connect_time DESC, id DESC);
-- workspace_owner:x, workspace_owner_email:x.
CREATE INDEX connection_logs_workspace_owner ON connection_logs (workspace_owner_id, connect_time DESC, id DESC);
-- workspace_id:x.
CREATE INDEX connection_logs_workspace ON connection_logs (workspace_id, connect_time DESC, id DESC);
-- username:x, user_email:x.
CREATE INDEX connection_logs_user ON connection_logs (user_id, connect_time DESC, id DESC) WHERE user_id IS NOT NULL;
-- type:x.
CREATE INDEX connection_logs_type ON connection_logs (type, connect_time DESC, id DESC);
-- connection_id:x.
CREATE INDEX connection_logs_connection ON connection_logs (connection_id) WHERE connection_id IS NOT NULL;
-- status:ongoing: few of all connections are.
CREATE INDEX connection_logs_ongoing ON connection_logs (connect_time DESC, id DESC)
    WHERE disconnect_time IS NULL AND connection_id IS NOT NULL;

-- +goose Down
DROP TABLE connection_logs;
