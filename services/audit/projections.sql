-- How facts are recorded.

-- name: next_indexes
-- Gives out $2 indexes, of which it answers the last, and locks the workspace until the commit.
INSERT INTO audit_heads AS h (workspace, index, record_time) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (workspace) DO UPDATE SET
    index = h.index + $2, record_time = greatest(h.record_time, clock_timestamp())
RETURNING index, record_time;

-- name: states
SELECT stream, state FROM audit_targets WHERE workspace = $1 AND service = $2 AND stream = ANY($3::text[]);

-- name: record_states
INSERT INTO audit_targets (workspace, service, stream, state)
SELECT $1, $2, n.stream, n.state FROM unnest($3::text[], $4::json[]) AS n(stream, state)
ON CONFLICT (workspace, service, stream) DO UPDATE SET state = excluded.state;
