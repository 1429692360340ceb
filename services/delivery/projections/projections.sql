-- What a transaction of the tracker says. Joins to unnest(...) are LATERAL: a nested loop, which looks only into the
-- partitions that hold the keys.

-- name: insert_batches
INSERT INTO applied_batches (batch_id, applied_at_us)
SELECT batch_id, $2 FROM unnest($1::uuid[]) AS batch_id ORDER BY batch_id
ON CONFLICT DO NOTHING
RETURNING batch_id;

-- name: lock_workspaces
-- Whoever reports first attempts alone shares a workspace; later attempts are judged by what others have stored, so
-- they are applied alone. Ends with the transaction.
SELECT CASE WHEN alone
    THEN pg_advisory_xact_lock(hashtextextended('onward delivery ' || workspace, 0))::text
    ELSE pg_advisory_xact_lock_shared(hashtextextended('onward delivery ' || workspace, 0))::text
END
FROM unnest($1::text[], $2::boolean[]) AS w (workspace, alone);

-- name: unusual
-- Destinations with a backlog, without a sequence; and deliveries that ended in a later attempt.
SELECT k.workspace, k.destination, NULL::bigint AS stream_sequence, NULL::int AS event_index
FROM unnest($1::text[], $2::text[]) AS k (workspace, destination)
WHERE EXISTS (SELECT FROM due d WHERE d.workspace = k.workspace AND d.destination = k.destination)
UNION ALL
SELECT k.workspace, k.destination, a.stream_sequence, a.event_index
FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[]) AS k (workspace, destination, first, last)
CROSS JOIN LATERAL (
    SELECT stream_sequence, event_index FROM attempts a
    WHERE a.workspace = k.workspace AND a.destination = k.destination AND a.attempt > 1 AND a.terminal
        AND a.stream_sequence BETWEEN k.first AND k.last AND a.received_at_us BETWEEN $7 AND $8
) AS a;

-- name: departed
SELECT workspace, destination FROM departed_destinations
WHERE (workspace, destination) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- name: pending
-- Locked until the end, in the order in which the keys are given.
SELECT d.*
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[]) AS k (workspace, destination, stream_sequence, event_index)
CROSS JOIN LATERAL (
    SELECT workspace, destination, stream_sequence, event_index, attempt, retries_used, reason, due_at_us,
        first_ended_at_us, deferrals, losses, alone, error_type, error_message, released_at_us, batch_events_max,
        gathered, batch_limit, replay, reopened_at_us, cancelled
    FROM due d
    WHERE d.workspace = k.workspace AND d.destination = k.destination
        AND d.stream_sequence = k.stream_sequence AND d.event_index = k.event_index
    FOR UPDATE
) AS d;

-- name: known_attempts
SELECT k.workspace, k.destination, k.stream_sequence, k.event_index, a.attempt, a.terminal
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::bigint[])
    AS k (workspace, destination, stream_sequence, event_index, received_at_us)
CROSS JOIN LATERAL (
    SELECT attempt, terminal FROM attempts a
    WHERE a.workspace = k.workspace AND a.stream_sequence = k.stream_sequence AND a.event_index = k.event_index
        AND a.destination = k.destination AND a.received_at_us = k.received_at_us
) AS a;

-- name: seen_events
SELECT k.event_key, s.stream_sequence, s.event_index, s.received_at_us
FROM unnest($1::bytea[]) AS k (event_key)
CROSS JOIN LATERAL (
    SELECT stream_sequence, event_index, received_at_us FROM seen_events s
    WHERE s.event_key = k.event_key AND s.day BETWEEN $2 AND $3
) AS s;

-- name: insert_duplicates
INSERT INTO duplicate_events (event_key, stream_sequence, event_index, received_at_us)
SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::int[], $4::bigint[])
ON CONFLICT DO NOTHING;

-- name: insert_destinations
-- An executor that never heard of a destination does not know its function.
INSERT INTO destinations AS d (workspace, destination, source, function)
SELECT DISTINCT ON (workspace, destination, source) * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS k (workspace, destination, source, function)
ORDER BY workspace, destination, source, function DESC
ON CONFLICT (workspace, destination, source) DO UPDATE SET function = excluded.function
    WHERE d.function = '' AND excluded.function <> '';

-- name: upsert_due
INSERT INTO due (
    workspace, destination, stream_sequence, event_index, source, function, message_id, type, event_name,
    received_at_us, duplicate, event, attempt, retries_used, reason, error_type, error_message, first_ended_at_us,
    deferrals, losses, alone, due_at_us, batch_events_max, gathered, batch_limit, traceparent
)
SELECT k.workspace, k.destination, k.stream_sequence, k.event_index, k.source, k.function, k.message_id, k.type,
    k.event_name, k.received_at_us, k.duplicate, k.event, k.attempt, k.retries_used, k.reason, k.error_type,
    k.error_message, k.first_ended_at_us, k.deferrals, k.losses, k.alone,
    -- What is left of a destination that was disconnected waits for nothing.
    CASE WHEN g.destination IS NULL THEN k.due_at_us ELSE least(k.due_at_us, $27) END,
    k.batch_events_max, k.gathered, k.batch_limit, k.traceparent
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::int[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::text[],
    $10::bigint[], $11::boolean[], $12::bytea[], $13::int[], $14::int[], $15::smallint[], $16::smallint[], $17::text[],
    $18::bigint[], $19::int[], $20::int[], $21::boolean[], $22::bigint[], $23::int[], $24::boolean[], $25::int[],
    $26::text[]
) AS k (
    workspace, destination, stream_sequence, event_index, source, function, message_id, type, event_name,
    received_at_us, duplicate, event, attempt, retries_used, reason, error_type, error_message, first_ended_at_us,
    deferrals, losses, alone, due_at_us, batch_events_max, gathered, batch_limit, traceparent
)
LEFT JOIN departed_destinations g ON g.workspace = k.workspace AND g.destination = k.destination
ON CONFLICT (workspace, destination, stream_sequence, event_index) DO UPDATE SET
    function = excluded.function,
    event = CASE WHEN excluded.event = '' THEN due.event ELSE excluded.event END,
    traceparent = CASE WHEN excluded.traceparent = '' THEN due.traceparent ELSE excluded.traceparent END,
    attempt = excluded.attempt, retries_used = excluded.retries_used, reason = excluded.reason,
    error_type = excluded.error_type, error_message = excluded.error_message,
    first_ended_at_us = excluded.first_ended_at_us, deferrals = excluded.deferrals, losses = excluded.losses,
    alone = excluded.alone, due_at_us = excluded.due_at_us, batch_events_max = excluded.batch_events_max,
    gathered = excluded.gathered, batch_limit = excluded.batch_limit,
    released_at_us = NULL, release_sequence = NULL, doubtful = false, releases = 0;

-- name: renumber_due
-- An invocation was lost: its number is taken. What is released stays released, since its message is still there.
UPDATE due d SET attempt = k.attempt
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::int[])
    AS k (workspace, destination, stream_sequence, event_index, attempt)
WHERE d.workspace = k.workspace AND d.destination = k.destination
    AND d.stream_sequence = k.stream_sequence AND d.event_index = k.event_index;

-- name: delete_due
DELETE FROM due d
USING unnest($1::text[], $2::text[], $3::bigint[], $4::int[]) AS k (workspace, destination, stream_sequence, event_index)
WHERE d.workspace = k.workspace AND d.destination = k.destination
    AND d.stream_sequence = k.stream_sequence AND d.event_index = k.event_index;

-- name: add_sums
-- Six tables in one round trip: with small batches, that is what a transaction's time goes to. An hour's rows are the
-- sums of its minutes', always.
WITH counts AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::int[], $4::smallint[], $5::smallint[], $6::smallint[], $7::text[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]
    ) AS k (
        workspace, destination, minute, state, error_type, type, event_name, count, retried, http_errors, duplicates
    )
), latencies AS (
    SELECT * FROM unnest($12::text[], $13::text[], $14::int[], $15::smallint[], $16::bigint[])
        AS k (workspace, destination, minute, bucket, count)
), usage AS (
    INSERT INTO usage_rollups AS r (
        workspace, function, destination, day, attempts, wall_us, cpu_us, requests, request_bytes, response_bytes
    )
    SELECT * FROM unnest(
        $17::text[], $18::text[], $19::text[], $20::int[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[],
        $25::bigint[], $26::bigint[]
    )
    ON CONFLICT (workspace, function, destination, day) DO UPDATE SET
        attempts = r.attempts + excluded.attempts, wall_us = r.wall_us + excluded.wall_us,
        cpu_us = r.cpu_us + excluded.cpu_us, requests = r.requests + excluded.requests,
        request_bytes = r.request_bytes + excluded.request_bytes,
        response_bytes = r.response_bytes + excluded.response_bytes
), attempts AS (
    INSERT INTO attempt_rollups AS r (
        workspace, destination, minute, error_type, attempts, first_attempts, http_errors, exhausted
    )
    SELECT * FROM unnest(
        $27::text[], $28::text[], $29::int[], $30::smallint[], $31::bigint[], $32::bigint[], $33::bigint[],
        $34::bigint[]
    )
    ON CONFLICT (workspace, destination, minute, error_type) DO UPDATE SET
        attempts = r.attempts + excluded.attempts, first_attempts = r.first_attempts + excluded.first_attempts,
        http_errors = r.http_errors + excluded.http_errors, exhausted = r.exhausted + excluded.exhausted
), minute_latencies AS (
    INSERT INTO latency_rollups AS r (workspace, destination, minute, bucket, count)
    SELECT * FROM latencies
    ON CONFLICT (workspace, destination, minute, bucket) DO UPDATE SET count = r.count + excluded.count
), hour_latencies AS (
    INSERT INTO hour_latency_rollups AS r (workspace, destination, hour, bucket, count)
    SELECT workspace, destination, minute / 60 AS hour, bucket, sum(count) FROM latencies
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (workspace, destination, hour, bucket) DO UPDATE SET count = r.count + excluded.count
), hour_counts AS (
    INSERT INTO hour_rollups AS r (
        workspace, destination, hour, state, error_type, type, event_name, count, retried, http_errors, duplicates
    )
    SELECT workspace, destination, minute / 60 AS hour, state, error_type, type, event_name, sum(count), sum(retried),
        sum(http_errors), sum(duplicates)
    FROM counts
    GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (workspace, destination, hour, state, error_type, type, event_name) DO UPDATE SET
        count = r.count + excluded.count, retried = r.retried + excluded.retried,
        http_errors = r.http_errors + excluded.http_errors, duplicates = r.duplicates + excluded.duplicates
)
INSERT INTO rollups AS r (
    workspace, destination, minute, state, error_type, type, event_name, count, retried, http_errors, duplicates
)
SELECT * FROM counts
ON CONFLICT (workspace, destination, minute, state, error_type, type, event_name) DO UPDATE SET
    count = r.count + excluded.count, retried = r.retried + excluded.retried,
    http_errors = r.http_errors + excluded.http_errors, duplicates = r.duplicates + excluded.duplicates;

-- name: add_reasons
WITH reasons AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::smallint[], $5::text[], $6::bigint[])
        AS k (workspace, destination, minute, state, reason, count)
), hours AS (
    INSERT INTO hour_reason_rollups AS r (workspace, destination, hour, state, reason, count)
    SELECT workspace, destination, minute / 60 AS hour, state, reason, sum(count) FROM reasons
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (workspace, destination, hour, state, reason) DO UPDATE SET count = r.count + excluded.count
)
INSERT INTO reason_rollups AS r (workspace, destination, minute, state, reason, count)
SELECT * FROM reasons
ON CONFLICT (workspace, destination, minute, state, reason) DO UPDATE SET count = r.count + excluded.count;

-- name: add_hosts
WITH latencies AS (
    INSERT INTO host_latency_rollups AS r (workspace, destination, slot, host, bucket, count)
    SELECT * FROM unnest($9::text[], $10::text[], $11::int[], $12::text[], $13::smallint[], $14::bigint[])
    ON CONFLICT (workspace, destination, slot, host, bucket) DO UPDATE SET count = r.count + excluded.count
)
INSERT INTO host_rollups AS r (
    workspace, destination, slot, host, calls, http_errors, network_errors, unanswered
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]
)
ON CONFLICT (workspace, destination, slot, host) DO UPDATE SET
    calls = r.calls + excluded.calls, http_errors = r.http_errors + excluded.http_errors,
    network_errors = r.network_errors + excluded.network_errors, unanswered = r.unanswered + excluded.unanswered;

-- name: known_groups
SELECT k.workspace, k.destination, g.error_group
FROM unnest($1::text[], $2::text[]) AS k (workspace, destination)
CROSS JOIN LATERAL (
    SELECT error_group FROM error_groups e
    WHERE e.workspace = k.workspace AND e.destination = k.destination AND e.last_seen_us >= $3 AND NOT e.overflow
    ORDER BY e.last_seen_us DESC LIMIT $4
) AS g;

-- name: upsert_error_groups
INSERT INTO error_groups AS g (
    workspace, destination, error_group, source, error_type, error_name, http_status, shape, error_message, overflow,
    first_seen_us, last_seen_us
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::smallint[], $6::text[], $7::int[], $8::text[], $9::text[],
    $10::boolean[], $11::bigint[], $12::bigint[]
)
ON CONFLICT (workspace, destination, error_group) DO UPDATE SET
    error_message = excluded.error_message, first_seen_us = least(g.first_seen_us, excluded.first_seen_us),
    last_seen_us = greatest(g.last_seen_us, excluded.last_seen_us);

-- name: add_error_counts
INSERT INTO error_rollups AS r (workspace, destination, minute, error_group, attempts, failed)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])
ON CONFLICT (workspace, destination, minute, error_group) DO UPDATE SET
    attempts = r.attempts + excluded.attempts, failed = r.failed + excluded.failed;

-- name: count_replayed
UPDATE replays r SET delivered = r.delivered + k.delivered, failed = r.failed + k.failed,
    filtered = r.filtered + k.filtered, skipped = r.skipped + k.skipped, cancelled = r.cancelled + k.cancelled
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS k (workspace, number, delivered, failed, filtered, skipped, cancelled)
WHERE r.workspace = k.workspace AND r.number = k.number;

-- name: insert_ingest_failures
INSERT INTO ingest_failures (
    workspace, stream_sequence, event_index, received_at_us, source, reason, message, sample
)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bytea[]
)
ON CONFLICT DO NOTHING
RETURNING workspace, received_at_us / 60000000 AS minute, source;

-- name: add_unmatched_integrations
-- A name that is new is left out where its source has too many of them.
INSERT INTO unmatched_integrations AS u (
    workspace, source, name, events, first_received_at_us, last_received_at_us
)
SELECT k.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS k (workspace, source, name, events, first_received_at_us, last_received_at_us)
WHERE EXISTS (
    SELECT FROM unmatched_integrations t WHERE (t.workspace, t.source, t.name) = (k.workspace, k.source, k.name)
) OR (
    SELECT count(*) FROM unmatched_integrations t WHERE (t.workspace, t.source) = (k.workspace, k.source)
) < $7
ON CONFLICT (workspace, source, name) DO UPDATE SET
    events = u.events + excluded.events,
    first_received_at_us = least(u.first_received_at_us, excluded.first_received_at_us),
    last_received_at_us = greatest(u.last_received_at_us, excluded.last_received_at_us);

-- name: add_ingest_counts
INSERT INTO ingest_rollups AS r (workspace, minute, source, count)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[])
ON CONFLICT (workspace, minute, source) DO UPDATE SET count = r.count + excluded.count;

-- name: insert_dead_outcomes
INSERT INTO dead_outcomes (batch_id, workspace, data, reason, recorded_at_us)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[]);
