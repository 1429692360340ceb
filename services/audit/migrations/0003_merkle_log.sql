-- One Merkle tree (RFC 6962) a workspace over the bytes of its records, and the signed checkpoints of its growth. Made from
-- audit_events and audit_facts in the order of their indexes, a moment after they are recorded; also for those of before.

-- How many records are in a workspace's tiles; the lock of whoever adds some.
CREATE TABLE audit_trees (
    workspace text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL CHECK (size >= 0)
) WITH (fillfactor = 50);

-- Hashes of complete subtrees: entry i of level l is the root of the 256^l records from i * 256^l on, 256 entries a tile.
CREATE TABLE audit_tiles (
    workspace text COLLATE "C" NOT NULL,
    level smallint NOT NULL CHECK (level >= 0),
    tile bigint NOT NULL CHECK (tile >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (workspace, level, tile)
) WITH (fillfactor = 70);

CREATE TABLE audit_checkpoints (
    workspace text COLLATE "C" NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    -- The signed note, as services/audit/domain/checkpoints.py writes it.
    note text NOT NULL,
    sign_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, size)
);

REVOKE ALL ON audit_trees, audit_tiles, audit_checkpoints FROM onward_service;
GRANT SELECT, INSERT, UPDATE ON audit_trees, audit_tiles TO onward_service;
GRANT SELECT, INSERT ON audit_checkpoints TO onward_service;

-- Trees only grow. Whoever gets past this is found out by checkpoints that are kept elsewhere.
CREATE FUNCTION refuse_to_shrink_tree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.workspace = OLD.workspace AND NEW.size >= OLD.size THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a tree only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE FUNCTION refuse_to_change_hashes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.workspace, NEW.level, NEW.tile) = (OLD.workspace, OLD.level, OLD.tile)
        AND substring(NEW.hashes FOR octet_length(OLD.hashes)) = OLD.hashes THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'hashes are only added to a tile' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER trees_only_grow BEFORE UPDATE ON audit_trees FOR EACH ROW EXECUTE FUNCTION refuse_to_shrink_tree();
CREATE TRIGGER trees_are_kept BEFORE DELETE ON audit_trees FOR EACH ROW EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER trees_are_not_truncated BEFORE TRUNCATE ON audit_trees
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER tiles_only_grow BEFORE UPDATE ON audit_tiles FOR EACH ROW EXECUTE FUNCTION refuse_to_change_hashes();
CREATE TRIGGER tiles_are_kept BEFORE DELETE ON audit_tiles FOR EACH ROW EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER tiles_are_not_truncated BEFORE TRUNCATE ON audit_tiles
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER checkpoints_are_append_only BEFORE UPDATE OR DELETE ON audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_trail();
CREATE TRIGGER checkpoints_are_not_truncated BEFORE TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_trail();
ALTER TABLE audit_trees ENABLE ALWAYS TRIGGER trees_only_grow;
ALTER TABLE audit_trees ENABLE ALWAYS TRIGGER trees_are_kept;
ALTER TABLE audit_trees ENABLE ALWAYS TRIGGER trees_are_not_truncated;
ALTER TABLE audit_tiles ENABLE ALWAYS TRIGGER tiles_only_grow;
ALTER TABLE audit_tiles ENABLE ALWAYS TRIGGER tiles_are_kept;
ALTER TABLE audit_tiles ENABLE ALWAYS TRIGGER tiles_are_not_truncated;
ALTER TABLE audit_checkpoints ENABLE ALWAYS TRIGGER checkpoints_are_append_only;
ALTER TABLE audit_checkpoints ENABLE ALWAYS TRIGGER checkpoints_are_not_truncated;
