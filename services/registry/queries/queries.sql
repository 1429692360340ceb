-- What the registry answers. Pages are by key: rows after $n, so that they stay stable while things change.

-- name: workspace
SELECT * FROM workspaces WHERE workspace = $1;

-- name: list_workspaces
SELECT * FROM workspaces WHERE workspace > $1 ORDER BY workspace LIMIT $2;

-- name: version
SELECT v.*, ARRAY(
    SELECT d.destination FROM destinations d
    WHERE d.workspace = v.workspace AND d.function = v.function AND d.version = v.number AND d.delete_time IS NULL
    ORDER BY d.destination
) AS deployed_to
FROM versions v
WHERE v.workspace = $1 AND v.function = $2
    AND v.number = coalesce($3, (SELECT f.latest_version FROM functions f WHERE f.workspace = $1 AND f.function = $2));

-- name: list_versions
-- Newest first, without the code.
SELECT v.workspace, v.function, v.number, '' AS code, v.code_sha256, v.definitions, v.timeout_ms, v.handlers,
    v.create_time, v.principal, ARRAY(
        SELECT d.destination FROM destinations d
        WHERE d.workspace = v.workspace AND d.function = v.function AND d.version = v.number AND d.delete_time IS NULL
        ORDER BY d.destination
    ) AS deployed_to
FROM versions v
WHERE v.workspace = $1 AND v.function = $2 AND v.number < $3
ORDER BY v.number DESC
LIMIT $4;

-- name: source
SELECT * FROM sources WHERE workspace = $1 AND source = $2 AND delete_time IS NULL;

-- name: list_sources
SELECT * FROM sources WHERE workspace = $1 AND source > $2 AND delete_time IS NULL ORDER BY source LIMIT $3;

-- name: destination
SELECT d.*, v.definitions, (
    SELECT json_agg(s) FROM destination_settings s WHERE s.workspace = d.workspace AND s.destination = d.destination
) AS settings
FROM destinations d
JOIN versions v ON v.workspace = d.workspace AND v.function = d.function AND v.number = d.version
WHERE d.workspace = $1 AND d.destination = $2 AND d.delete_time IS NULL;

-- name: setting_times
SELECT name, update_time FROM destination_settings
WHERE workspace = $1 AND destination = $2 AND name <> ALL($3::text[]);

-- name: list_destinations
SELECT d.*, v.definitions, (
    SELECT json_agg(s) FROM destination_settings s WHERE s.workspace = d.workspace AND s.destination = d.destination
) AS settings
FROM destinations d
JOIN versions v ON v.workspace = d.workspace AND v.function = d.function AND v.number = d.version
WHERE d.workspace = $1 AND d.destination > $2 AND d.delete_time IS NULL
    AND ($4 OR d.function = ANY($5::text[]) OR d.source = ANY($6::text[]))
ORDER BY d.destination
LIMIT $3;

-- name: encrypted_settings
SELECT e.name, e.nonce, e.ciphertext FROM encrypted_settings e
WHERE e.workspace = $1 AND e.destination = $2
ORDER BY e.name;

-- name: store_encrypted_setting
INSERT INTO encrypted_settings (workspace, destination, name, nonce, ciphertext) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace, destination, name)
DO UPDATE SET nonce = excluded.nonce, ciphertext = excluded.ciphertext;

-- name: delete_encrypted_setting
DELETE FROM encrypted_settings WHERE workspace = $1 AND destination = $2 AND name = $3;

-- name: delete_encrypted_settings
DELETE FROM encrypted_settings WHERE workspace = $1 AND destination = $2;

-- name: insert_token_secret
INSERT INTO token_secrets (token, workspace, secret_hash) VALUES ($1, $2, $3);

-- name: workspace_request
SELECT request_hash, workspace FROM workspace_requests WHERE principal = $1 AND request_id = $2;

-- name: insert_workspace_request
-- Waits for a transaction that is inserting the same; false when that one won.
WITH inserted AS (
    INSERT INTO workspace_requests (principal, request_id, request_hash, workspace) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING 1
)
SELECT EXISTS (SELECT FROM inserted);

-- name: begin_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: head
SELECT coalesce((SELECT position FROM workspace_heads WHERE workspace = $1), 0);
