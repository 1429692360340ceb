-- Releasing what is due.

-- name: try_to_lead
SELECT pg_try_advisory_lock(hashtextextended('onward delivery releaser', 0));

-- name: gather
-- Events that wait for others go when they make full batches, the oldest first; all of them when the first has waited.
WITH waiting AS (
    SELECT workspace, destination, stream_sequence, event_index,
        count(*) OVER same AS events, min(batch_events_max) OVER same AS most, min(due_at_us) OVER same AS first_due_at_us,
        row_number() OVER (same ORDER BY due_at_us, stream_sequence, event_index) AS place
    FROM due
    WHERE batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL
    WINDOW same AS (PARTITION BY workspace, destination)
), going AS (
    SELECT d.workspace, d.destination, d.stream_sequence, d.event_index
    FROM waiting w JOIN due d USING (workspace, destination, stream_sequence, event_index)
    WHERE (w.first_due_at_us <= $1 OR w.place <= w.events - w.events % w.most) AND d.released_at_us IS NULL
    -- What an outcome is changing right now goes with the next round; waiting for it might be a deadlock.
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE due d SET gathered = true, due_at_us = least(d.due_at_us, $1)
FROM going g
WHERE d.workspace = g.workspace AND d.destination = g.destination AND d.stream_sequence = g.stream_sequence
    AND d.event_index = g.event_index;

-- name: demand
-- Destinations that have something waiting: how much of theirs is out, and when the first of the rest is due.
SELECT d.workspace, d.destination, w.due_at_us, CASE WHEN w.gathered THEN w.batch_events_max ELSE 0 END AS batch_events,
    (SELECT count(*) FROM due r
     WHERE r.workspace = d.workspace AND r.destination = d.destination AND r.released_at_us IS NOT NULL) AS released
FROM (SELECT DISTINCT workspace, destination FROM destinations) AS d
CROSS JOIN LATERAL (
    SELECT due_at_us, gathered, batch_events_max FROM due w
    WHERE w.workspace = d.workspace AND w.destination = d.destination AND w.released_at_us IS NULL
    ORDER BY due_at_us LIMIT 1
) AS w
ORDER BY w.due_at_us;

-- name: claim
-- The first due ones of each destination, as many as it may have.
WITH claimed AS (
    SELECT c.* FROM unnest($1::text[], $2::text[], $3::int[]) AS k (workspace, destination, most)
    CROSS JOIN LATERAL (
        SELECT workspace, destination, stream_sequence, event_index FROM due d
        WHERE d.workspace = k.workspace AND d.destination = k.destination AND d.released_at_us IS NULL
            AND d.due_at_us <= $4
        ORDER BY d.due_at_us LIMIT k.most
        FOR UPDATE SKIP LOCKED
    ) AS c
)
UPDATE due d SET released_at_us = $4
FROM claimed c
WHERE d.workspace = c.workspace AND d.destination = c.destination
    AND d.stream_sequence = c.stream_sequence AND d.event_index = c.event_index
RETURNING d.*;

-- name: set_release_sequences
-- A row that changed meanwhile was answered already.
UPDATE due d SET release_sequence = k.sequence, doubtful = false
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[])
    AS k (workspace, destination, stream_sequence, event_index, released_at_us, sequence)
WHERE d.workspace = k.workspace AND d.destination = k.destination AND d.stream_sequence = k.stream_sequence
    AND d.event_index = k.event_index AND d.released_at_us = k.released_at_us;

-- name: undo_claims
-- JetStream has not confirmed them: they wait on, and DUE is looked through before they are published again.
UPDATE due d SET released_at_us = NULL, doubtful = true, due_at_us = greatest(d.due_at_us, $6)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::bigint[])
    AS k (workspace, destination, stream_sequence, event_index, released_at_us)
WHERE d.workspace = k.workspace AND d.destination = k.destination AND d.stream_sequence = k.stream_sequence
    AND d.event_index = k.event_index AND d.released_at_us = k.released_at_us AND d.release_sequence IS NULL;

-- name: unanswered
-- Released long ago and not answered.
SELECT workspace, destination, stream_sequence, event_index, released_at_us, release_sequence FROM due
WHERE released_at_us < $1
ORDER BY released_at_us
LIMIT $2;

-- name: still_there
-- Looked at now: not again for a while.
UPDATE due d SET released_at_us = $7, release_sequence = k.sequence
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[])
    AS k (workspace, destination, stream_sequence, event_index, released_at_us, sequence)
WHERE d.workspace = k.workspace AND d.destination = k.destination AND d.stream_sequence = k.stream_sequence
    AND d.event_index = k.event_index AND d.released_at_us = k.released_at_us;

-- name: release_again
-- Its message is gone and its outcome never came. The count makes the next message another one for JetStream.
UPDATE due d SET released_at_us = NULL, release_sequence = NULL, releases = d.releases + 1
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::bigint[])
    AS k (workspace, destination, stream_sequence, event_index, released_at_us)
WHERE d.workspace = k.workspace AND d.destination = k.destination AND d.stream_sequence = k.stream_sequence
    AND d.event_index = k.event_index AND d.released_at_us = k.released_at_us;

-- What waits for destinations that were disconnected.

-- name: followed_positions
SELECT workspace, position FROM consumer_positions WHERE consumer = $1 AND service = $2;

-- name: note_departed
INSERT INTO departed_destinations (workspace, destination) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: release_gathering
-- What waits for others goes by a policy that is no more: it waits no longer.
UPDATE due SET gathered = true, due_at_us = least(due_at_us, $3)
WHERE workspace = $1 AND destination = $2 AND batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL;

-- name: release_departed
UPDATE due SET due_at_us = $3
WHERE workspace = $1 AND destination = $2 AND released_at_us IS NULL AND due_at_us > $3;

-- Keeping the tables in shape.

-- name: partitions
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = $1::regclass ORDER BY c.relname;

