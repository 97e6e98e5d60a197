-- +goose Up
CREATE TABLE server_keys (
    name text  PRIMARY KEY,
    -- Random, and shared by all servers on this database.
    key  bytea NOT NULL CHECK (octet_length(key) >= 32)
);

-- +goose Down
DROP TABLE server_keys;
