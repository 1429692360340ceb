-- What executors reported, and what runs where.

-- name: forget_executor
DELETE FROM executors WHERE executor = $1;

-- name: forget_silent
-- Nobody's but the caller's own, who is about to speak. In order and past locks, so that two reports never wait for one
-- another.
DELETE FROM executors WHERE executor IN (
    SELECT executor FROM executors
    WHERE seen_at < now() - make_interval(secs => $2) AND executor <> $1
    ORDER BY executor FOR UPDATE SKIP LOCKED
);

-- name: see_executor
-- Knows nothing of one that is new, or was forgotten.
UPDATE executors SET seen_at = now() WHERE executor = $1 RETURNING executor;

-- name: begin_executor
INSERT INTO executors (executor, seen_at) VALUES ($1, now())
ON CONFLICT (executor) DO UPDATE SET seen_at = excluded.seen_at;

-- name: forget_positions
DELETE FROM executor_positions WHERE executor = $1;

-- name: put_positions
INSERT INTO executor_positions (executor, workspace, position)
SELECT $1, k.workspace, k.position FROM unnest($2::text[], $3::bigint[]) AS k (workspace, position)
ON CONFLICT (executor, workspace) DO UPDATE SET position = excluded.position;

-- name: destinations_of_function
SELECT destination, version, enabled FROM destinations
WHERE workspace = $1 AND function = $2 AND delete_time IS NULL ORDER BY destination;

-- name: last_change
-- The newest fact of the function, of all destinations that it has or had, of their sources, and of the workspace: filters
-- and address ranges concern them, too. What else such a stream holds only makes the answer later, never wrong.
WITH own AS (
    SELECT destination, source FROM destinations WHERE workspace = $1 AND function = $2
), streams AS (
    SELECT 'workspace' AS stream
    UNION SELECT 'functions/' || $2
    UNION SELECT 'destinations/' || destination FROM own
    UNION SELECT 'sources/' || source FROM own
)
SELECT coalesce(max(f.position), 0) FROM streams s
CROSS JOIN LATERAL (
    SELECT position FROM facts WHERE workspace = $1 AND stream = s.stream ORDER BY version DESC LIMIT 1
) AS f;

-- name: executors
SELECT e.executor, coalesce(p.position, 0) AS position
FROM executors e LEFT JOIN executor_positions p ON p.executor = e.executor AND p.workspace = $1
WHERE e.seen_at >= now() - make_interval(secs => $2)
ORDER BY e.executor;
