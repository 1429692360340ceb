-- Deliveries that ended and go on, and those of them that are given back unattempted.

-- name: last_attempts
-- The last attempt that is recorded of each delivery.
SELECT k.stream_sequence, k.event_index, a.attempt
FROM unnest($3::bigint[], $4::int[], $5::bigint[]) AS k (stream_sequence, event_index, received_at_us)
CROSS JOIN LATERAL (
    SELECT max(attempt) AS attempt FROM attempts t
    WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.event_index = k.event_index
        AND t.destination = $2 AND t.received_at_us = k.received_at_us
) AS a;

-- name: reopen
-- The row stays, with its result and error, and ends nothing any more.
UPDATE attempts a SET terminal = false, state = 0
FROM unnest($3::bigint[], $4::int[], $5::bigint[], $6::int[])
    AS k (stream_sequence, event_index, received_at_us, attempt)
WHERE a.workspace = $1 AND a.stream_sequence = k.stream_sequence AND a.event_index = k.event_index
    AND a.destination = $2 AND a.attempt = k.attempt AND a.received_at_us = k.received_at_us AND a.terminal
RETURNING a.stream_sequence, a.event_index, a.received_at_us, a.state, a.error_type, a.type, a.event_name, a.duplicate,
    a.error_group, a.reason;

-- name: close_again
-- The last attempt that failed ends its delivery once more.
UPDATE attempts a SET terminal = true, state = 3
FROM (
    SELECT k.stream_sequence, k.event_index, k.received_at_us, m.attempt
    FROM unnest($3::bigint[], $4::int[], $5::bigint[]) AS k (stream_sequence, event_index, received_at_us)
    CROSS JOIN LATERAL (
        SELECT attempt FROM attempts t
        WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.event_index = k.event_index
            AND t.destination = $2 AND t.received_at_us = k.received_at_us
            -- Not one that was lost.
            AND t.result <> 6
        ORDER BY attempt DESC LIMIT 1
    ) AS m
) AS l
WHERE a.workspace = $1 AND a.stream_sequence = l.stream_sequence AND a.event_index = l.event_index
    AND a.destination = $2 AND a.attempt = l.attempt AND a.received_at_us = l.received_at_us
RETURNING a.stream_sequence, a.event_index, a.received_at_us, a.state, a.error_type, a.type, a.event_name, a.duplicate,
    a.error_group, a.reason;

-- name: counted_names
-- How much was counted under each name, and under none, as it is for the names of a minute that has too many.
SELECT minute, error_type, type, event_name, count, duplicates FROM rollups r
WHERE workspace = $1 AND destination = $2 AND state = 3 AND (minute, error_type, type) IN (
    SELECT * FROM unnest($3::int[], $4::smallint[], $5::smallint[]))
FOR UPDATE;

-- name: add_counts
WITH counts AS (
    SELECT * FROM unnest($3::int[], $4::smallint[], $5::smallint[], $6::text[], $7::bigint[], $8::bigint[])
        AS k (minute, error_type, type, event_name, count, duplicates)
), hours AS (
    UPDATE hour_rollups r SET count = r.count + k.count, duplicates = r.duplicates + k.duplicates
    FROM (
        SELECT minute / 60 AS hour, error_type, type, event_name, sum(count) AS count, sum(duplicates) AS duplicates
        FROM counts GROUP BY 1, 2, 3, 4
    ) AS k
    WHERE r.workspace = $1 AND r.destination = $2 AND r.state = 3 AND r.hour = k.hour AND r.error_type = k.error_type
        AND r.type = k.type AND r.event_name = k.event_name
)
UPDATE rollups r SET count = r.count + k.count, duplicates = r.duplicates + k.duplicates
FROM counts k
WHERE r.workspace = $1 AND r.destination = $2 AND r.state = 3 AND r.minute = k.minute AND r.error_type = k.error_type
    AND r.type = k.type AND r.event_name = k.event_name;

-- name: add_reasons
WITH reasons AS (
    SELECT * FROM unnest($3::int[], $4::text[], $5::bigint[]) AS k (minute, reason, count)
), hours AS (
    UPDATE hour_reason_rollups r SET count = r.count + k.count
    FROM (SELECT minute / 60 AS hour, reason, sum(count) AS count FROM reasons GROUP BY 1, 2) AS k
    WHERE r.workspace = $1 AND r.destination = $2 AND r.state = 3 AND r.hour = k.hour AND r.reason = k.reason
)
UPDATE reason_rollups r SET count = r.count + k.count
FROM reasons k
WHERE r.workspace = $1 AND r.destination = $2 AND r.state = 3 AND r.minute = k.minute AND r.reason = k.reason;

-- name: add_failed
UPDATE error_rollups r SET failed = r.failed + k.failed
FROM unnest($3::int[], $4::bigint[], $5::bigint[]) AS k (minute, error_group, failed)
WHERE r.workspace = $1 AND r.destination = $2 AND r.minute = k.minute AND r.error_group = k.error_group;

-- name: insert_reopened
INSERT INTO due (
    workspace, destination, stream_sequence, event_index, source, function, message_id, type, event_name,
    received_at_us, duplicate, event, attempt, retries_used, reason, error_type, error_message, first_ended_at_us,
    deferrals, losses, alone, due_at_us, replay, reopened_at_us
)
SELECT $1, $2, k.stream_sequence, k.event_index, k.source, k.function, k.message_id, k.type, k.event_name,
    k.received_at_us, k.duplicate, k.event, k.attempt, 0, 1, k.error_type, k.error_message, 0, 0, 0, false, k.due_at_us,
    $3, $4
FROM unnest(
    $5::bigint[], $6::int[], $7::text[], $8::text[], $9::text[], $10::smallint[], $11::text[], $12::bigint[],
    $13::boolean[], $14::bytea[], $15::int[], $16::smallint[], $17::text[], $18::bigint[]
) AS k (
    stream_sequence, event_index, source, function, message_id, type, event_name, received_at_us, duplicate, event,
    attempt, error_type, error_message, due_at_us
);
