-- What the trail answers. Pages are by index, so that they stay stable while the trail grows.

-- name: event
SELECT * FROM audit_events WHERE workspace = $1 AND index BETWEEN $2 AND $2 ORDER BY index LIMIT 1;

-- name: events_after
-- Oldest first: up to $3 of at most $4 bytes in all, but one at least.
SELECT e.*
FROM (
    SELECT index, changes_bytes, sum(changes_bytes) OVER (ORDER BY index) AS bytes_so_far
    FROM (
        SELECT index, changes_bytes FROM audit_events WHERE workspace = $1 AND index > $2 ORDER BY index LIMIT $3
    ) AS candidates
) AS chosen
-- See handlers/merkle_log.sql.
CROSS JOIN LATERAL (
    SELECT * FROM audit_events WHERE workspace = $1 AND index BETWEEN chosen.index AND chosen.index ORDER BY index LIMIT 1
) AS e
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
