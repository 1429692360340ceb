-- What became of every event for every destination. Times are microseconds since 1970, as the executor reports them: the
-- same number on every redelivery, and a quarter of the cost of timestamps to write.
-- Ids sort by bytes (COLLATE "C"): it is faster, and pages are stable whatever the server's locale is.

-- A batch of outcomes may be delivered twice; its id is stored with its effects. Pruned after a day.
CREATE TABLE applied_batches (
    batch_id uuid PRIMARY KEY,
    applied_at_us bigint NOT NULL
);
CREATE INDEX applied_batches_by_age ON applied_batches (applied_at_us);

-- Every destination that ever had an outcome, and its source: what lists and the releaser go through.
CREATE TABLE destinations (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, destination, source)
);

-- Append-only, one partition a day (handlers/maintenance.py makes and drops them). A terminal row says how its delivery
-- ended; there is at most one for each delivery.
CREATE TABLE attempts (
    workspace text COLLATE "C" NOT NULL,
    stream_sequence bigint NOT NULL,
    event_index integer NOT NULL,
    destination text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    -- When JetStream stored the event: a fact about the event, so the key is the same however often it is reported.
    received_at_us bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    settings_revision bigint NOT NULL,
    message_id text NOT NULL,
    -- onward.executor.v1.EventType
    type smallint NOT NULL,
    event_name text NOT NULL,
    -- onward.executor.v1.Result
    result smallint NOT NULL,
    -- onward.executor.v1.ErrorType
    error_type smallint NOT NULL,
    retries_used integer NOT NULL,
    terminal boolean NOT NULL,
    -- onward.delivery.v1.DeliveryState where terminal, else 0.
    state smallint NOT NULL,
    ended_at_us bigint NOT NULL,
    wall_us bigint NOT NULL,
    cpu_us bigint NOT NULL,
    http_error boolean NOT NULL,
    duplicate boolean NOT NULL,
    PRIMARY KEY (workspace, stream_sequence, event_index, destination, attempt, received_at_us)
) PARTITION BY RANGE (received_at_us);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;
CREATE INDEX attempts_by_time ON attempts (workspace, destination, received_at_us);
-- DeliveryState FAILED: few, and what people look for.
CREATE INDEX attempts_failed ON attempts (workspace, destination, received_at_us) WHERE state = 3;
-- Deliveries that ended in a later attempt than their first: few. A late outcome of a first attempt finds them here.
CREATE INDEX attempts_ended_later ON attempts (workspace, destination, stream_sequence) WHERE attempt > 1 AND terminal;

-- What was captured of an attempt: all failures and some successes.
CREATE TABLE attempt_details (
    workspace text COLLATE "C" NOT NULL,
    stream_sequence bigint NOT NULL,
    event_index integer NOT NULL,
    destination text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    received_at_us bigint NOT NULL,
    -- Empty while the delivery is pending: then `due` has it.
    event bytea NOT NULL,
    error_name text NOT NULL,
    error_message text NOT NULL,
    error_stack text NOT NULL,
    http_status integer NOT NULL,
    logs bytea NOT NULL,
    requests bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (workspace, stream_sequence, event_index, destination, attempt, received_at_us)
) PARTITION BY RANGE (received_at_us);
CREATE TABLE attempt_details_default PARTITION OF attempt_details DEFAULT;

-- The first event that bore a messageId, by day of receipt. The key is domain/identity.py's event_key.
CREATE TABLE seen_events (
    event_key bytea NOT NULL,
    -- Days since 1970.
    day integer NOT NULL,
    stream_sequence bigint NOT NULL,
    event_index integer NOT NULL,
    received_at_us bigint NOT NULL,
    PRIMARY KEY (event_key, day)
) PARTITION BY RANGE (day);
CREATE TABLE seen_events_default PARTITION OF seen_events DEFAULT;

-- Events that bore it again within 24 hours.
CREATE TABLE duplicate_events (
    event_key bytea NOT NULL,
    stream_sequence bigint NOT NULL,
    event_index integer NOT NULL,
    received_at_us bigint NOT NULL,
    PRIMARY KEY (event_key, stream_sequence, event_index)
);
CREATE INDEX duplicate_events_by_age ON duplicate_events (received_at_us);

-- One row for each delivery that is still to be made.
CREATE TABLE due (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    stream_sequence bigint NOT NULL,
    event_index integer NOT NULL,
    source text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    message_id text NOT NULL,
    type smallint NOT NULL,
    event_name text NOT NULL,
    received_at_us bigint NOT NULL,
    duplicate boolean NOT NULL,
    event bytea NOT NULL,
    -- The number that the next invocation bears.
    attempt integer NOT NULL,
    retries_used integer NOT NULL,
    -- 1: to be retried; 2: it was held back and has not begun.
    reason smallint NOT NULL,
    -- Of the last attempt.
    error_type smallint NOT NULL,
    error_message text NOT NULL,
    -- The horizon of retries counts from here; 0 until an attempt was made.
    first_ended_at_us bigint NOT NULL,
    deferrals integer NOT NULL,
    -- Workers lost while it ran alone.
    losses integer NOT NULL,
    alone boolean NOT NULL,
    due_at_us bigint NOT NULL,
    -- When it was last handed to DUE, or found there; NULL while it waits here.
    released_at_us bigint,
    -- Its message in DUE; NULL while JetStream has not confirmed it.
    release_sequence bigint,
    -- Whether a message that JetStream has not confirmed may be in DUE nevertheless.
    doubtful boolean NOT NULL DEFAULT false,
    -- Releases of this attempt whose message vanished; part of the message's id.
    releases integer NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, destination, stream_sequence, event_index)
    -- Rows come and go by the million; a fifth of the table dead would be too late.
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX due_waiting ON due (workspace, destination, due_at_us) WHERE released_at_us IS NULL;
CREATE INDEX due_released ON due (workspace, destination, released_at_us) WHERE released_at_us IS NOT NULL;
CREATE INDEX due_by_time ON due (workspace, destination, received_at_us);
CREATE INDEX due_by_event ON due (workspace, stream_sequence, event_index);

-- Deliveries that ended, by the minute in which their event was received.
CREATE TABLE rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    -- Minutes since 1970.
    minute integer NOT NULL,
    state smallint NOT NULL,
    error_type smallint NOT NULL,
    type smallint NOT NULL,
    -- '' also stands for those beyond the 200 names of a minute.
    event_name text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    -- Of these: delivered by more than one invocation; with an HTTP error; events that had run already.
    retried bigint NOT NULL,
    http_errors bigint NOT NULL,
    duplicates bigint NOT NULL,
    PRIMARY KEY (workspace, destination, minute, state, error_type, type, event_name)
) WITH (fillfactor = 50);
CREATE INDEX rollups_by_age ON rollups (minute);

-- End-to-end latency of delivered ones; buckets are domain/latency.py's.
CREATE TABLE latency_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    minute integer NOT NULL,
    bucket smallint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (workspace, destination, minute, bucket)
) WITH (fillfactor = 50);
CREATE INDEX latency_rollups_by_age ON latency_rollups (minute);

-- Events that were refused at intake.
CREATE TABLE ingest_failures (
    workspace text COLLATE "C" NOT NULL,
    stream_sequence bigint NOT NULL,
    event_index integer NOT NULL,
    received_at_us bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    sample bytea NOT NULL,
    PRIMARY KEY (workspace, stream_sequence, event_index, received_at_us)
);
CREATE INDEX ingest_failures_by_time ON ingest_failures (workspace, received_at_us, stream_sequence, event_index);
CREATE INDEX ingest_failures_by_age ON ingest_failures (received_at_us);

CREATE TABLE ingest_rollups (
    workspace text COLLATE "C" NOT NULL,
    minute integer NOT NULL,
    source text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (workspace, minute, source)
) WITH (fillfactor = 50);
CREATE INDEX ingest_rollups_by_age ON ingest_rollups (minute);
