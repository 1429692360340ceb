-- The statements of the event log.

-- name: lock_head
SELECT position FROM workspace_heads WHERE workspace = $1 FOR UPDATE;

-- name: create_head
INSERT INTO workspace_heads (workspace) VALUES ($1) ON CONFLICT (workspace) DO NOTHING;

-- name: head
SELECT position FROM workspace_heads WHERE workspace = $1;

-- name: workspaces
SELECT workspace, position FROM workspace_heads WHERE position > 0 ORDER BY workspace;

-- name: versions
-- One index probe a stream, where max() with GROUP BY would walk all of a stream's versions.
SELECT s.stream, coalesce(
    (SELECT f.version FROM facts f WHERE f.workspace = $1 AND f.stream = s.stream ORDER BY f.version DESC LIMIT 1), 0
) AS version
FROM unnest($2::text[]) AS s(stream);

-- name: append
-- recorded_at never falls within a workspace, also when the server's clock does. Nothing is written where one of the
-- streams $10 is not at its version $11: asking before would cost a round trip.
WITH differing AS (
    SELECT FROM unnest($10::text[], $11::integer[]) AS e(stream, version)
    WHERE e.version <> coalesce(
        (SELECT f.version FROM facts f WHERE f.workspace = $1 AND f.stream = e.stream ORDER BY f.version DESC LIMIT 1),
        0
    )
), head AS (
    UPDATE workspace_heads
    SET position = $2 + cardinality($3::text[]), recorded_at = greatest(recorded_at, clock_timestamp())
    WHERE workspace = $1 AND position = $2 AND NOT EXISTS (SELECT FROM differing)
    RETURNING recorded_at
)
INSERT INTO facts (workspace, position, stream, version, type, data, data_bytes, meta, fact_id, recorded_at)
SELECT $1, $2 + n.place, n.stream, n.version, n.type, n.data, n.data_bytes, $8::json, n.fact_id, head.recorded_at
FROM head, unnest($3::text[], $4::integer[], $5::text[], $6::json[], $7::integer[], $9::uuid[])
    WITH ORDINALITY AS n(stream, version, type, data, data_bytes, fact_id, place)
ORDER BY n.place
RETURNING recorded_at;

-- name: append_one
-- One fact in a transaction of its own. Nothing is written where the workspace is not at position $2, or the stream not
-- at the version before $4. The braces are for the row of its projection, and for what else is to be written: parts of
-- this statement, so that all of it takes one round trip. They read `head`, which also makes them wait for its lock. A
-- row that is not there leaves recorded_at without a value, which the table refuses together with all the rest.
WITH head AS (
    UPDATE workspace_heads
    SET position = $2::bigint + 1, recorded_at = greatest(recorded_at, clock_timestamp())
    WHERE workspace = $1 AND position = $2 AND $4::integer - 1 = coalesce(
        (SELECT f.version FROM facts f WHERE f.workspace = $1 AND f.stream = $3 ORDER BY f.version DESC LIMIT 1), 0
    )
    RETURNING recorded_at, position
), projected AS (
    {projected}
){also}
INSERT INTO facts (workspace, position, stream, version, type, data, data_bytes, meta, fact_id, recorded_at)
SELECT $1, $2 + 1, $3, $4, $5, $6::json, $7::integer, $8::json, $9::uuid, (SELECT p.recorded_at FROM projected p)
FROM head
RETURNING recorded_at, coalesce(
    (SELECT f.recorded_at FROM facts f WHERE f.workspace = $1 AND f.stream = $3 AND f.version = 1), recorded_at
) AS created;

-- name: remember_too
-- Part of `append_one`.
INSERT INTO request_answers (workspace, principal, request_id, request_hash, answer)
SELECT $1, $2, $3, $4, $5 FROM head;

-- name: times
-- When a fact was recorded, and the first of its stream.
SELECT f.recorded_at, (
    SELECT b.recorded_at FROM facts b WHERE b.workspace = f.workspace AND b.stream = f.stream AND b.version = 1
) AS created
FROM facts f WHERE f.workspace = $1 AND f.position = $2;

-- name: read
-- Up to $3 facts of at most $4 bytes in all, but one at least; sizes are summed before any data is fetched.
SELECT f.workspace, f.position, f.stream, f.version, f.type, f.data, f.meta, f.fact_id, f.recorded_at
FROM (
    SELECT position, data_bytes, sum(data_bytes) OVER (ORDER BY position) AS bytes_so_far
    FROM (
        SELECT position, data_bytes FROM facts WHERE workspace = $1 AND position > $2 ORDER BY position LIMIT $3
    ) AS candidates
) AS chosen
JOIN facts f ON f.workspace = $1 AND f.position = chosen.position
WHERE chosen.bytes_so_far <= $4 OR chosen.bytes_so_far = chosen.data_bytes
ORDER BY f.position;

-- name: read_several
-- The same for each of several workspaces $1 after its own position in $2.
SELECT f.workspace, f.position, f.stream, f.version, f.type, f.data, f.meta, f.fact_id, f.recorded_at
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w(workspace, after_position, place)
CROSS JOIN LATERAL (
    SELECT position, data_bytes, sum(data_bytes) OVER (ORDER BY position) AS bytes_so_far
    FROM (
        SELECT position, data_bytes FROM facts
        WHERE workspace = w.workspace AND position > w.after_position ORDER BY position LIMIT $3
    ) AS candidates
) AS chosen
JOIN facts f ON f.workspace = w.workspace AND f.position = chosen.position
WHERE chosen.bytes_so_far <= $4 OR chosen.bytes_so_far = chosen.data_bytes
ORDER BY w.place, f.position;

-- name: read_data
-- The same for those who need no more, at half the time.
SELECT f.position, f.type, f.data
FROM (
    SELECT position, data_bytes, sum(data_bytes) OVER (ORDER BY position) AS bytes_so_far
    FROM (
        SELECT position, data_bytes FROM facts WHERE workspace = $1 AND position > $2 ORDER BY position LIMIT $3
    ) AS candidates
) AS chosen
JOIN facts f ON f.workspace = $1 AND f.position = chosen.position
WHERE chosen.bytes_so_far <= $4 OR chosen.bytes_so_far = chosen.data_bytes
ORDER BY f.position;

-- name: read_stream
SELECT f.workspace, f.position, f.stream, f.version, f.type, f.data, f.meta, f.fact_id, f.recorded_at
FROM (
    SELECT position, version, data_bytes, sum(data_bytes) OVER (ORDER BY version) AS bytes_so_far
    FROM (
        SELECT position, version, data_bytes FROM facts
        WHERE workspace = $1 AND stream = $2 AND version > $3 ORDER BY version LIMIT $4
    ) AS candidates
) AS chosen
JOIN facts f ON f.workspace = $1 AND f.position = chosen.position
WHERE chosen.bytes_so_far <= $5 OR chosen.bytes_so_far = chosen.data_bytes
ORDER BY f.version;

-- name: answered
SELECT request_hash, answer FROM request_answers WHERE workspace = $1 AND principal = $2 AND request_id = $3;

-- name: remember
INSERT INTO request_answers (workspace, principal, request_id, request_hash, answer) VALUES ($1, $2, $3, $4, $5);

-- name: forget_answers
DELETE FROM request_answers WHERE recorded_at < $1;

-- name: behind
-- Workspaces with facts that are not published yet; the longest waiting first.
SELECT h.workspace, coalesce(r.position, 0) AS published, h.position AS head
FROM workspace_heads h LEFT JOIN relay_positions r USING (workspace)
WHERE h.position > coalesce(r.position, 0)
AND h.workspace <> ALL($2::text[])
ORDER BY h.recorded_at
LIMIT $1;

-- name: published
SELECT workspace, position FROM relay_positions WHERE workspace = ANY($1::text[]);

-- name: record_published
-- From the position that was read, so that neither a deposed leader nor a rewind of what was recorded is overwritten.
-- Answers which ones were recorded.
WITH news AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n(workspace, published, upto)
), created AS (
    INSERT INTO relay_positions (workspace, position)
    SELECT workspace, upto FROM news WHERE published = 0
    ON CONFLICT (workspace) DO NOTHING
    RETURNING workspace
), moved AS (
    UPDATE relay_positions r SET position = news.upto
    FROM news
    WHERE r.workspace = news.workspace AND r.position = news.published
    RETURNING r.workspace
)
SELECT workspace FROM created UNION ALL SELECT workspace FROM moved;

-- name: rewind
UPDATE relay_positions SET position = $2 WHERE workspace = $1 AND position > $2;

-- name: record_lazily
-- For the relay's own session, whose rounds mutations wait for: it writes nothing but how far it has published, and a
-- crash that takes the last of that back makes it publish again what consumers pass over, as one before the record does.
SET synchronous_commit = off;

-- name: try_to_lead
SELECT pg_try_advisory_lock($1);

-- name: wake_leader
SELECT pg_notify('onward_relay', '');

-- name: consumer_position
SELECT position FROM consumer_positions WHERE consumer = $1 AND service = $2 AND workspace = $3;

-- name: lock_consumer_position
SELECT position FROM consumer_positions WHERE consumer = $1 AND service = $2 AND workspace = $3 FOR UPDATE;

-- name: create_consumer_position
INSERT INTO consumer_positions (consumer, service, workspace, position) VALUES ($1, $2, $3, 0)
ON CONFLICT DO NOTHING;

-- name: record_consumer_position
UPDATE consumer_positions SET position = $4 WHERE consumer = $1 AND service = $2 AND workspace = $3;
