-- How facts change the read models. The first parameters are always the workspace and the fact's recorded_at.

-- name: workspace_created
INSERT INTO workspaces (workspace, create_time, display_name, functions_max) VALUES ($1, $2, $3, $4);

-- name: limits_set
UPDATE workspaces SET functions_max = $2 WHERE workspace = $1;

-- name: egress_range_allowed
UPDATE workspaces SET egress_ranges = egress_ranges || $2::text WHERE workspace = $1;

-- name: token_created
INSERT INTO tokens (workspace, create_time, token, display_name, role) VALUES ($1, $2, $3, $4, $5);

-- name: function_created
INSERT INTO functions
    (workspace, create_time, update_time, function, revision, display_name, description, template, labels)
VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8);

-- name: function_version_saved
WITH saved AS (
    INSERT INTO versions
        (workspace, create_time, function, number, code, code_sha256, definitions, timeout_ms, handlers, principal)
    VALUES ($1, $2, $3, $5, $6, $7, $8, $9, $10, $11)
)
UPDATE functions SET latest_version = $5, handlers = $10, revision = $4, update_time = $2
WHERE workspace = $1 AND function = $3;

-- name: version_deployed
WITH moved AS (
    UPDATE destinations SET version = $5, update_time = $2
    WHERE workspace = $1 AND destination = ANY($6::text[])
)
UPDATE functions SET revision = $4, update_time = $2 WHERE workspace = $1 AND function = $3;

-- name: source_created
INSERT INTO sources (workspace, create_time, source, revision, display_name, labels)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: destination_connected
INSERT INTO destinations
    (workspace, create_time, update_time, destination, revision, display_name, function, source, version, labels)
VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: setting_changed
-- The type of an encrypted value ($5 is null) is the one that the running version defines for it.
INSERT INTO destination_settings (workspace, update_time, destination, name, type, value)
VALUES ($1, $2, $3, $4, coalesce($5, (
    SELECT definition ->> 'type'
    FROM destinations d
    JOIN versions v ON v.workspace = d.workspace AND v.function = d.function AND v.number = d.version
    CROSS JOIN json_array_elements(v.definitions) AS definition
    WHERE d.workspace = $1 AND d.destination = $3 AND definition ->> 'name' = $4
)), $6)
ON CONFLICT (workspace, destination, name)
DO UPDATE SET type = excluded.type, value = excluded.value, update_time = excluded.update_time;

-- name: setting_cleared
DELETE FROM destination_settings WHERE workspace = $1 AND destination = $2 AND name = $3;

-- name: settings_changed
UPDATE destinations SET revision = $4, settings_revision = $5, update_time = $2
WHERE workspace = $1 AND destination = $3;

-- name: destination_switched
UPDATE destinations SET revision = $4, enabled = $5, update_time = $2
WHERE workspace = $1 AND destination = $3;
