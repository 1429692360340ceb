-- What the tracker looks up of itself when the operator asks.

-- name: waiting
-- The first of each destination that has something waiting, and is not held back by a limit of its own or a breaker.
SELECT d.workspace, d.destination, w.due_at_us
FROM (SELECT DISTINCT workspace, destination FROM destinations) AS d
CROSS JOIN LATERAL (
    SELECT due_at_us FROM due w
    WHERE w.workspace = d.workspace AND w.destination = d.destination AND w.released_at_us IS NULL
    ORDER BY due_at_us LIMIT 1
) AS w
WHERE NOT EXISTS (
    SELECT FROM breakers b WHERE b.workspace = d.workspace AND b.destination = d.destination AND b.opened_at_us > 0
) AND NOT EXISTS (
    SELECT FROM delivery_policies p
    WHERE p.workspace = d.workspace AND p.destination = d.destination AND (p.max_per_second > 0 OR p.max_in_flight > 0)
);

-- name: count_refused
-- Beyond a thousand, nobody needs the number.
SELECT count(*) FROM (SELECT FROM dead_outcomes LIMIT 1000) AS refused;
