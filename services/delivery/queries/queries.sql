-- What the tracker answers. Lists go down from the newest event: (received_at_us, stream_sequence, event_index) below a
-- cursor, then by destination.

-- name: list_ended
-- The newest of each destination, then the newest of all.
SELECT a.*, coalesce(left(e.error_message, 1024), '') AS error_message
FROM (
    SELECT n.* FROM (
        SELECT DISTINCT destination FROM destinations
        WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($11 OR source = ANY($12))
    ) AS d
    CROSS JOIN LATERAL (
        SELECT * FROM attempts t
        WHERE t.workspace = $1 AND t.destination = d.destination AND t.terminal
            AND t.received_at_us >= $3 AND t.received_at_us <= $4
            AND ($5 = 0 OR t.state = $5) AND ($6 = 0 OR t.error_type = $6) AND ($13 = '' OR t.reason = $13)
            AND (t.received_at_us < $4 OR (t.stream_sequence, t.event_index) < ($7, $8)
                OR ((t.stream_sequence, t.event_index) = ($7, $8) AND t.destination > $9))
        ORDER BY t.received_at_us DESC, t.stream_sequence DESC, t.event_index DESC LIMIT $10
    ) AS n
    ORDER BY n.received_at_us DESC, n.stream_sequence DESC, n.event_index DESC, n.destination LIMIT $10
) AS a
LEFT JOIN attempt_details e USING (workspace, stream_sequence, event_index, destination, attempt, received_at_us)
ORDER BY a.received_at_us DESC, a.stream_sequence DESC, a.event_index DESC, a.destination;

-- name: list_pending
SELECT n.* FROM (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($10 OR source = ANY($11))
) AS d
CROSS JOIN LATERAL (
    SELECT workspace, destination, stream_sequence, event_index, source, message_id, type, event_name, received_at_us,
        duplicate, attempt, error_type, error_message, due_at_us, replay, h.held
    FROM due t
    CROSS JOIN LATERAL (
        SELECT held_because(t.workspace, t.destination, t.reason = 2 AND t.released_at_us IS NULL) AS held
    ) AS h
    WHERE t.workspace = $1 AND t.destination = d.destination AND ($12 = '' OR h.held = $12)
        AND t.received_at_us >= $3 AND t.received_at_us <= $4 AND ($5 = 0 OR t.error_type = $5)
        AND (t.received_at_us < $4 OR (t.stream_sequence, t.event_index) < ($6, $7)
            OR ((t.stream_sequence, t.event_index) = ($6, $7) AND t.destination > $8))
    ORDER BY t.received_at_us DESC, t.stream_sequence DESC, t.event_index DESC LIMIT $9
) AS n
ORDER BY n.received_at_us DESC, n.stream_sequence DESC, n.event_index DESC, n.destination LIMIT $9;

-- name: sources
SELECT DISTINCT source FROM destinations WHERE workspace = $1 AND ($2 OR source = ANY($3));

-- name: events_of_keys
SELECT stream_sequence, event_index, received_at_us FROM seen_events WHERE event_key = ANY($1)
UNION
SELECT stream_sequence, event_index, received_at_us FROM duplicate_events WHERE event_key = ANY($1)
ORDER BY received_at_us DESC, stream_sequence DESC, event_index DESC
LIMIT $2;

-- name: seen_before
-- Of keys that were seen on some days: most are not, so there are few rows.
SELECT k.position, s.stream_sequence, s.event_index, s.received_at_us
FROM unnest($1::bytea[]) WITH ORDINALITY AS k (event_key, position)
CROSS JOIN LATERAL (
    SELECT stream_sequence, event_index, received_at_us FROM seen_events s
    WHERE s.event_key = k.event_key AND s.day BETWEEN $2 AND $3
) AS s;

-- name: attempts_of_events
SELECT a.*, coalesce(left(e.error_message, 1024), '') AS error_message
FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS k (stream_sequence, event_index, received_at_us)
CROSS JOIN LATERAL (
    SELECT * FROM attempts t
    WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.event_index = k.event_index
        AND t.received_at_us = k.received_at_us AND t.terminal
) AS a
LEFT JOIN LATERAL (
    SELECT error_message FROM attempt_details x
    WHERE x.workspace = $1 AND x.stream_sequence = a.stream_sequence AND x.event_index = a.event_index
        AND x.destination = a.destination AND x.attempt = a.attempt AND x.received_at_us = a.received_at_us
) AS e ON true;

-- name: pending_of_events
SELECT d.workspace, d.destination, d.stream_sequence, d.event_index, d.source, d.message_id, d.type, d.event_name,
    d.received_at_us, d.duplicate, d.attempt, d.error_type, d.error_message, d.due_at_us, d.reason,
    d.released_at_us, held_because(d.workspace, d.destination, d.reason = 2 AND d.released_at_us IS NULL) AS held,
    d.replay
FROM due d
JOIN unnest($2::bigint[], $3::int[]) AS k (stream_sequence, event_index) USING (stream_sequence, event_index)
WHERE d.workspace = $1;

-- name: replayed_of_events
-- What replays made of events (4096: domain/replays.py), received when they were taken up.
SELECT a.*, coalesce(left(e.error_message, 1024), '') AS error_message
FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS k (stream_sequence, event_index, received_at_us)
CROSS JOIN LATERAL (
    SELECT * FROM attempts t
    WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.event_index >= 4096
        AND t.event_index % 4096 = k.event_index AND t.received_at_us > k.received_at_us AND t.message_id = $5
        AND t.terminal
) AS a
LEFT JOIN attempt_details e ON e.workspace = $1 AND e.stream_sequence = a.stream_sequence
    AND e.event_index = a.event_index AND e.destination = a.destination AND e.attempt = a.attempt
    AND e.received_at_us = a.received_at_us;

-- name: pending_replayed
SELECT d.workspace, d.destination, d.stream_sequence, d.event_index, d.source, d.message_id, d.type, d.event_name,
    d.received_at_us, d.duplicate, d.attempt, d.error_type, d.error_message, d.due_at_us, d.replay,
    held_because(d.workspace, d.destination, d.reason = 2 AND d.released_at_us IS NULL) AS held
FROM due d
JOIN unnest($2::bigint[], $3::int[]) AS k (stream_sequence, event_index)
    ON d.stream_sequence = k.stream_sequence AND d.event_index % 4096 = k.event_index
WHERE d.workspace = $1 AND d.event_index >= 4096 AND d.message_id = $4;

-- name: event_attempts
-- Every attempt of an event. Where a stream was made anew and its numbers began again, the newest event has the name.
SELECT * FROM attempts
WHERE workspace = $1 AND stream_sequence = $2 AND event_index = $3
ORDER BY received_at_us DESC, destination, attempt
LIMIT $4;

-- name: attempt_details
SELECT * FROM attempt_details
WHERE workspace = $1 AND stream_sequence = $2 AND event_index = $3 AND destination = $4 AND received_at_us = $5
ORDER BY attempt
LIMIT $6;

-- name: known_outcomes
SELECT k.stream_sequence, a.event_index, a.destination, a.attempt, a.result
FROM unnest($2::bigint[]) AS k (stream_sequence)
CROSS JOIN LATERAL (
    SELECT event_index, destination, attempt, result FROM attempts t
    WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.received_at_us >= $3
        AND (t.event_index < 4096 OR t.event_index = ANY($5::int[]))
) AS a
LIMIT $4;

-- name: known_deferrals
-- What was held back ($3) is known from its row alone.
SELECT k.stream_sequence, d.event_index, d.destination, d.attempt, d.released_at_us
FROM unnest($2::bigint[]) AS k (stream_sequence)
CROSS JOIN LATERAL (
    SELECT event_index, destination, attempt, released_at_us FROM due t
    WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.reason = $3
        AND (t.event_index < 4096 OR t.event_index = ANY($5::int[]))
) AS d
LIMIT $4;

-- name: known_refusals
SELECT k.stream_sequence, f.event_index
FROM unnest($2::bigint[]) AS k (stream_sequence)
CROSS JOIN LATERAL (
    SELECT event_index FROM ingest_failures t
    WHERE t.workspace = $1 AND t.stream_sequence = k.stream_sequence AND t.received_at_us >= $3
) AS f
LIMIT $4;

-- name: list_unmatched
SELECT * FROM unmatched_integrations
WHERE workspace = $1 AND (-last_received_at_us, source, name) > (-$2::bigint, $3, $4) AND ($6 OR source = ANY($7))
ORDER BY -last_received_at_us, source, name
LIMIT $5;

-- name: list_ingest_failures
SELECT * FROM ingest_failures
WHERE workspace = $1 AND (received_at_us, stream_sequence, event_index) < ($2, $3, $4)
    AND ($6 OR source = ANY($7))
ORDER BY received_at_us DESC, stream_sequence DESC, event_index DESC
LIMIT $5;
