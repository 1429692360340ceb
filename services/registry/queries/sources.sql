-- Write keys.

-- name: write_key
SELECT k.workspace, k.source, k.key, k.create_time, s.last_used_at
FROM write_keys k JOIN write_key_secrets s ON s.key = k.key
WHERE k.workspace = $1 AND k.source = $2 AND k.key = $3;

-- name: list_write_keys
SELECT k.workspace, k.source, k.key, k.create_time, s.last_used_at
FROM write_keys k JOIN write_key_secrets s ON s.key = k.key
WHERE k.workspace = $1 AND k.source = $2 AND k.key > $3
ORDER BY k.key
LIMIT $4;

-- name: insert_write_key_secret
INSERT INTO write_key_secrets (key, workspace, source, secret_hash) VALUES ($1, $2, $3, $4);

-- name: delete_write_key_secrets
DELETE FROM write_key_secrets WHERE key = ANY($1::text[]);

-- name: write_key_secret
SELECT s.workspace, s.source, s.secret_hash, s.last_used_at
FROM write_key_secrets s
JOIN write_keys k ON k.workspace = s.workspace AND k.source = s.source AND k.key = s.key
WHERE s.key = $1;

-- name: touch_write_key
UPDATE write_key_secrets SET last_used_at = $2 WHERE key = $1;
