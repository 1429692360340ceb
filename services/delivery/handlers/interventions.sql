-- What people do with single deliveries.

-- name: waiting
SELECT * FROM due WHERE workspace = $1 AND stream_sequence = $2 AND event_index = $3;

-- name: lock_waiting
-- The releaser does not ask for the workspace: what is about to go out has gone when this has been answered.
SELECT * FROM due WHERE workspace = $1 AND destination = $2 AND stream_sequence = $3 AND event_index = $4 FOR UPDATE;

-- name: ended
-- With what it takes to go on.
SELECT a.*, coalesce(e.event, '') AS event, coalesce(left(e.error_message, 1024), '') AS error_message
FROM attempts a
LEFT JOIN attempt_details e USING (workspace, stream_sequence, event_index, destination, attempt, received_at_us)
WHERE a.workspace = $1 AND a.stream_sequence = $2 AND a.event_index = $3 AND a.terminal
ORDER BY a.received_at_us DESC;

-- name: hurry
-- It waits for no others of its batch either.
UPDATE due SET due_at_us = least(due_at_us, $5), gathered = gathered OR batch_events_max > 0
WHERE workspace = $1 AND destination = $2 AND stream_sequence = $3 AND event_index = $4;

-- name: uncount_failed
UPDATE replays SET failed = failed - 1 WHERE workspace = $1 AND number = $2;

-- name: mark_cancelled
UPDATE due SET cancelled = true
WHERE workspace = $1 AND destination = $2 AND stream_sequence = $3 AND event_index = $4;
