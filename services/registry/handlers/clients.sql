-- Where calls came from.

-- name: keep_client
INSERT INTO fact_clients (workspace, position, last_position, principal, credential, address, agent, salt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: keep_client_too
-- Part of the event log's `append_one`.
INSERT INTO fact_clients (workspace, position, last_position, principal, credential, address, agent, salt)
SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM head;

-- name: is_member
SELECT EXISTS (SELECT FROM members WHERE workspace = $1 AND member = $2);

-- name: read_clients
-- The row of a fact is the one that begins at it, or last before it.
SELECT wanted.position, found.address, found.agent, found.salt
FROM unnest($2::bigint[]) AS wanted (position)
CROSS JOIN LATERAL (
    SELECT last_position, address, agent, salt FROM fact_clients c
    WHERE c.workspace = $1 AND c.position <= wanted.position
    ORDER BY c.position DESC LIMIT 1
) AS found
WHERE found.last_position >= wanted.position;

-- name: tokens_ever
-- Revoked ones are in the log alone.
SELECT data->>'token' AS token FROM facts
WHERE workspace = $1 AND type = 'TokenCreated' AND data->>'member' = $2
    AND stream >= 'tokens/' AND stream < 'tokens0' AND version = 1;

-- name: erase_clients
-- True where there was something.
WITH erased AS (
    DELETE FROM fact_clients
    WHERE (workspace = $1 AND principal = $2) OR credential = ANY($3::text[])
    RETURNING 1
)
SELECT EXISTS (SELECT FROM erased);
