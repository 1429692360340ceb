-- What people do with deliveries that wait.

-- name: waiting
SELECT * FROM due WHERE workspace = $1 AND stream_sequence = $2 AND event_index = $3;

-- name: ended
SELECT destination, source, function FROM attempts
WHERE workspace = $1 AND stream_sequence = $2 AND event_index = $3 AND terminal;

-- name: hurry
-- It waits for no others of its batch either.
UPDATE due SET due_at_us = least(due_at_us, $5), gathered = gathered OR batch_events_max > 0
WHERE workspace = $1 AND destination = $2 AND stream_sequence = $3 AND event_index = $4;
