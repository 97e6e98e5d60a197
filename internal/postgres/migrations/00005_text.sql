-- Texts that are looked for anywhere in a column. pg_trgm is PostgreSQL's own, and
-- may be created by whoever may create in the database.

-- +goose Up
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Bare words in the audit log.
CREATE INDEX audit_logs_text ON audit_logs USING gin (resource_target gin_trgm_ops);
-- Bare words in the connection log.
CREATE INDEX connection_logs_text ON connection_logs USING gin (workspace_name gin_trgm_ops);
-- Bare words in either: users by a part of their name.
CREATE INDEX users_text ON users USING gin (username gin_trgm_ops);

-- +goose Down
DROP INDEX users_text, connection_logs_text, audit_logs_text;
