-- What the trail answers. Pages are by index, so that they stay stable while the trail grows.

-- name: event
SELECT * FROM audit_events WHERE workspace = $1 AND index = $2;

-- name: events_after
-- Oldest first: up to $3 of at most $4 bytes in all, but one at least.
SELECT e.*
FROM (
    SELECT index, changes_bytes, sum(changes_bytes) OVER (ORDER BY index) AS bytes_so_far
    FROM (
        SELECT index, changes_bytes FROM audit_events WHERE workspace = $1 AND index > $2 ORDER BY index LIMIT $3
    ) AS candidates
) AS chosen
JOIN audit_events e ON e.workspace = $1 AND e.index = chosen.index
WHERE chosen.bytes_so_far <= $4 OR chosen.bytes_so_far = chosen.changes_bytes
ORDER BY e.index;

-- name: plan_for_filter
-- Planned anew for each filter, the statement uses the index that suits it.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: head
SELECT index FROM audit_heads WHERE workspace = $1;

-- name: heads
SELECT workspace, index FROM audit_heads WHERE workspace = ANY($1::text[]);

-- name: applied_positions
-- What kit.eventstore.consumer has recorded.
SELECT workspace, position FROM consumer_positions WHERE consumer = $1 AND service = $2;
