-- Errors by group.

-- name: error_groups
-- From minute $5 to $6, of group $7 or of any: those with the most failed attempts first.
SELECT g.*, c.attempts, c.failed
FROM (
    SELECT d.destination, r.* FROM (
        SELECT DISTINCT destination FROM destinations
        WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR source = ANY($4))
    ) AS d
    CROSS JOIN LATERAL (
        SELECT error_group, sum(attempts)::bigint AS attempts, sum(failed)::bigint AS failed FROM error_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= $5 AND r.minute < $6
            AND ($7::bigint = 0 OR r.error_group = $7)
        GROUP BY 1
    ) AS r
) AS c
JOIN error_groups g ON g.workspace = $1 AND g.destination = c.destination AND g.error_group = c.error_group
ORDER BY c.attempts DESC, g.destination, g.error_group
LIMIT $8 OFFSET $9;

-- name: samples
-- The newest deliveries with attempts in these groups, $6 of each at most; of one, several attempts may be.
SELECT k.destination, k.error_group, a.stream_sequence, a.event_index
FROM unnest($2::text[], $3::bigint[]) AS k (destination, error_group)
CROSS JOIN LATERAL (
    SELECT DISTINCT received_at_us, stream_sequence, event_index FROM (
        SELECT received_at_us, stream_sequence, event_index FROM attempts t
        WHERE t.workspace = $1 AND t.destination = k.destination AND t.error_group = k.error_group
            AND t.error_group <> 0 AND t.received_at_us >= $4 AND t.received_at_us < $5
        ORDER BY t.received_at_us DESC LIMIT $6::bigint * $7::bigint
    ) AS newest
    ORDER BY received_at_us DESC, stream_sequence DESC, event_index DESC LIMIT $6
) AS a;
