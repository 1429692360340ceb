-- The Merkle log: what it is made of, and what it has made.

-- name: behind
-- Workspaces with records that are in no tree yet.
SELECT h.workspace FROM audit_heads h LEFT JOIN audit_trees t USING (workspace)
WHERE h.index > coalesce(t.size, 0) ORDER BY h.record_time LIMIT $1;

-- name: create_tree
INSERT INTO audit_trees (workspace, size) VALUES ($1, 0) ON CONFLICT DO NOTHING;

-- name: lock_tree
SELECT size FROM audit_trees WHERE workspace = $1 FOR UPDATE;

-- name: records
-- Up to $3 after an index, of at most $4 bytes in all, but one at least.
SELECT e.*, f.stream AS fact_stream, f.version AS fact_version, f.type AS fact_type, f.recorded_at AS fact_recorded_at,
    sha256(f.data) AS fact_data_sha256, sha256(convert_to(f.meta::text, 'UTF8')) AS fact_meta_sha256,
    f.meta->'commitments' AS fact_commitments
FROM (
    SELECT index, changes_bytes, sum(changes_bytes) OVER (ORDER BY index) AS bytes_so_far
    FROM (
        SELECT index, changes_bytes FROM audit_events WHERE workspace = $1 AND index > $2 ORDER BY index LIMIT $3
    ) AS candidates
) AS chosen
-- Looked up one by one by the primary key: its order is asked for, and so no other index will do. Of a workspace that is
-- new Postgres believes that it has one row, and would look through all of them for each.
CROSS JOIN LATERAL (
    SELECT * FROM audit_events WHERE workspace = $1 AND index BETWEEN chosen.index AND chosen.index ORDER BY index LIMIT 1
) AS e
CROSS JOIN LATERAL (
    SELECT * FROM audit_facts WHERE workspace = $1 AND index BETWEEN chosen.index AND chosen.index ORDER BY index LIMIT 1
) AS f
WHERE chosen.bytes_so_far <= $4 OR chosen.bytes_so_far = chosen.changes_bytes
ORDER BY e.index;

-- name: record
-- One, looked up as above.
SELECT e.*, f.stream AS fact_stream, f.version AS fact_version, f.type AS fact_type, f.recorded_at AS fact_recorded_at,
    sha256(f.data) AS fact_data_sha256, sha256(convert_to(f.meta::text, 'UTF8')) AS fact_meta_sha256,
    f.meta->'commitments' AS fact_commitments
FROM (SELECT * FROM audit_events WHERE workspace = $1 AND index BETWEEN $2 AND $2 ORDER BY index LIMIT 1) AS e
CROSS JOIN (SELECT * FROM audit_facts WHERE workspace = $1 AND index BETWEEN $2 AND $2 ORDER BY index LIMIT 1) AS f;

-- name: tiles
-- Looked up one by one, as above.
SELECT t.level, t.tile, t.hashes FROM unnest($2::smallint[], $3::bigint[]) AS wanted(level, tile)
CROSS JOIN LATERAL (
    SELECT * FROM audit_tiles WHERE workspace = $1 AND level = wanted.level AND tile BETWEEN wanted.tile AND wanted.tile
    ORDER BY level, tile LIMIT 1
) AS t;

-- name: put_tiles
INSERT INTO audit_tiles (workspace, level, tile, hashes)
SELECT $1, * FROM unnest($2::smallint[], $3::bigint[], $4::bytea[])
ON CONFLICT (workspace, level, tile) DO UPDATE SET hashes = excluded.hashes;

-- name: set_size
UPDATE audit_trees SET size = $2 WHERE workspace = $1;

-- name: size
SELECT size FROM audit_trees WHERE workspace = $1;

-- name: unsigned
-- Up to $2 trees that have grown since their last head, those without one among them; $1 is the tree of heads.
SELECT t.workspace, t.size FROM audit_trees t
WHERE t.workspace <> $1 AND t.size > coalesce(
    (SELECT h.size FROM audit_workspace_heads h WHERE h.workspace = t.workspace ORDER BY h.index DESC LIMIT 1), 0
)
ORDER BY t.workspace LIMIT $2;

-- name: lock_heads
-- Nothing where another replica is signing.
SELECT size FROM audit_trees WHERE workspace = $1 FOR UPDATE SKIP LOCKED;

-- name: put_heads
INSERT INTO audit_workspace_heads (index, workspace, size, head)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[]);

-- name: heads
SELECT index, head FROM audit_workspace_heads WHERE index > $1 ORDER BY index LIMIT $2;

-- name: last_head
-- A workspace's last among the first $2.
SELECT index, head FROM audit_workspace_heads WHERE workspace = $1 AND index <= $2 ORDER BY index DESC LIMIT 1;

-- name: put_checkpoint
INSERT INTO audit_checkpoints (workspace, size, note, sign_time) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: checkpoint
-- The first of at least a size.
SELECT size, note FROM audit_checkpoints WHERE workspace = $1 AND size >= $2 ORDER BY size LIMIT 1;

-- name: last_checkpoint
SELECT size, note FROM audit_checkpoints WHERE workspace = $1 ORDER BY size DESC LIMIT 1;

-- name: record_heads
SELECT workspace, index FROM audit_heads;

-- name: sizes
SELECT workspace, size FROM audit_trees;

-- name: uncovered
-- The first record that no checkpoint covers, of all workspaces.
SELECT e.workspace, e.record_time AS since
FROM audit_heads h
CROSS JOIN LATERAL (
    SELECT coalesce(max(size), 0) AS size FROM audit_checkpoints c WHERE c.workspace = h.workspace
) AS covered
JOIN audit_events e ON e.workspace = h.workspace AND e.index = covered.size + 1
WHERE h.index > covered.size
ORDER BY e.record_time LIMIT 1;
