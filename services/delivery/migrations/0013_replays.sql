-- Events that are run again: replays of what the stream keeps, redrives of what failed.

CREATE TABLE replays (
    workspace text COLLATE "C" NOT NULL,
    -- Counted from 1 in each workspace; people see r1, r2. Deliveries of a replay have it in their event_index, so none is
    -- ever given twice: replay_numbers.
    number bigint NOT NULL,
    -- onward.delivery.v1.ReplayKind and ReplayState
    kind smallint NOT NULL,
    state smallint NOT NULL,
    destination text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    -- An onward.delivery.v1.ReplaySelection whose times are filled in.
    selection bytea NOT NULL,
    rate_per_second double precision NOT NULL,
    principal text NOT NULL,
    created_at_us bigint NOT NULL,
    finished_at_us bigint,
    -- It takes up nothing before: outcomes of what it selects may be on their way.
    begins_at_us bigint NOT NULL,
    -- With states to select by: deliveries that ended before are none of it. 0 for no such bound.
    ended_since_us bigint NOT NULL DEFAULT 0,
    -- Whether the log has its ReplayCreated; one that comes with a fact of the registry's is told by the next look.
    told boolean NOT NULL,
    total bigint NOT NULL,
    total_is_estimate boolean NOT NULL,
    reason text NOT NULL DEFAULT '',
    -- How far it is. Of a replay: the message that comes next, and how many of its events are taken up already; 0 before
    -- the first. Of a redrive: the last delivery that was looked at.
    cursor_us bigint NOT NULL DEFAULT 0,
    cursor_sequence bigint NOT NULL DEFAULT 0,
    cursor_index integer NOT NULL DEFAULT 0,
    -- When the next one may be due, by the rate.
    next_at_us bigint NOT NULL DEFAULT 0,
    scanned bigint NOT NULL DEFAULT 0,
    taken_up bigint NOT NULL DEFAULT 0,
    delivered bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    filtered bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    without_event bigint NOT NULL DEFAULT 0,
    given_back bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, number)
);
-- ReplayState below FINISHED.
CREATE INDEX replays_active ON replays (workspace, number) WHERE state < 4;
CREATE INDEX replays_by_age ON replays (finished_at_us);

-- The last number of each workspace.
CREATE TABLE replay_numbers (
    workspace text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL
);

-- Destinations by the registry's facts: what may be replayed to them, and from when.
CREATE TABLE connections (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    enabled boolean NOT NULL DEFAULT false,
    -- Since when its events are skipped, if they are.
    disabled_at_us bigint NOT NULL,
    PRIMARY KEY (workspace, destination)
);
-- The registry's log is read anew, so that no destination is missed.
DELETE FROM consumer_positions WHERE consumer = 'delivery' AND service = 'registry';

ALTER TABLE attempts
    -- The replay's number; 0 for none.
    ADD COLUMN replay bigint NOT NULL DEFAULT 0;

ALTER TABLE due
    ADD COLUMN replay bigint NOT NULL DEFAULT 0,
    -- When a redrive took it up: what was never begun waits from here on; 0 for others.
    ADD COLUMN reopened_at_us bigint NOT NULL DEFAULT 0,
    -- Somebody ended it while it was out: it is not tried again.
    ADD COLUMN cancelled boolean NOT NULL DEFAULT false;
-- What of a replay has not ended; with 0 for first_ended_at_us, what was not attempted.
CREATE INDEX due_replayed ON due (workspace, destination, replay, first_ended_at_us) WHERE replay > 0;
