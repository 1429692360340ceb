-- How facts change the read models. The first parameters are the workspace and the fact's recorded_at, but for
-- rows (see `Rows`), which have that in `head`.

-- name: source_created
INSERT INTO sources (workspace, create_time, source, revision, display_name, labels)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: destination_connected
INSERT INTO destinations
    (workspace, create_time, update_time, destination, revision, display_name, function, source, version, labels)
VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: settings_changed
-- A row (see `Rows`), and what belongs to it.
UPDATE destinations SET revision = $3, settings_revision = $4, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND destination = $2
RETURNING head.recorded_at;

-- name: settings_stored
-- The type of an encrypted value, which is given none, is the one that the running version defines for it.
INSERT INTO destination_settings (workspace, update_time, destination, name, type, value)
SELECT $1, head.recorded_at, $2, given.name, coalesce(given.type, (
    SELECT definition ->> 'type'
    FROM destinations d
    JOIN versions v ON v.workspace = d.workspace AND v.function = d.function AND v.number = d.version
    CROSS JOIN json_array_elements(v.definitions) AS definition
    WHERE d.workspace = $1 AND d.destination = $2 AND definition ->> 'name' = given.name
)), given.value::json
FROM head, unnest($3::text[], $4::text[], $5::text[]) AS given (name, type, value)
ON CONFLICT (workspace, destination, name)
DO UPDATE SET type = excluded.type, value = excluded.value, update_time = excluded.update_time;

-- name: settings_cleared
DELETE FROM destination_settings USING head WHERE workspace = $1 AND destination = $2 AND name = ANY($3::text[]);

-- name: destination_switched
-- A row (see `Rows`).
UPDATE destinations SET revision = $3, enabled = $4, held = $5, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND destination = $2
RETURNING head.recorded_at;

-- name: source_updated
-- A row (see `Rows`).
UPDATE sources SET revision = $3, display_name = coalesce($4, display_name), labels = coalesce($5::json, labels)
FROM head WHERE workspace = $1 AND source = $2
RETURNING head.recorded_at;

-- name: source_deleted
WITH keys AS (DELETE FROM write_keys WHERE workspace = $1 AND source = $3),
    rules AS (DELETE FROM filters WHERE workspace = $1 AND parent = 'sources/' || $3)
UPDATE sources SET revision = $4, delete_time = $2 WHERE workspace = $1 AND source = $3;

-- name: write_key_created
INSERT INTO write_keys (workspace, create_time, source, key) VALUES ($1, $2, $3, $4);

-- name: write_key_revoked
DELETE FROM write_keys WHERE workspace = $1 AND source = $2 AND key = $3;

-- name: destination_disconnected
WITH rules AS (DELETE FROM filters WHERE workspace = $1 AND parent = 'destinations/' || $3),
    settings AS (DELETE FROM destination_settings WHERE workspace = $1 AND destination = $3)
UPDATE destinations SET revision = $4, enabled = false, update_time = $2, delete_time = $2
WHERE workspace = $1 AND destination = $3;

-- name: delivery_policy_updated
-- A row (see `Rows`).
UPDATE destinations SET revision = $3, policy = $4, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND destination = $2
RETURNING head.recorded_at;

-- name: source_touched
UPDATE sources SET revision = $3 WHERE workspace = $1 AND source = $2;
