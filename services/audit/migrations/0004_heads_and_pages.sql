-- The leaves of one more tree: what was signed of every workspace's tree, in the order of signing. The tree itself is in
-- audit_trees, audit_tiles and audit_checkpoints under the name "_workspaces", which no workspace's id can be.
CREATE TABLE audit_workspace_heads (
    index bigint PRIMARY KEY CHECK (index > 0),
    workspace text COLLATE "C" NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    -- The leaf byte for byte: canonical JSON of workspace, size, root and time of signing.
    head bytea NOT NULL
);
CREATE INDEX audit_workspace_heads_by_workspace ON audit_workspace_heads (workspace, index);

REVOKE ALL ON audit_workspace_heads FROM onward_service;
GRANT SELECT, INSERT ON audit_workspace_heads TO onward_service;
CREATE TRIGGER heads_are_append_only BEFORE UPDATE OR DELETE ON audit_workspace_heads
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER heads_are_not_truncated BEFORE TRUNCATE ON audit_workspace_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_trail();
ALTER TABLE audit_workspace_heads ENABLE ALWAYS TRIGGER heads_are_append_only;
ALTER TABLE audit_workspace_heads ENABLE ALWAYS TRIGGER heads_are_not_truncated;

-- What pages are read by: see handlers/listing.py. Times are searched for by record_time, which follows the index, so the
-- few records that were told late, or by a clock that was ahead, are found by an index of their own.
CREATE INDEX audit_events_told_late ON audit_events (workspace, index, occur_time)
    WHERE record_time - occur_time NOT BETWEEN interval '-1 min' AND interval '1 min';
CREATE INDEX audit_events_refused ON audit_events (workspace, index) WHERE outcome <> 1;
DROP INDEX audit_events_by_time;
