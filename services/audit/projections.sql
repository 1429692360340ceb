-- How facts are recorded.

-- name: next_index
-- Locks the workspace until the commit.
INSERT INTO audit_heads AS h (workspace, index, record_time) VALUES ($1, 1, clock_timestamp())
ON CONFLICT (workspace) DO UPDATE SET
    index = h.index + 1, record_time = greatest(h.record_time, clock_timestamp())
RETURNING index, record_time;

-- name: states
SELECT stream, state FROM audit_targets WHERE workspace = $1 AND service = $2 AND stream = ANY($3::text[]);

-- name: record_event
INSERT INTO audit_events (
    workspace, index, service, position, fact_id, occur_time, record_time, principal, action, target_type, target_id,
    target_display_name, outcome, changes, changes_bytes, request_id, trace_id, credential
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- name: record_fact
INSERT INTO audit_facts (
    workspace, index, service, position, stream, version, type, data, meta, fact_id, recorded_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: record_states
INSERT INTO audit_targets (workspace, service, stream, state)
SELECT $1, $2, n.stream, n.state FROM unnest($3::text[], $4::json[]) AS n(stream, state)
ON CONFLICT (workspace, service, stream) DO UPDATE SET state = excluded.state;
