-- How facts are recorded.

-- name: next_indexes
-- Gives out $2 indexes, of which it answers the last, and locks the workspace until the commit.
INSERT INTO audit_heads AS h (workspace, index, record_time) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (workspace) DO UPDATE SET
    index = h.index + $2, record_time = greatest(h.record_time, clock_timestamp())
RETURNING index, record_time;

-- name: states
SELECT stream, state FROM audit_targets WHERE workspace = $1 AND service = $2 AND stream = ANY($3::text[]);

-- name: record_events
-- In the order of the arrays, from the index $3 on.
INSERT INTO audit_events (
    workspace, service, index, position, fact_id, occur_time, record_time, principal, action, target_type, target_id,
    target_display_name, outcome, changes, changes_bytes, request_id, trace_id, credential
)
SELECT $1, $2, $3 + n.place - 1, n.position, n.fact_id, n.occur_time, n.record_time, n.principal, n.action,
    n.target_type, n.target_id, n.target_display_name, n.outcome, n.changes, n.changes_bytes, n.request_id, n.trace_id,
    n.credential
FROM unnest(
    $4::bigint[], $5::uuid[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::text[], $13::smallint[], $14::json[], $15::integer[], $16::text[], $17::text[], $18::text[]
) WITH ORDINALITY AS n(
    position, fact_id, occur_time, record_time, principal, action, target_type, target_id, target_display_name, outcome,
    changes, changes_bytes, request_id, trace_id, credential, place
);

-- name: record_facts
-- As record_events.
INSERT INTO audit_facts (
    workspace, service, index, position, stream, version, type, data, meta, fact_id, recorded_at
)
SELECT $1, $2, $3 + n.place - 1, n.position, n.stream, n.version, n.type, n.data, n.meta, n.fact_id, n.recorded_at
FROM unnest(
    $4::bigint[], $5::text[], $6::integer[], $7::text[], $8::bytea[], $9::json[], $10::uuid[], $11::timestamptz[]
) WITH ORDINALITY AS n(position, stream, version, type, data, meta, fact_id, recorded_at, place);

-- name: record_states
INSERT INTO audit_targets (workspace, service, stream, state)
SELECT $1, $2, n.stream, n.state FROM unnest($3::text[], $4::json[]) AS n(stream, state)
ON CONFLICT (workspace, service, stream) DO UPDATE SET state = excluded.state;
