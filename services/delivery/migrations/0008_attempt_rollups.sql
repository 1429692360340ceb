-- Attempts that ran, by the minute in which they ended: what health and alerts are judged by. `rollups` has deliveries
-- instead, by the minute in which their event was received.
CREATE TABLE attempt_rollups (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    -- Minutes since 1970.
    minute integer NOT NULL,
    -- onward.executor.v1.ErrorType; 0 for those that succeeded.
    error_type smallint NOT NULL,
    attempts bigint NOT NULL,
    -- Of these: the first ones of their deliveries; those that succeeded although an answer was 400 or more.
    first_attempts bigint NOT NULL,
    http_errors bigint NOT NULL,
    -- Deliveries that failed since no retry was left to them.
    exhausted bigint NOT NULL,
    PRIMARY KEY (workspace, destination, minute, error_type)
) WITH (fillfactor = 50);
CREATE INDEX attempt_rollups_by_age ON attempt_rollups (minute);
