-- What retention looks for beside the logs.

-- +goose NO TRANSACTION
-- +goose Up
-- What an interrupted build leaves is of no use.
DROP INDEX CONCURRENTLY IF EXISTS resources_deleted;
-- Resources that may be forgotten.
CREATE INDEX CONCURRENTLY resources_deleted ON resources (deleted_at) WHERE deleted;

-- +goose Down
DROP INDEX resources_deleted;
