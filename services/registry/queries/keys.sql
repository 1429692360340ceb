-- Which of the operator's keys wraps which data key.

-- name: lock_keys
-- Until the end of the transaction: of two first starts at once with different keys, one must see the other's.
SELECT pg_advisory_xact_lock(hashtext('onward_registry_keys'));

-- name: known_keys
SELECT key_id, check_value FROM key_check ORDER BY key_id;

-- name: insert_known_key
INSERT INTO key_check (key_id, check_value) VALUES ($1, $2);

-- name: data_key
SELECT wrapped_key, key_id FROM data_keys WHERE workspace = $1;

-- name: insert_data_key
INSERT INTO data_keys (workspace, wrapped_key, key_id) VALUES ($1, $2, $3);

-- name: data_keys_by_key
SELECT key_id, count(*) AS data_keys FROM data_keys GROUP BY key_id ORDER BY key_id;

-- name: lock_data_keys_behind
-- Of the keys $2, and not wrapped by $1. What another transaction has locked is left to it, or to the next call.
SELECT workspace, wrapped_key, key_id FROM data_keys
WHERE key_id <> $1 AND key_id = ANY($2::text[]) AND workspace > $3
ORDER BY workspace
LIMIT $4
FOR UPDATE SKIP LOCKED;

-- name: rewrap_data_keys
UPDATE data_keys AS d SET wrapped_key = n.wrapped_key, key_id = $1
FROM unnest($2::text[], $3::bytea[]) AS n(workspace, wrapped_key)
WHERE d.workspace = n.workspace;
