-- How destinations are, for those who ask. Windows are five minutes; a minute's window is minute / 5.

-- name: destinations
-- Those that the caller may see: of these functions, or of these sources.
SELECT d.destination, min(d.source) AS source, bool_or(h.unhealthy) AS unhealthy, min(h.since) AS since
FROM destinations d
LEFT JOIN destination_health h ON h.workspace = d.workspace AND h.destination = d.destination
WHERE d.workspace = $1 AND ($2 = '' OR d.destination = $2)
    AND ($3 OR d.function = ANY($4::text[]) OR d.source = ANY($5::text[]))
    AND NOT EXISTS (
        SELECT FROM departed_destinations g WHERE g.workspace = d.workspace AND g.destination = d.destination)
GROUP BY 1 ORDER BY 1;

-- name: windows
SELECT d.destination, w.*
FROM unnest($2::text[]) AS d (destination)
CROSS JOIN LATERAL (
    SELECT r.minute / 5 AS number, sum(r.attempts)::bigint AS attempts,
        coalesce(sum(r.attempts) FILTER (WHERE r.error_type <> 0), 0)::bigint AS failures,
        sum(r.http_errors)::bigint AS http_errors
    FROM attempt_rollups r
    WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= $3 * 5 AND r.minute < ($4 + 1) * 5
    GROUP BY 1
) AS w;

-- name: judged
SELECT judged FROM health_progress;
