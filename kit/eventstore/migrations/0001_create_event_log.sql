-- The event log of one service. Applied by the owner of the database; the service itself acts as onward_service.

-- Roles belong to the whole server, so another service's database may have made it already, or be making it just now.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'onward_service') THEN
        CREATE ROLE onward_service NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

-- Whoever applies the migrations may also run the service; a superuser needs no membership.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'onward_service', 'SET') THEN
        EXECUTE format('GRANT onward_service TO %I', current_user);
    END IF;
END
$$;

-- What later migrations create (read models) the service may change freely; what may not change is revoked below, by name.
GRANT USAGE ON SCHEMA public TO onward_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO onward_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO onward_service;

-- One row a workspace: its lock, and the last position given out. A writer holds the row until it commits, so positions
-- appear in order and without gaps.
CREATE TABLE workspace_heads (
    workspace text PRIMARY KEY CHECK (length(workspace) BETWEEN 1 AND 63),
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    -- The latest fact's recorded_at, below which the next one's never falls, whatever the clock does.
    recorded_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

CREATE TABLE facts (
    workspace text NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    stream text NOT NULL CHECK (length(stream) BETWEEN 1 AND 512),
    version integer NOT NULL CHECK (version > 0),
    type text NOT NULL CHECK (length(type) BETWEEN 1 AND 128),
    -- json, not jsonb: json keeps the bytes, and the same bytes are stored, hashed and published.
    data json NOT NULL,
    -- Bytes of data, so that a read can be bounded without fetching what it will not answer.
    data_bytes integer NOT NULL CHECK (data_bytes > 0),
    meta json NOT NULL,
    fact_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, position),
    UNIQUE (workspace, stream, version)
);

-- The first answer to a mutation, for whoever repeats the request. May be forgotten after a while, hence no facts.
CREATE TABLE request_answers (
    workspace text NOT NULL,
    principal text NOT NULL CHECK (length(principal) <= 256),
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 128),
    request_hash text NOT NULL,
    answer bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (workspace, principal, request_id)
);
CREATE INDEX request_answers_by_age ON request_answers (recorded_at);

-- How far the relay has published each workspace.
CREATE TABLE relay_positions (
    workspace text PRIMARY KEY,
    position bigint NOT NULL CHECK (position >= 0)
) WITH (fillfactor = 50);

-- Facts are for ever. The service's role lacks the right to change them; the trigger also stops the owner, and, since it is
-- enabled ALWAYS, a superuser with session_replication_role = replica.
REVOKE ALL ON facts, workspace_heads FROM onward_service;
GRANT SELECT, INSERT ON facts TO onward_service;
GRANT SELECT, INSERT, UPDATE ON workspace_heads TO onward_service;

CREATE FUNCTION refuse_to_change_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'facts are append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER facts_are_append_only BEFORE UPDATE OR DELETE ON facts
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_facts();
CREATE TRIGGER facts_are_not_truncated BEFORE TRUNCATE ON facts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_facts();
ALTER TABLE facts ENABLE ALWAYS TRIGGER facts_are_append_only;
ALTER TABLE facts ENABLE ALWAYS TRIGGER facts_are_not_truncated;
