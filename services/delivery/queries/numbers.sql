-- Counts and latencies. A span is given in parts (domain/windows.py): $6 to $9 are ranges of minutes, each with its sign,
-- since those that an hour has too many are taken away, and the period that it belongs to, 0 for the asked one and 1 for the
-- one before; $10 to $12 are ranges of hours. Rows are found and summed by destination and range: a plan that knows neither
-- may read all that is kept instead.
-- $1 workspace, $2 destination or '', $3 whether all are shown, else $4 their functions, $5 their sources.

-- name: counts
WITH shown AS (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
), found AS (
    SELECT d.destination, m.period, r.state, r.error_type, r.type, r.count * m.sign AS count, r.retried * m.sign
        AS retried, r.http_errors * m.sign AS http_errors
    FROM shown d
    CROSS JOIN unnest($6::int[], $7::int[], $8::int[], $9::int[]) AS m (first, last, sign, period)
    CROSS JOIN LATERAL (
        SELECT state, error_type, type, sum(count)::bigint AS count, sum(retried)::bigint AS retried,
            sum(http_errors)::bigint AS http_errors
        FROM rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= m.first AND r.minute < m.last
        GROUP BY 1, 2, 3
    ) AS r
    UNION ALL
    SELECT d.destination, h.period, r.state, r.error_type, r.type, r.count, r.retried, r.http_errors
    FROM shown d
    CROSS JOIN unnest($10::int[], $11::int[], $12::int[]) AS h (first, last, period)
    CROSS JOIN LATERAL (
        SELECT state, error_type, type, sum(count)::bigint AS count, sum(retried)::bigint AS retried,
            sum(http_errors)::bigint AS http_errors
        FROM hour_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.hour >= h.first AND r.hour < h.last
        GROUP BY 1, 2, 3
    ) AS r
)
SELECT destination, period, state, error_type, type, sum(count)::bigint AS count, sum(retried)::bigint AS retried,
    sum(http_errors)::bigint AS http_errors
FROM found GROUP BY 1, 2, 3, 4, 5 HAVING sum(count) > 0;

-- name: latencies
WITH shown AS (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
), found AS (
    SELECT d.destination, m.period, r.bucket, r.count * m.sign AS count
    FROM shown d
    CROSS JOIN unnest($6::int[], $7::int[], $8::int[], $9::int[]) AS m (first, last, sign, period)
    CROSS JOIN LATERAL (
        SELECT bucket, sum(count)::bigint AS count
        FROM latency_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= m.first AND r.minute < m.last
        GROUP BY 1
    ) AS r
    UNION ALL
    SELECT d.destination, h.period, r.bucket, r.count
    FROM shown d
    CROSS JOIN unnest($10::int[], $11::int[], $12::int[]) AS h (first, last, period)
    CROSS JOIN LATERAL (
        SELECT bucket, sum(count)::bigint AS count
        FROM hour_latency_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.hour >= h.first AND r.hour < h.last
        GROUP BY 1
    ) AS r
)
SELECT destination, period, bucket, sum(count)::bigint AS count FROM found GROUP BY 1, 2, 3 HAVING sum(count) > 0;

-- name: reasons
-- Of the asked period alone.
WITH shown AS (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
), found AS (
    SELECT d.destination, r.state, r.reason, r.count * m.sign AS count
    FROM shown d
    CROSS JOIN unnest($6::int[], $7::int[], $8::int[], $9::int[]) AS m (first, last, sign, period)
    CROSS JOIN LATERAL (
        SELECT state, reason, sum(count)::bigint AS count
        FROM reason_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= m.first AND r.minute < m.last
        GROUP BY 1, 2
    ) AS r
    WHERE m.period = 0
    UNION ALL
    SELECT d.destination, r.state, r.reason, r.count
    FROM shown d
    CROSS JOIN unnest($10::int[], $11::int[], $12::int[]) AS h (first, last, period)
    CROSS JOIN LATERAL (
        SELECT state, reason, sum(count)::bigint AS count
        FROM hour_reason_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.hour >= h.first AND r.hour < h.last
        GROUP BY 1, 2
    ) AS r
    WHERE h.period = 0
)
SELECT destination, state, reason, sum(count)::bigint AS count FROM found GROUP BY 1, 2, 3 HAVING sum(count) > 0;

-- name: names
-- By event name, of the asked period alone: the $13 with the most deliveries.
WITH shown AS (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
), found AS (
    SELECT r.event_name, r.state, r.count * m.sign AS count, r.retried * m.sign AS retried, r.http_errors * m.sign AS
        http_errors
    FROM shown d
    CROSS JOIN unnest($6::int[], $7::int[], $8::int[], $9::int[]) AS m (first, last, sign, period)
    CROSS JOIN LATERAL (
        SELECT event_name, state, sum(count)::bigint AS count, sum(retried)::bigint AS retried,
            sum(http_errors)::bigint AS http_errors
        FROM rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= m.first AND r.minute < m.last
        GROUP BY 1, 2
    ) AS r
    WHERE m.period = 0
    UNION ALL
    SELECT r.event_name, r.state, r.count, r.retried, r.http_errors
    FROM shown d
    CROSS JOIN unnest($10::int[], $11::int[], $12::int[]) AS h (first, last, period)
    CROSS JOIN LATERAL (
        SELECT event_name, state, sum(count)::bigint AS count, sum(retried)::bigint AS retried,
            sum(http_errors)::bigint AS http_errors
        FROM hour_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.hour >= h.first AND r.hour < h.last
        GROUP BY 1, 2
    ) AS r
    WHERE h.period = 0
), largest AS (
    SELECT event_name FROM found GROUP BY 1 HAVING sum(count) > 0 ORDER BY sum(count) DESC, 1 LIMIT $13
)
SELECT event_name, state, sum(count)::bigint AS count, sum(retried)::bigint AS retried,
    sum(http_errors)::bigint AS http_errors
FROM found JOIN largest USING (event_name) GROUP BY 1, 2 HAVING sum(count) > 0;

-- name: pending
-- $6 is the asked span, [1] to [2], [0] the beginning of the one before.
SELECT destination, (received_at_us < ($6::bigint[])[2])::int AS period, error_type, type, count(*) AS count FROM due
WHERE workspace = $1 AND ($2 = '' OR destination = $2)
    AND received_at_us >= ($6::bigint[])[1] AND received_at_us < ($6::bigint[])[3]
    AND ($3 OR destination IN (
        SELECT destination FROM destinations WHERE workspace = $1 AND (function = ANY($4) OR source = ANY($5))
    ))
GROUP BY 1, 2, 3, 4;

-- name: ingest_counts
-- From minute $2, $3 the beginning of the asked period, to $4.
SELECT source, (minute < $3)::int AS period, sum(count)::bigint AS count FROM ingest_rollups
WHERE workspace = $1 AND minute >= $2 AND minute < $4 AND ($5 OR source = ANY($6))
GROUP BY 1, 2;

-- name: minute_series
-- In steps of $8 minutes, from minute $6 to $7; a sum over all destinations where not $9.
SELECT CASE WHEN $9 THEN d.destination ELSE '' END AS destination, r.start, r.state, sum(r.count)::bigint AS count,
    sum(r.retried)::bigint AS retried, sum(r.http_errors)::bigint AS http_errors
FROM (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
) AS d
CROSS JOIN LATERAL (
    SELECT minute / $8::int * $8::int AS start, state, sum(count) AS count, sum(retried) AS retried,
        sum(http_errors) AS http_errors
    FROM rollups r
    WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= $6 AND r.minute < $7
    GROUP BY 1, 2
) AS r
GROUP BY 1, 2, 3;

-- name: hour_series
-- The same in steps of $8 hours.
SELECT CASE WHEN $9 THEN d.destination ELSE '' END AS destination, r.start, r.state, sum(r.count)::bigint AS count,
    sum(r.retried)::bigint AS retried, sum(r.http_errors)::bigint AS http_errors
FROM (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
) AS d
CROSS JOIN LATERAL (
    SELECT hour / $8::int * $8::int AS start, state, sum(count) AS count, sum(retried) AS retried,
        sum(http_errors) AS http_errors
    FROM hour_rollups r
    WHERE r.workspace = $1 AND r.destination = d.destination AND r.hour >= $6 AND r.hour < $7
    GROUP BY 1, 2
) AS r
GROUP BY 1, 2, 3;

-- name: minute_latency_series
-- The buckets in which the percentiles lie: the first up to which so large a share was seen, as domain/latency.py has it.
SELECT destination, start, min(bucket) FILTER (WHERE seen >= 0.5 * total) AS p50,
    min(bucket) FILTER (WHERE seen >= 0.95 * total) AS p95, min(bucket) FILTER (WHERE seen >= 0.99 * total) AS p99
FROM (
    SELECT destination, start, bucket, sum(count) OVER (point ORDER BY bucket) AS seen, sum(count) OVER point AS total
    FROM (
        SELECT CASE WHEN $9 THEN d.destination ELSE '' END AS destination, r.start, r.bucket, sum(r.count) AS count
        FROM (
            SELECT DISTINCT destination FROM destinations
            WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
        ) AS d
        CROSS JOIN LATERAL (
            SELECT minute / $8::int * $8::int AS start, bucket, sum(count) AS count
            FROM latency_rollups r
            WHERE r.workspace = $1 AND r.destination = d.destination AND r.minute >= $6 AND r.minute < $7
            GROUP BY 1, 2
        ) AS r
        GROUP BY 1, 2, 3
    ) AS summed
    WINDOW point AS (PARTITION BY destination, start)
) AS ranked
GROUP BY 1, 2;

-- name: hour_latency_series
SELECT destination, start, min(bucket) FILTER (WHERE seen >= 0.5 * total) AS p50,
    min(bucket) FILTER (WHERE seen >= 0.95 * total) AS p95, min(bucket) FILTER (WHERE seen >= 0.99 * total) AS p99
FROM (
    SELECT destination, start, bucket, sum(count) OVER (point ORDER BY bucket) AS seen, sum(count) OVER point AS total
    FROM (
        SELECT CASE WHEN $9 THEN d.destination ELSE '' END AS destination, r.start, r.bucket, sum(r.count) AS count
        FROM (
            SELECT DISTINCT destination FROM destinations
            WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
        ) AS d
        CROSS JOIN LATERAL (
            SELECT hour / $8::int * $8::int AS start, bucket, sum(count) AS count
            FROM hour_latency_rollups r
            WHERE r.workspace = $1 AND r.destination = d.destination AND r.hour >= $6 AND r.hour < $7
            GROUP BY 1, 2
        ) AS r
        GROUP BY 1, 2, 3
    ) AS summed
    WINDOW point AS (PARTITION BY destination, start)
) AS ranked
GROUP BY 1, 2;

-- name: pending_series
-- From $6 to $7 in steps of $8, microseconds.
SELECT CASE WHEN $9 THEN destination ELSE '' END AS destination, received_at_us / $8::bigint AS step, count(*) AS count
FROM due
WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND received_at_us >= $6 AND received_at_us < $7
    AND ($3 OR destination IN (
        SELECT destination FROM destinations WHERE workspace = $1 AND (function = ANY($4) OR source = ANY($5))
    ))
GROUP BY 1, 2;

-- name: ingest_series
SELECT minute / $4::int AS step, sum(count)::bigint AS count FROM ingest_rollups
WHERE workspace = $1 AND minute >= $2 AND minute < $3 AND ($5 OR source = ANY($6))
GROUP BY 1;

-- name: shown_destinations
SELECT DISTINCT destination FROM destinations
WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
ORDER BY 1 LIMIT $6;

-- name: host_calls
-- From slot $6 to $7: the hosts with the most failures, $8 at most, by destination.
WITH found AS (
    SELECT d.destination, r.* FROM (
        SELECT DISTINCT destination FROM destinations
        WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
    ) AS d
    CROSS JOIN LATERAL (
        SELECT host, sum(calls)::bigint AS calls, sum(http_errors)::bigint AS http_errors,
            sum(network_errors)::bigint AS network_errors, sum(unanswered)::bigint AS unanswered
        FROM host_rollups r
        WHERE r.workspace = $1 AND r.destination = d.destination AND r.slot >= $6 AND r.slot < $7
        GROUP BY 1
    ) AS r
), worst AS (
    SELECT host, row_number() OVER (ORDER BY sum(http_errors + network_errors) DESC, sum(calls) DESC, host) AS place
    FROM found GROUP BY 1 ORDER BY 2 LIMIT $8
)
SELECT f.*, w.place FROM found f JOIN worst w USING (host)
ORDER BY w.place, f.http_errors + f.network_errors DESC, f.calls DESC, f.destination;

-- name: host_latencies
SELECT r.host, r.bucket, sum(r.count)::bigint AS count
FROM (
    SELECT DISTINCT destination FROM destinations
    WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND ($3 OR function = ANY($4) OR source = ANY($5))
) AS d
CROSS JOIN LATERAL (
    SELECT host, bucket, sum(count) AS count FROM host_latency_rollups r
    WHERE r.workspace = $1 AND r.destination = d.destination AND r.slot >= $6 AND r.slot < $7 AND r.host = ANY($8)
    GROUP BY 1, 2
) AS r
GROUP BY 1, 2;

-- name: usage
-- From day $6 to $7.
SELECT function, day, sum(attempts)::bigint AS attempts, sum(wall_us)::bigint AS wall_us, sum(cpu_us)::bigint AS cpu_us,
    sum(requests)::bigint AS requests, sum(request_bytes)::bigint AS request_bytes,
    sum(response_bytes)::bigint AS response_bytes
FROM usage_rollups
WHERE workspace = $1 AND ($2 = '' OR destination = $2) AND day >= $6 AND day < $7
    AND ($3 OR function = ANY($4) OR destination IN (
        SELECT destination FROM destinations WHERE workspace = $1 AND source = ANY($5)
    ))
GROUP BY 1, 2 ORDER BY day, function LIMIT $8;
