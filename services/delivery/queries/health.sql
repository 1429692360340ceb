-- How destinations are, for those who ask. Windows are five minutes; a minute's window is minute / 5.

-- name: destinations
-- Those that the caller may see: of these functions, or of these sources.
SELECT d.destination, min(d.source) AS source, bool_or(h.unhealthy) AS unhealthy, min(h.since) AS since
FROM destinations d
LEFT JOIN destination_health h ON h.workspace = d.workspace AND h.destination = d.destination
WHERE d.workspace = $1 AND ($2 = '' OR d.destination = $2)
    AND ($3 OR d.function = ANY($4::text[]) OR $5 OR d.source = ANY($6::text[]))
    AND NOT EXISTS (
        SELECT FROM departed_destinations g WHERE g.workspace = d.workspace AND g.destination = d.destination)
GROUP BY 1 ORDER BY 1;

-- name: windows
SELECT destination, minute / 5 AS number, sum(attempts)::bigint AS attempts,
    coalesce(sum(attempts) FILTER (WHERE error_type <> 0), 0)::bigint AS failures,
    sum(http_errors)::bigint AS http_errors
FROM attempt_rollups
WHERE workspace = $1 AND destination = ANY($2::text[]) AND minute >= $3 * 5 AND minute < ($4 + 1) * 5
GROUP BY 1, 2;

-- name: judged
SELECT judged FROM health_progress;
