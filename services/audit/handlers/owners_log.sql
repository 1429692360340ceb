-- name: recorded
SELECT f.position, f.stream, f.version, f.type, f.data, f.meta, f.fact_id, f.recorded_at
FROM audit_events e JOIN audit_facts f ON f.workspace = e.workspace AND f.index = e.index
WHERE e.workspace = $1 AND e.service = $2 AND e.position = ANY($3::bigint[]);
