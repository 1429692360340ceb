-- Destinations by the registry's facts.

-- name: connect
INSERT INTO connections (workspace, destination, source, function, disabled_at_us) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING;

-- name: enable
UPDATE connections SET enabled = true WHERE workspace = $1 AND destination = $2;

-- name: disable
UPDATE connections SET enabled = false, disabled_at_us = $3 WHERE workspace = $1 AND destination = $2;

-- name: disconnect
DELETE FROM connections WHERE workspace = $1 AND destination = $2;
