-- Errors of one type and shape make a group (domain/shapes.py), which every failed attempt names.

ALTER TABLE attempts
    -- The group's id: a hash, so that every replica gives the same error the same one. 0 where nothing failed.
    ADD COLUMN error_group bigint NOT NULL DEFAULT 0;
-- Samples of a group, and what is redriven by it.
CREATE INDEX attempts_by_group ON attempts (workspace, destination, error_group, received_at_us) WHERE error_group <> 0;

-- What a group's errors look like. Pruned with the attempts.
CREATE TABLE error_groups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    error_group bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    -- onward.executor.v1.ErrorType
    error_type smallint NOT NULL,
    -- The error's class and the HTTP status that it carries; '' and 0 where it has none, or where the group holds those
    -- for which there was no group left.
    error_name text NOT NULL,
    http_status integer NOT NULL,
    -- The message with placeholders for what differs from one error to the next.
    shape text NOT NULL,
    overflow boolean NOT NULL,
    -- When attempts of it ended, the first and the last.
    first_seen_us bigint NOT NULL,
    last_seen_us bigint NOT NULL,
    PRIMARY KEY (workspace, destination, error_group)
) WITH (fillfactor = 70);
CREATE INDEX error_groups_by_age ON error_groups (last_seen_us);

-- Failed attempts by group and the minute in which their event was received.
CREATE TABLE error_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    minute integer NOT NULL,
    error_group bigint NOT NULL,
    attempts bigint NOT NULL,
    -- Of these: those that ended their delivery.
    failed bigint NOT NULL,
    PRIMARY KEY (workspace, destination, minute, error_group)
) WITH (fillfactor = 50);
CREATE INDEX error_rollups_by_age ON error_rollups (minute);
