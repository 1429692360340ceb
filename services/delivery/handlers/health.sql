-- Judging how destinations are. Windows are five minutes; a minute's window is minute / 5.

-- name: try_to_lead
SELECT pg_try_advisory_lock(hashtextextended('onward delivery health', 0));

-- name: progress
SELECT judged, steady_since FROM health_progress;

-- name: set_progress
INSERT INTO health_progress (judged, steady_since) VALUES ($1, $2)
ON CONFLICT (single) DO UPDATE SET judged = excluded.judged, steady_since = excluded.steady_since;

-- name: windows
-- What was attempted in windows from one to another; $3 is the error type of Invalid Settings.
-- Destination by destination, through the primary key: most rows are of times long ago.
SELECT d.workspace, d.destination, w.*,
    -- A breaker was open for a part of it; where it closed long ago, its row is gone.
    coalesce(b.opened_at_us > 0 AND b.opened_at_us < (w.number + 1) * 300000000::bigint
        OR b.closed_at_us >= w.number * 300000000::bigint, false) AS held_back
FROM (SELECT DISTINCT workspace, destination FROM destinations) AS d
CROSS JOIN LATERAL (
    SELECT r.minute / 5 AS number, sum(r.attempts)::bigint AS attempts,
        coalesce(sum(r.attempts) FILTER (WHERE r.error_type <> 0), 0)::bigint AS failures,
        coalesce(sum(r.attempts) FILTER (WHERE r.error_type = $3), 0)::bigint AS invalid_settings
    FROM attempt_rollups r
    WHERE r.workspace = d.workspace AND r.destination = d.destination AND r.minute >= $1 * 5
        AND r.minute < ($2 + 1) * 5
    GROUP BY 1 HAVING sum(r.attempts) > 0
) AS w
LEFT JOIN breakers b ON b.workspace = d.workspace AND b.destination = d.destination;

-- name: health_of
SELECT * FROM destination_health
WHERE workspace = $1 AND destination = ANY($2::text[])
ORDER BY destination FOR UPDATE;

-- name: source_of
SELECT min(source) FROM destinations WHERE workspace = $1 AND destination = $2;

-- name: put_health
INSERT INTO destination_health (
    workspace, destination, unhealthy, since, judged, failing, clean, failing_since, clean_since, invalid_since,
    first_window
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::boolean[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[],
    $10::int[], $11::int[]
)
ON CONFLICT (workspace, destination) DO UPDATE SET
    unhealthy = excluded.unhealthy, since = excluded.since, judged = excluded.judged, failing = excluded.failing,
    clean = excluded.clean, failing_since = excluded.failing_since, clean_since = excluded.clean_since,
    invalid_since = excluded.invalid_since;
