-- name: scan
-- Newest first, among the next $3 events that pass the filter: up to $4 of at most $5 bytes in all that match the regular
-- expression $13, but one at least; on each row, how many of them match, how many there were, and between which indexes.
WITH scanned AS MATERIALIZED (
    SELECT index, changes_bytes,
        $13::text IS NULL OR target_display_name ~ $13 OR target_id ~ $13 OR principal ~ $13 OR credential ~ $13 AS matches
    FROM audit_events
    WHERE workspace = $1 AND index < $2
        AND ($6::timestamptz IS NULL OR occur_time >= $6)
        AND ($7::timestamptz IS NULL OR occur_time < $7)
        AND ($8::text IS NULL OR principal = $8 OR credential = $8)
        AND ($9::text IS NULL OR action = $9)
        AND ($10::text IS NULL OR target_type = $10)
        AND ($11::text IS NULL OR target_id = $11)
        AND ($12::smallint IS NULL OR outcome = $12)
    ORDER BY index DESC LIMIT $3
),
candidates AS (
    SELECT index, changes_bytes, sum(changes_bytes) OVER (ORDER BY index DESC) AS bytes_so_far
    FROM (SELECT * FROM scanned WHERE matches ORDER BY index DESC LIMIT $4) AS matching
),
chosen AS (SELECT index FROM candidates WHERE bytes_so_far <= $5 OR bytes_so_far = changes_bytes)
SELECT e.*, (SELECT count(*) FROM candidates) AS found, s.scanned, s.lowest, s.highest
FROM (SELECT count(*) AS scanned, min(index) AS lowest, max(index) AS highest FROM scanned) AS s
LEFT JOIN chosen ON true
LEFT JOIN audit_events e ON e.workspace = $1 AND e.index = chosen.index
ORDER BY e.index DESC;
