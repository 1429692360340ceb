-- What the tracker looks up of itself when the operator asks.

-- name: waiting
-- The first of each destination that has something waiting.
SELECT d.workspace, d.destination, w.due_at_us
FROM (SELECT DISTINCT workspace, destination FROM destinations) AS d
CROSS JOIN LATERAL (
    SELECT due_at_us FROM due w
    WHERE w.workspace = d.workspace AND w.destination = d.destination AND w.released_at_us IS NULL
    ORDER BY due_at_us LIMIT 1
) AS w;

-- name: count_refused
-- Beyond a thousand, nobody needs the number.
SELECT count(*) FROM (SELECT FROM dead_outcomes LIMIT 1000) AS refused;
