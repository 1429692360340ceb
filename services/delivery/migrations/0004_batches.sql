-- Events that wait for others of their batch, and how large the batches were that ran.

ALTER TABLE due
    -- Of one that waits for others, or has: the most events of a batch. 0 for one that goes by itself.
    ADD COLUMN batch_events_max integer NOT NULL DEFAULT 0,
    -- It waits for no others any more, and goes with those that are due with it.
    ADD COLUMN gathered boolean NOT NULL DEFAULT false,
    -- The most events that it may be in a batch with, whatever the policy says; 0 for no such limit.
    ADD COLUMN batch_limit integer NOT NULL DEFAULT 0;
CREATE INDEX due_gathering ON due (workspace, destination, due_at_us) INCLUDE (batch_events_max)
    WHERE batch_events_max > 0 AND NOT gathered AND released_at_us IS NULL;

-- How many events `onBatch` was given together; 0 where a single handler ran.
ALTER TABLE attempts ADD COLUMN batch_events integer NOT NULL DEFAULT 0;
