-- Delivery policies as the registry's facts have them.

-- name: policies
SELECT p.* FROM unnest($1::text[], $2::text[]) AS k (workspace, destination)
JOIN delivery_policies p ON p.workspace = k.workspace AND p.destination = k.destination;

-- name: store_policy
INSERT INTO delivery_policies (
    workspace, destination, retry_offsets_s, max_per_second, max_in_flight, breaker_disabled
)
VALUES ($1, $2, $3::int[], $4, $5, $6)
ON CONFLICT (workspace, destination) DO UPDATE SET retry_offsets_s = excluded.retry_offsets_s,
    max_per_second = excluded.max_per_second, max_in_flight = excluded.max_in_flight,
    breaker_disabled = excluded.breaker_disabled;

-- name: forget_policy
DELETE FROM delivery_policies WHERE workspace = $1 AND destination = $2;
