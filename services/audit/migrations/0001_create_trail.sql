-- The trail of who changed what, when. kit/eventstore's migrations come first: they make the role and consumer_positions.

-- One row a workspace: its lock, and the last index given out. Whoever records holds the row until the commit, so that
-- indexes are contiguous and become visible in order, also with facts of several services and with several replicas.
CREATE TABLE audit_heads (
    workspace text COLLATE "C" PRIMARY KEY,
    index bigint NOT NULL CHECK (index > 0),
    -- The latest event's record_time, below which the next one's never falls, whatever the clock does.
    record_time timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What people see. Neither code nor secrets are in here.
CREATE TABLE audit_events (
    workspace text COLLATE "C" NOT NULL,
    index bigint NOT NULL CHECK (index > 0),
    service text NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    fact_id uuid NOT NULL,
    occur_time timestamptz NOT NULL,
    record_time timestamptz NOT NULL,
    principal text NOT NULL,
    action text NOT NULL,
    target_type text NOT NULL,
    target_id text NOT NULL,
    target_display_name text NOT NULL,
    -- onward.audit.v1.Outcome.
    outcome smallint NOT NULL,
    -- Array of {field, before, after}.
    changes json NOT NULL,
    -- Bytes of changes, so that a page can be bounded without fetching what it will not show.
    changes_bytes integer NOT NULL,
    request_id text NOT NULL,
    trace_id text NOT NULL,
    PRIMARY KEY (workspace, index),
    UNIQUE (workspace, service, position)
);
CREATE INDEX audit_events_by_principal ON audit_events (workspace, principal, index);
CREATE INDEX audit_events_by_action ON audit_events (workspace, action, index);
CREATE INDEX audit_events_by_target ON audit_events (workspace, target_type, target_id, index);
CREATE INDEX audit_events_by_time ON audit_events (workspace, occur_time);

-- The facts as they came, byte for byte: what a proof is about. Code is in here; people are never shown it.
CREATE TABLE audit_facts (
    workspace text COLLATE "C" NOT NULL,
    index bigint NOT NULL,
    service text NOT NULL,
    position bigint NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    -- Proto-JSON, byte for byte as the owner stored and published it.
    data bytea NOT NULL,
    meta json NOT NULL,
    fact_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, index),
    FOREIGN KEY (workspace, index) REFERENCES audit_events
);

-- The last known state of each target, to tell what the next fact changes. Can be rebuilt from audit_facts.
CREATE TABLE audit_targets (
    workspace text COLLATE "C" NOT NULL,
    service text NOT NULL,
    stream text NOT NULL,
    -- Field path to value, as services.audit.domain shows them.
    state json NOT NULL,
    PRIMARY KEY (workspace, service, stream)
);

-- The trail is for ever. The service's role lacks the right to change it; the triggers also stop the owner and, since they
-- are enabled ALWAYS, a superuser with session_replication_role = replica.
REVOKE ALL ON audit_events, audit_facts, audit_heads FROM onward_service;
GRANT SELECT, INSERT ON audit_events, audit_facts TO onward_service;
GRANT SELECT, INSERT, UPDATE ON audit_heads TO onward_service;

CREATE FUNCTION refuse_to_change_trail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER facts_are_append_only BEFORE UPDATE OR DELETE ON audit_facts
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER facts_are_not_truncated BEFORE TRUNCATE ON audit_facts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_trail();
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER events_are_append_only;
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER events_are_not_truncated;
ALTER TABLE audit_facts ENABLE ALWAYS TRIGGER facts_are_append_only;
ALTER TABLE audit_facts ENABLE ALWAYS TRIGGER facts_are_not_truncated;
