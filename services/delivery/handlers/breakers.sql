-- Circuit breakers, outside the transactions of outcomes.

-- name: open_breakers
SELECT workspace, destination FROM breakers WHERE opened_at_us > 0;

-- name: changed_workspaces
SELECT DISTINCT workspace FROM breaker_changes ORDER BY workspace LIMIT $1;

-- name: take_changes
-- The log's lock is held: nobody else takes them, and they are told in the order in which they were made.
DELETE FROM breaker_changes WHERE id IN (
    SELECT id FROM breaker_changes WHERE workspace = $1 ORDER BY id LIMIT $2
)
RETURNING *;

-- name: place
-- Where a destination's deliveries come from, as far as there were any.
SELECT source, function FROM destinations WHERE workspace = $1 AND destination = $2 ORDER BY function DESC LIMIT 1;

-- name: forget_breakers
-- What was not counted for so long says nothing any more.
DELETE FROM breakers WHERE opened_at_us = 0 AND counted_at_us < $1;
