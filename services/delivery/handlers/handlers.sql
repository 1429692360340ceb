-- Releasing what is due.

-- name: try_to_lead
SELECT pg_try_advisory_lock(hashtextextended('onward delivery releaser', 0));

-- name: gather
-- Events that wait for others go when they make full batches, the oldest first; all of them when the first has waited.
-- The first of each destination is found by steps through the index; whether a batch is full is looked for only at
-- those that are named. Of one destination at most $4 go, of all $5, and nothing while others of its own
-- that were gathered before have not gone.
WITH RECURSIVE firsts AS (
    (SELECT workspace, destination, due_at_us, batch_events_max FROM due
    WHERE batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL
    ORDER BY workspace, destination, due_at_us LIMIT 1)
    UNION ALL
    SELECT n.* FROM firsts f CROSS JOIN LATERAL (
        SELECT workspace, destination, due_at_us, batch_events_max FROM due
        WHERE batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL
            AND (workspace, destination) > (f.workspace, f.destination)
        ORDER BY workspace, destination, due_at_us LIMIT 1
    ) AS n
), ripe AS (
    SELECT workspace, destination, due_at_us FROM firsts f
    WHERE (f.due_at_us <= $1 OR (f.workspace, f.destination) IN (SELECT * FROM unnest($2::text[], $3::text[]))
            AND (SELECT count(*) FROM (
                SELECT FROM due d
                WHERE d.workspace = f.workspace AND d.destination = f.destination
                    AND batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL
                LIMIT f.batch_events_max) AS enough) = f.batch_events_max)
        AND (SELECT NOT (w.gathered AND w.due_at_us <= $1) FROM due w
             WHERE w.workspace = f.workspace AND w.destination = f.destination AND w.released_at_us IS NULL
             ORDER BY w.due_at_us LIMIT 1)
    ORDER BY due_at_us LIMIT $5
), waiting AS (
    SELECT w.*, f.due_at_us AS first_due_at_us FROM ripe f CROSS JOIN LATERAL (
        SELECT workspace, destination, stream_sequence, event_index, due_at_us, batch_events_max FROM due d
        WHERE d.workspace = f.workspace AND d.destination = f.destination
            AND batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL
        ORDER BY d.due_at_us LIMIT $4
    ) AS w
    ORDER BY f.due_at_us, w.workspace, w.destination LIMIT $5::bigint + $4
), counted AS (
    SELECT *, count(*) OVER same AS events, min(batch_events_max) OVER same AS most,
        row_number() OVER (same ORDER BY due_at_us, stream_sequence, event_index) AS place,
        count(*) OVER (ORDER BY first_due_at_us, workspace, destination) AS total
    FROM waiting WINDOW same AS (PARTITION BY workspace, destination)
), going AS (
    SELECT d.* FROM counted c CROSS JOIN LATERAL (
        SELECT workspace, destination, stream_sequence, event_index FROM due d
        WHERE d.workspace = c.workspace AND d.destination = c.destination AND d.stream_sequence = c.stream_sequence
            AND d.event_index = c.event_index AND d.released_at_us IS NULL
        -- What an outcome is changing right now goes with the next round; waiting for it might be a deadlock.
        FOR UPDATE SKIP LOCKED
    ) AS d
    WHERE total <= $5
        AND place <= CASE WHEN first_due_at_us <= $1 AND events < $4 THEN events ELSE events - events % most END
)
UPDATE due d SET gathered = true, due_at_us = least(d.due_at_us, $1)
FROM going g
WHERE d.workspace = g.workspace AND d.destination = g.destination AND d.stream_sequence = g.stream_sequence
    AND d.event_index = g.event_index
RETURNING true;

-- name: gathering
-- Destinations for which events wait for others, from one on.
WITH RECURSIVE found AS (
    (SELECT workspace, destination FROM due
    WHERE batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL AND (workspace, destination) > ($1, $2)
    ORDER BY workspace, destination LIMIT 1)
    UNION ALL
    SELECT n.* FROM found f CROSS JOIN LATERAL (
        SELECT workspace, destination FROM due
        WHERE batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL
            AND (workspace, destination) > (f.workspace, f.destination)
        ORDER BY workspace, destination LIMIT 1
    ) AS n
)
SELECT * FROM found LIMIT $3;

-- name: demand
-- Destinations that have something waiting: how much of theirs is out, and when the first of the rest is due.
SELECT d.workspace, d.destination, w.due_at_us, CASE WHEN w.gathered THEN w.batch_events_max ELSE 0 END AS batch_events,
    w.batch_events_max > 0 AND NOT w.gathered AS gathering,
    (SELECT count(*) FROM due r
     WHERE r.workspace = d.workspace AND r.destination = d.destination AND r.released_at_us IS NOT NULL) AS released,
    coalesce(p.max_per_second, 0) AS max_per_second, coalesce(p.max_in_flight, 0) AS max_in_flight,
    coalesce(b.opened_at_us, 0) AS opened_at_us, coalesce(b.until_us, 0) AS until_us,
    CASE WHEN b.opened_at_us IS NOT NULL THEN (
        SELECT count(*) FROM due r
        WHERE r.workspace = d.workspace AND r.destination = d.destination AND r.released_at_us >= b.until_us
    ) ELSE 0 END AS probes
FROM (SELECT DISTINCT workspace, destination FROM destinations) AS d
CROSS JOIN LATERAL (
    SELECT due_at_us, gathered, batch_events_max FROM due w
    WHERE w.workspace = d.workspace AND w.destination = d.destination AND w.released_at_us IS NULL
    ORDER BY due_at_us LIMIT 1
) AS w
LEFT JOIN delivery_policies p ON p.workspace = d.workspace AND p.destination = d.destination
LEFT JOIN breakers b ON b.workspace = d.workspace AND b.destination = d.destination AND b.opened_at_us > 0
ORDER BY w.due_at_us;

-- name: claim
-- The first due ones of each destination, as many as it may have; what replays have taken up and nobody has attempted (at
-- most AHEAD_MAX rows, see domain/replays.py) after everything else.
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) AS k (workspace, destination, most)
), live AS (
    SELECT c.* FROM wanted k
    CROSS JOIN LATERAL (
        SELECT workspace, destination, ctid AS place FROM due d
        WHERE d.workspace = k.workspace AND d.destination = k.destination AND d.released_at_us IS NULL
            AND d.due_at_us <= $4 AND NOT (d.replay > 0 AND d.first_ended_at_us = 0)
        ORDER BY d.due_at_us LIMIT k.most
        FOR UPDATE SKIP LOCKED
    ) AS c
), replayed AS (
    SELECT c.* FROM wanted k
    CROSS JOIN LATERAL (
        SELECT workspace, destination, ctid AS place FROM due d
        WHERE d.workspace = k.workspace AND d.destination = k.destination AND d.released_at_us IS NULL
            AND d.due_at_us <= $4 AND d.replay > 0 AND d.first_ended_at_us = 0
        ORDER BY d.due_at_us
        LIMIT k.most - (SELECT count(*) FROM live l WHERE l.workspace = k.workspace AND l.destination = k.destination)
        FOR UPDATE SKIP LOCKED
    ) AS c
)
-- One that is due waits for no others, also if it was locked when its like were gathered. Rows are found by their places,
-- which hold while they are locked: by their keys, the whole table would be read for what is taken to be a tenth of it.
UPDATE due d SET released_at_us = $4, gathered = d.gathered OR d.batch_events_max > 0
WHERE d.ctid = ANY (ARRAY(SELECT place FROM live UNION ALL SELECT place FROM replayed)) AND d.released_at_us IS NULL
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

