-- What waits for destinations that are held back, past its horizon.

-- name: past_horizon
SELECT d.* FROM (
    SELECT workspace, destination FROM breakers WHERE opened_at_us > 0
    UNION
    SELECT workspace, destination FROM delivery_policies WHERE max_per_second > 0 OR max_in_flight > 0
) AS h
LEFT JOIN delivery_policies p ON p.workspace = h.workspace AND p.destination = h.destination
CROSS JOIN LATERAL (
    SELECT * FROM due w
    WHERE w.workspace = h.workspace AND w.destination = h.destination AND w.released_at_us IS NULL
        AND w.due_at_us <= $1 AND w.first_ended_at_us > 0
        AND w.first_ended_at_us
            <= $1 - coalesce(p.retry_offsets_s[array_upper(p.retry_offsets_s, 1)], $2)::bigint * 1000000
    ORDER BY w.first_ended_at_us LIMIT $3
) AS d
ORDER BY d.workspace, d.destination, d.source, d.function
LIMIT $3;
