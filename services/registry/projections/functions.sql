-- How facts change the read models. The first parameters are the workspace and the fact's recorded_at, but for
-- rows (see `Rows`), which have that in `head`.

-- name: function_created
INSERT INTO functions
    (workspace, create_time, update_time, function, revision, display_name, description, template, labels)
VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8);

-- name: function_updated
-- A row (see `Rows`).
UPDATE functions SET revision = $3, update_time = head.recorded_at, display_name = coalesce($4, display_name),
    description = coalesce($5, description), labels = coalesce($6::json, labels)
FROM head WHERE workspace = $1 AND function = $2
RETURNING head.recorded_at;

-- name: function_deleted
UPDATE functions SET revision = $4, update_time = $2, delete_time = $2 WHERE workspace = $1 AND function = $3;

-- name: function_version_saved
-- A row (see `Rows`), and what belongs to it.
UPDATE functions SET latest_version = $4, handlers = $5, revision = $3, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND function = $2
RETURNING head.recorded_at;

-- name: version_saved
INSERT INTO versions
    (workspace, create_time, function, number, code, code_sha256, definitions, timeout_ms, handlers, principal)
SELECT $1, head.recorded_at, $2, $3, $4, $5, $6, $7, $8, $9 FROM head;

-- name: version_deployed
-- A row (see `Rows`), and what belongs to it.
UPDATE functions SET revision = $3, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND function = $2
RETURNING head.recorded_at;

-- name: destinations_moved
UPDATE destinations SET version = $2, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND destination = ANY($3::text[]);
