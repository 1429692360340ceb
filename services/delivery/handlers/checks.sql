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

-- name: storage
-- What each table takes with its indexes, partitions by their parent; `day` is that of a partition that holds something.
SELECT p.relname AS table, sum(pg_total_relation_size(c.oid))::bigint AS bytes,
    min(right(c.relname, 8)) FILTER (WHERE c.relname ~ '_[0-9]{8}$' AND pg_relation_size(c.oid) > 0) AS day
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relkind = 'p' AND p.relnamespace = current_schema()::regnamespace
GROUP BY 1
UNION ALL
SELECT CASE WHEN c.relname LIKE '%rollups' OR c.relname = 'error_groups' THEN 'numbers' ELSE c.relname END,
    sum(pg_total_relation_size(c.oid))::bigint, NULL
FROM pg_class c
WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
GROUP BY 1;

-- name: unhealthy
-- Beyond a thousand, nobody needs the number.
SELECT h.workspace, h.destination FROM destination_health h
WHERE h.unhealthy AND NOT EXISTS (
    SELECT FROM departed_destinations g WHERE g.workspace = h.workspace AND g.destination = h.destination)
ORDER BY 1, 2 LIMIT 1000;
