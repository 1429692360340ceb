-- Which filters an attempt met, why a delivery was filtered or cancelled, and destinations that are no more.

ALTER TABLE attempts
    -- The log position of the filters' last change; 0 for none.
    ADD COLUMN filter_revision bigint NOT NULL DEFAULT 0,
    -- Why it was filtered or cancelled, as the executor says; else empty.
    ADD COLUMN reason text NOT NULL DEFAULT '';

-- What filters left of the event, which people are shown: NULL where they left it as it was, empty where it may not be
-- shown. `event` stays as it came, so that it can be filtered again when it is run again.
ALTER TABLE attempt_details ADD COLUMN filtered_event bytea;

-- A destination's source and function never change, and its id is never given again: who may see what is decided by them.
ALTER TABLE destinations ADD COLUMN function text COLLATE "C" NOT NULL DEFAULT '';
UPDATE destinations d SET function = coalesce((
    SELECT a.function FROM attempts a
    WHERE a.workspace = d.workspace AND a.destination = d.destination AND a.function <> ''
    ORDER BY a.received_at_us DESC LIMIT 1
), '');

-- Destinations that were disconnected, by the registry's facts: what waits for them is released at once, so that an
-- executor ends it.
CREATE TABLE departed_destinations (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, destination)
);
