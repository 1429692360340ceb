-- What a destination fails with.

-- name: errors_between
-- Attempts of a destination by how they ended, the most frequent first.
SELECT error_type, sum(attempts)::bigint AS attempts, sum(http_errors)::bigint AS http_errors FROM attempt_rollups
WHERE workspace = $1 AND destination = $2 AND minute >= $3 * 5 AND minute < ($4 + 1) * 5
GROUP BY 1 ORDER BY 2 DESC, 1;

-- name: last_group
-- What a destination's errors of a type looked like last.
SELECT error_group, shape, error_message FROM error_groups
WHERE workspace = $1 AND destination = $2 AND error_type = $3
ORDER BY last_seen_us DESC LIMIT 1;

-- name: sample
-- The last delivery that failed so.
SELECT stream_sequence, event_index FROM attempts
WHERE workspace = $1 AND destination = $2 AND error_group = $3 AND error_group <> 0 AND received_at_us >= $4
ORDER BY received_at_us DESC LIMIT 1;
