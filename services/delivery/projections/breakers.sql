-- Circuit breakers, in the transactions of the outcomes that change them.

-- name: add_breakers
-- Of destinations that failed and may have one.
INSERT INTO breakers (workspace, destination)
SELECT k.workspace, k.destination FROM unnest($1::text[], $2::text[]) AS k (workspace, destination)
WHERE NOT EXISTS (
    SELECT FROM delivery_policies p
    WHERE p.workspace = k.workspace AND p.destination = k.destination AND p.breaker_disabled
) AND NOT EXISTS (
    SELECT FROM departed_destinations g WHERE g.workspace = k.workspace AND g.destination = k.destination
)
ORDER BY k.workspace, k.destination
ON CONFLICT DO NOTHING;

-- name: lock_breakers
-- Locked until the end, in the order in which the keys are given.
SELECT b.* FROM unnest($1::text[], $2::text[]) AS k (workspace, destination)
CROSS JOIN LATERAL (
    SELECT * FROM breakers b WHERE b.workspace = k.workspace AND b.destination = k.destination FOR UPDATE
) AS b;

-- name: store_breakers
UPDATE breakers b SET opened_at_us = k.opened_at_us, until_us = k.until_us, openings = k.openings,
    closed_at_us = k.closed_at_us, bucket = k.bucket, attempts = k.attempts, failures = k.failures,
    attempts_before = k.attempts_before, failures_before = k.failures_before, counted_at_us = $12
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[]
) AS k (
    workspace, destination, opened_at_us, until_us, openings, closed_at_us, bucket, attempts, failures,
    attempts_before, failures_before
)
WHERE b.workspace = k.workspace AND b.destination = k.destination;

-- name: add_breaker_changes
INSERT INTO breaker_changes (workspace, destination, opened, attempts, failures, open_us)
SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[]);

-- name: remove_breaker
DELETE FROM breakers WHERE workspace = $1 AND destination = $2 RETURNING *;
