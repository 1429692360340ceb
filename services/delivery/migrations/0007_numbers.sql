-- Sums of whole hours beside those of minutes, so that a day's numbers are some rows and not thousands; filtered and
-- cancelled deliveries by reason; what functions use; calls by outgoing host.

-- An example of the group's messages: the last one.
ALTER TABLE error_groups ADD COLUMN error_message text NOT NULL DEFAULT '';

-- As rollups; hours since 1970.
CREATE TABLE hour_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    hour integer NOT NULL,
    state smallint NOT NULL,
    error_type smallint NOT NULL,
    type smallint NOT NULL,
    event_name text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    retried bigint NOT NULL,
    http_errors bigint NOT NULL,
    duplicates bigint NOT NULL,
    PRIMARY KEY (workspace, destination, hour, state, error_type, type, event_name)
) WITH (fillfactor = 50);
CREATE INDEX hour_rollups_by_age ON hour_rollups (hour);
INSERT INTO hour_rollups
SELECT workspace, destination, minute / 60, state, error_type, type, event_name, sum(count), sum(retried),
    sum(http_errors), sum(duplicates)
FROM rollups GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- As latency_rollups.
CREATE TABLE hour_latency_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    hour integer NOT NULL,
    bucket smallint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (workspace, destination, hour, bucket)
) WITH (fillfactor = 50);
CREATE INDEX hour_latency_rollups_by_age ON hour_latency_rollups (hour);
INSERT INTO hour_latency_rollups
SELECT workspace, destination, minute / 60, bucket, sum(count) FROM latency_rollups GROUP BY 1, 2, 3, 4;

-- Deliveries that were filtered or cancelled, by what did it: a few rows a destination and minute.
CREATE TABLE reason_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    minute integer NOT NULL,
    state smallint NOT NULL,
    -- "drop_event", "integrations", a filter's name, or why it was cancelled.
    reason text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (workspace, destination, minute, state, reason)
) WITH (fillfactor = 50);
CREATE INDEX reason_rollups_by_age ON reason_rollups (minute);
CREATE TABLE hour_reason_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    hour integer NOT NULL,
    state smallint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (workspace, destination, hour, state, reason)
) WITH (fillfactor = 50);
CREATE INDEX hour_reason_rollups_by_age ON hour_reason_rollups (hour);

-- What running a function for a destination took, by the UTC day in which its attempts ended.
CREATE TABLE usage_rollups (
    workspace text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    -- Days since 1970.
    day integer NOT NULL,
    -- Invocations of the handler, each event of a batch for one; wall and CPU time in microseconds.
    attempts bigint NOT NULL,
    wall_us bigint NOT NULL,
    cpu_us bigint NOT NULL,
    -- Outgoing requests, and bytes of their bodies and of their answers'.
    requests bigint NOT NULL,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    PRIMARY KEY (workspace, function, destination, day)
) WITH (fillfactor = 50);
CREATE INDEX usage_rollups_by_age ON usage_rollups (day);

-- Outgoing requests by host, in five-minute slots of when they were made: coarser than minutes, since a partner is
-- looked at over hours.
CREATE TABLE host_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    -- Five minutes since 1970, counted.
    slot integer NOT NULL,
    -- 'other' stands for those beyond the 50 hosts of a slot.
    host text COLLATE "C" NOT NULL,
    calls bigint NOT NULL,
    -- Of these: answered with 400 or more; not answered; neither, since nobody waited for the answer.
    http_errors bigint NOT NULL,
    network_errors bigint NOT NULL,
    unanswered bigint NOT NULL,
    PRIMARY KEY (workspace, destination, slot, host)
) WITH (fillfactor = 50);
CREATE INDEX host_rollups_by_age ON host_rollups (slot);
-- Their latency; buckets are domain/latency.py's.
CREATE TABLE host_latency_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    slot integer NOT NULL,
    host text COLLATE "C" NOT NULL,
    bucket smallint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (workspace, destination, slot, host, bucket)
) WITH (fillfactor = 50);
CREATE INDEX host_latency_rollups_by_age ON host_latency_rollups (slot);
