-- What the tracker keeps to of destinations' delivery policies, by the registry's facts; only of those that say anything.
CREATE TABLE delivery_policies (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    -- Seconds after the first attempt's end; empty for no retries, NULL for the installation's.
    retry_offsets_s integer[],
    -- 0 for no limit.
    max_per_second double precision NOT NULL,
    max_in_flight integer NOT NULL,
    breaker_disabled boolean NOT NULL,
    PRIMARY KEY (workspace, destination)
);
-- The registry's log is read anew, so that no policy is missed that it had before this tracker knew of them.
DELETE FROM consumer_positions WHERE consumer = 'delivery' AND service = 'registry';

-- Circuit breakers of destinations that failed lately or are held back; see domain/breaker.py.
CREATE TABLE breakers (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    -- 0 while it is closed.
    opened_at_us bigint NOT NULL DEFAULT 0,
    until_us bigint NOT NULL DEFAULT 0,
    openings integer NOT NULL DEFAULT 0,
    closed_at_us bigint NOT NULL DEFAULT 0,
    bucket bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    failures bigint NOT NULL DEFAULT 0,
    attempts_before bigint NOT NULL DEFAULT 0,
    failures_before bigint NOT NULL DEFAULT 0,
    -- When a transaction last counted something.
    counted_at_us bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, destination)
) WITH (fillfactor = 50);
CREATE INDEX breakers_open ON breakers (workspace, destination) WHERE opened_at_us > 0;

-- Breakers that opened and closed, until the log has it: outcomes may not wait for the log's lock.
CREATE TABLE breaker_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    opened boolean NOT NULL,
    -- Attempts that were counted when it opened, and those that failed; when it closed, for how long it was open.
    attempts bigint NOT NULL,
    failures bigint NOT NULL,
    open_us bigint NOT NULL
);
CREATE INDEX breaker_changes_by_workspace ON breaker_changes (workspace, id);

-- Why what waits for a destination is held back, as people see it; `deferred` is of a delivery that was to begin.
CREATE FUNCTION held_because(of_workspace text, of_destination text, deferred boolean) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN EXISTS (
            SELECT FROM breakers
            WHERE workspace = of_workspace AND destination = of_destination AND opened_at_us > 0
        ) THEN 'breaker_open'
        WHEN NOT deferred THEN ''
        ELSE coalesce((
            SELECT CASE
                WHEN max_per_second > 0 THEN 'rate_limit'
                WHEN max_in_flight > 0 THEN 'concurrency_limit'
                ELSE ''
            END
            FROM delivery_policies WHERE workspace = of_workspace AND destination = of_destination
        ), '')
    END
$$;
