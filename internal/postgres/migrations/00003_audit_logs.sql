-- Rows of a log outlive what they speak of: no foreign keys.
--
-- An index for lists is led by the column of a condition and ended by (time, id),
-- so that a page is read in its order and no row is visited for the keys.

-- +goose Up
CREATE TABLE audit_logs (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- RFC 3339 has no infinity and no year 10000.
    "time"            timestamptz NOT NULL DEFAULT now() CHECK ("time" BETWEEN '0001-01-01Z' AND '9999-12-31Z'),
    -- NULL: done by nobody known, such as a login that was refused.
    user_id           uuid,
    -- NULL: belongs to the site, not to an organization.
    organization_id   uuid,
    resource_type     text        NOT NULL,
    resource_id       uuid,
    -- Bounded because it is indexed: a B-tree refuses entries of a third of a page.
    resource_target   text        NOT NULL CHECK (octet_length(resource_target) <= 2000),
    resource_icon     text        NOT NULL DEFAULT '',
    resource_link     text        NOT NULL DEFAULT '',
    action            text        NOT NULL,
    -- Field → {"old": any, "new": any, "secret": bool}.
    diff              jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(diff) = 'object'),
    status_code       integer     NOT NULL,
    additional_fields jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(additional_fields) = 'object'),
    request_id        uuid,
    ip                inet,
    user_agent        text,
    build_reason      text
);

-- Lists of organization auditors; organization:x.
CREATE INDEX audit_logs_organization ON audit_logs (organization_id, "time" DESC, id DESC);
-- Lists of site auditors; date_from and date_to.
CREATE INDEX audit_logs_time ON audit_logs ("time" DESC, id DESC);
-- username:x, email:x.
CREATE INDEX audit_logs_user ON audit_logs (user_id, "time" DESC, id DESC);
-- resource_type:x, and a bare word that is one.
CREATE INDEX audit_logs_resource_type ON audit_logs (resource_type, "time" DESC, id DESC);
-- resource_id:x, the history of one thing.
CREATE INDEX audit_logs_resource ON audit_logs (resource_id, "time" DESC, id DESC);
-- resource_target:x.
CREATE INDEX audit_logs_resource_target ON audit_logs (resource_target, "time" DESC, id DESC);
-- action:x: a rare one is not found by walking the time.
CREATE INDEX audit_logs_action ON audit_logs (action, "time" DESC, id DESC);
-- build_reason:x; few rows have one.
CREATE INDEX audit_logs_build_reason ON audit_logs (build_reason, "time" DESC, id DESC) WHERE build_reason IS NOT NULL;
-- request_id:x; a handful of rows each, in no need of an order.
CREATE INDEX audit_logs_request ON audit_logs (request_id) WHERE request_id IS NOT NULL;
-- status_code:>=400 and all that implies it: what went wrong is rare.
CREATE INDEX audit_logs_unsuccessful ON audit_logs ("time" DESC, id DESC) WHERE status_code >= 400;
-- ip:10.0.0.0/8 and single addresses: <<= is a range of a B-tree.
CREATE INDEX audit_logs_ip ON audit_logs (ip, "time" DESC, id DESC) WHERE ip IS NOT NULL;

-- +goose Down
DROP TABLE audit_logs;
