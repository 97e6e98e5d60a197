-- The chain of seals: see docs/decisions/tamper-evidence.md.

-- +goose Up
CREATE TABLE log_seals (
    id     bigint PRIMARY KEY CHECK (id > 0),
    kind   text        NOT NULL CHECK (kind IN ('rows', 'purge')),
    log    text        NOT NULL,
    -- What the hash is of, to the byte.
    entry  text        NOT NULL,
    hash   bytea       NOT NULL CHECK (octet_length(hash) = 32),
    -- Of rows: id, time and hash of each. NULL once all of them were purged.
    leaves bytea,
    -- The latest time of one of the rows.
    newest timestamptz
);
-- Hashes are not compressed.
ALTER TABLE log_seals ALTER COLUMN leaves SET STORAGE EXTERNAL;
-- The last seal of a log's rows; the leaves to forget.
CREATE INDEX log_seals_log ON log_seals (log, kind, id);

CREATE TABLE log_checkpoints (
    id       bigint PRIMARY KEY REFERENCES log_seals,
    document text NOT NULL
);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON log_seals FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON log_seals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON log_checkpoints FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON log_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TABLE log_checkpoints, log_seals;
