-- name: probe
-- How many events there are in a range of indexes that one condition holds for, up to $4.
SELECT count(*) FROM (
    SELECT FROM audit_events WHERE workspace = $1 AND index BETWEEN $2 AND $3 AND {condition} LIMIT $4
) AS few

-- name: first_recorded
-- The first index that was recorded at a time or later, of $3; above all of them where none was. Record times follow the
-- index, so that this is a search by halves; where records are missing it ends early, before the place.
WITH RECURSIVE halves(low, high) AS (
    SELECT 0::bigint, $3::bigint + 1
    UNION ALL
    SELECT CASE WHEN e.record_time < $2 THEN e.index ELSE h.low END,
        CASE WHEN e.record_time < $2 THEN h.high ELSE e.index END
    FROM halves h
    CROSS JOIN LATERAL (
        SELECT index, record_time FROM audit_events
        WHERE workspace = $1 AND index BETWEEN (h.low + h.high) / 2 AND (h.low + h.high) / 2 ORDER BY index LIMIT 1
    ) AS e
    WHERE h.high - h.low > 1
)
SELECT max(low) + 1 AS earliest, min(high) AS latest FROM halves;

-- name: candidates
-- Of one condition that an index knows, and in a range of indexes.
(
    SELECT index FROM audit_events
    WHERE workspace = $1 AND index BETWEEN {low} AND {high} AND {condition} ORDER BY index DESC LIMIT $4
)

-- name: scan
-- Newest first, among the next $4 candidates: up to $13 of at most $14 bytes in all that match, but one at least; on each
-- row, how many of them match, how many candidates there were, and between which indexes. $2 to $3 is the range of
-- indexes; $15 to $16 is above, $17 to $18 below it: where records are that were told late.
WITH candidates AS MATERIALIZED (
    SELECT index FROM ({candidates}) AS found ORDER BY index DESC LIMIT $4
),
scanned AS MATERIALIZED (
    SELECT e.index, e.changes_bytes,
        ($5::text IS NULL OR e.principal = $5 OR e.credential = $5)
            AND ($6::text IS NULL OR e.action = $6)
            AND ($7::text IS NULL OR e.target_type = $7)
            AND ($8::text IS NULL OR e.target_id = $8)
            AND ($9::timestamptz IS NULL OR e.occur_time >= $9)
            AND ($10::timestamptz IS NULL OR e.occur_time < $10)
            AND ($11::smallint IS NULL OR e.outcome = $11)
            AND {matches_text}
            -- Where times do not matter, nothing else says what these are.
            AND coalesce($15::bigint, $16::bigint, $17::bigint, $18::bigint, 0) IS NOT NULL AS matches
    -- Looked up one by one; see merkle_log.sql.
    FROM candidates c
    CROSS JOIN LATERAL (
        SELECT * FROM audit_events WHERE workspace = $1 AND index BETWEEN c.index AND c.index ORDER BY index LIMIT 1
    ) AS e
),
matching AS (
    SELECT index, changes_bytes, sum(changes_bytes) OVER (ORDER BY index DESC) AS bytes_so_far
    FROM (SELECT * FROM scanned WHERE matches ORDER BY index DESC LIMIT $13) AS few
),
chosen AS (SELECT index FROM matching WHERE bytes_so_far <= $14 OR bytes_so_far = changes_bytes)
SELECT e.*, (SELECT count(*) FROM matching) AS found, s.scanned, s.lowest, s.highest
FROM (SELECT count(*) AS scanned, min(index) AS lowest, max(index) AS highest FROM candidates) AS s
LEFT JOIN chosen ON true
LEFT JOIN LATERAL (
    SELECT * FROM audit_events WHERE workspace = $1 AND index BETWEEN chosen.index AND chosen.index ORDER BY index LIMIT 1
) AS e ON true
ORDER BY e.index DESC;
