-- Outcomes that Postgres refuses for what they hold: set aside so that they hold up no others. Pruned with the attempts.
CREATE TABLE dead_outcomes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Of the batch they came in; not always a UUID, which may be why they are here.
    batch_id text NOT NULL,
    workspace text COLLATE "C" NOT NULL,
    -- An onward.executor.v1.OutcomeBatch with an id of its own: published on outcomes.<workspace>, it is applied once.
    data bytea NOT NULL,
    reason text NOT NULL,
    recorded_at_us bigint NOT NULL
);
CREATE INDEX dead_outcomes_by_age ON dead_outcomes (recorded_at_us);
