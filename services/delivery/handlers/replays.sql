-- Replays and redrives: making them, and taking up what they select.

-- name: next_number
INSERT INTO replay_numbers AS n (workspace, number) VALUES ($1, 1)
ON CONFLICT (workspace) DO UPDATE SET number = n.number + 1
RETURNING number;

-- name: insert_replay
INSERT INTO replays (
    workspace, number, kind, state, destination, source, function, selection, rate_per_second, principal,
    created_at_us, begins_at_us, told, total, total_is_estimate, ended_since_us
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- name: count_active
SELECT count(*) FROM replays WHERE workspace = $1 AND state < 4;

-- name: get_replay
SELECT * FROM replays WHERE workspace = $1 AND number = $2;

-- name: lock_replay
SELECT * FROM replays WHERE workspace = $1 AND number = $2 FOR UPDATE;

-- name: list_replays
SELECT * FROM replays
WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND number < $3 AND ($4 OR source = ANY($5))
ORDER BY number DESC LIMIT $6;

-- name: active
SELECT * FROM replays WHERE state < 4 AND (workspace, number) > ($1, $2) ORDER BY workspace, number LIMIT $3;

-- name: set_state
UPDATE replays SET state = $3, reason = $4 WHERE workspace = $1 AND number = $2;

-- name: set_reason
UPDATE replays SET reason = $3 WHERE workspace = $1 AND number = $2;

-- name: finish
UPDATE replays SET state = $3, finished_at_us = $4 WHERE workspace = $1 AND number = $2;

-- name: set_told
UPDATE replays SET told = true WHERE workspace = $1 AND number = $2;

-- name: advance
UPDATE replays SET cursor_us = $3, cursor_sequence = $4, cursor_index = $5, next_at_us = $6, state = $7,
    scanned = scanned + $8, taken_up = taken_up + $9, without_event = without_event + $10, reason = ''
WHERE workspace = $1 AND number = $2;

-- name: connection
SELECT * FROM connections WHERE workspace = $1 AND destination = $2;

-- name: unattempted
-- What was taken up of a destination's replays and has not been released.
SELECT count(*) FROM due
WHERE workspace = $1 AND destination = $2 AND replay > 0 AND first_ended_at_us = 0 AND released_at_us IS NULL;

-- name: unended
-- By the order of due_replayed: to find any one, all that waits might be read.
SELECT (
    SELECT replay FROM due
    WHERE workspace = $1 AND destination = $2 AND replay = $3 AND replay > 0
    ORDER BY first_ended_at_us LIMIT 1
) IS NOT NULL;

-- name: states_of
-- How deliveries of events ended.
SELECT a.stream_sequence, a.event_index, a.state
FROM unnest($3::bigint[], $4::int[]) AS k (stream_sequence, event_index)
CROSS JOIN LATERAL (
    SELECT stream_sequence, event_index, state FROM attempts t
    WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.event_index = k.event_index
        AND t.destination = $2 AND t.terminal AND t.received_at_us BETWEEN $5 AND $6
        AND t.ended_at_us >= $7
) AS a;

-- name: insert_due
-- A new delivery. What is there already was taken up before.
INSERT INTO due (
    workspace, destination, stream_sequence, event_index, source, function, message_id, type, event_name,
    received_at_us, duplicate, event, attempt, retries_used, reason, error_type, error_message, first_ended_at_us,
    deferrals, losses, alone, due_at_us, traceparent, replay
)
SELECT $1, $2, k.stream_sequence, k.event_index, $3, $4, k.message_id, k.type, k.event_name, $5, false, k.event, 1, 0, 1,
    0, '', 0, 0, 0, false, k.due_at_us, k.traceparent, $6
FROM unnest(
    $7::bigint[], $8::int[], $9::text[], $10::smallint[], $11::text[], $12::bytea[], $13::bigint[], $14::text[]
) AS k (stream_sequence, event_index, message_id, type, event_name, event, due_at_us, traceparent)
ON CONFLICT DO NOTHING;

-- name: note_destination
INSERT INTO destinations (workspace, destination, source, function) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: failed
-- What failed of events from one time on and before another, after a cursor, the oldest first.
SELECT a.received_at_us, a.stream_sequence, a.event_index, a.type, a.event_name, a.message_id, a.attempt, a.error_type,
    a.error_group, a.duplicate, a.source, a.function, coalesce(e.event, '') AS event,
    coalesce(left(e.error_message, 1024), '') AS error_message
FROM attempts a
LEFT JOIN attempt_details e USING (workspace, stream_sequence, event_index, destination, attempt, received_at_us)
WHERE a.workspace = $1 AND a.destination = $2 AND a.state = 3 AND a.received_at_us >= $3 AND a.received_at_us < $4
    AND (a.received_at_us, a.stream_sequence, a.event_index) > ($3, $5, $6)
    AND (cardinality($7::smallint[]) = 0 OR a.type = ANY($7))
    AND (cardinality($8::text[]) = 0 OR a.event_name = ANY($8))
    AND (cardinality($9::smallint[]) = 0 OR a.error_type = ANY($9))
    AND (cardinality($10::bigint[]) = 0 OR a.error_group = ANY($10))
    AND (cardinality($11::int[]) = 0 OR e.http_status = ANY($11))
ORDER BY a.received_at_us, a.stream_sequence, a.event_index LIMIT $12;

-- name: count_failed
-- As `failed`, with the first one's time of receipt.
SELECT count(*) AS count, min(received_at_us) AS first_us FROM (
    SELECT a.received_at_us FROM attempts a
    LEFT JOIN attempt_details e USING (workspace, stream_sequence, event_index, destination, attempt, received_at_us)
    WHERE a.workspace = $1 AND a.destination = $2 AND a.state = 3 AND a.received_at_us >= $3 AND a.received_at_us < $4
        AND (cardinality($5::smallint[]) = 0 OR a.type = ANY($5))
        AND (cardinality($6::text[]) = 0 OR a.event_name = ANY($6))
        AND (cardinality($7::smallint[]) = 0 OR a.error_type = ANY($7))
        AND (cardinality($8::bigint[]) = 0 OR a.error_group = ANY($8))
        AND (cardinality($9::int[]) = 0 OR e.http_status = ANY($9))
    ORDER BY a.received_at_us LIMIT $10
) AS found;

-- name: count_ended
-- Events whose delivery to a destination ended in some states, from what the tracker has of them.
SELECT count(*) AS count, min(received_at_us) AS first_us FROM (
    SELECT received_at_us FROM attempts
    WHERE workspace = $1 AND destination = $2 AND terminal AND state = ANY($3::smallint[])
        AND received_at_us >= $4 AND received_at_us < $5 AND event_index < 4096
        AND (cardinality($6::smallint[]) = 0 OR type = ANY($6))
        AND (cardinality($7::text[]) = 0 OR event_name = ANY($7))
    ORDER BY received_at_us LIMIT $8
) AS found;

-- name: waiting_of
-- What of a replay waits here, the oldest first; locked.
SELECT * FROM due
WHERE workspace = $1 AND destination = $2 AND replay = $3 AND released_at_us IS NULL
ORDER BY received_at_us, stream_sequence, event_index LIMIT $4
FOR UPDATE;

-- name: mark_cancelled
-- What is out ends with its attempt. Those that somebody else changes right now are marked by the next look.
UPDATE due d SET cancelled = true
FROM (
    SELECT stream_sequence, event_index FROM due
    WHERE workspace = $1 AND destination = $2 AND replay = $3 AND released_at_us IS NOT NULL AND NOT cancelled
    ORDER BY stream_sequence, event_index
    FOR UPDATE SKIP LOCKED
) AS k
WHERE d.workspace = $1 AND d.destination = $2 AND d.stream_sequence = k.stream_sequence AND d.event_index = k.event_index;

-- name: give_back
UPDATE replays SET given_back = given_back + $3 WHERE workspace = $1 AND number = $2;

-- name: skipped_since
-- What was skipped of events that were received from a minute on, to another.
SELECT coalesce(sum(count), 0)::bigint FROM rollups
WHERE workspace = $1 AND destination = $2 AND state = 5 AND minute >= $3 AND minute <= $4;
