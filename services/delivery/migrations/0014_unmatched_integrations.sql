-- Names in the `integrations` of events that are no destination of their source.
CREATE TABLE unmatched_integrations (
    workspace text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    events bigint NOT NULL,
    first_received_at_us bigint NOT NULL,
    last_received_at_us bigint NOT NULL,
    PRIMARY KEY (workspace, source, name)
);
CREATE INDEX unmatched_integrations_by_age ON unmatched_integrations (last_received_at_us);
