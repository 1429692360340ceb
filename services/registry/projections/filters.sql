-- How facts change the read models: rows (see `Rows`) of a filter's parent, and what belongs to them. All of one fact
-- see the rows as they were before it.

-- name: filter_created
INSERT INTO filters (workspace, create_time, update_time, parent, filter, rule, revision, place)
SELECT $1, head.recorded_at, head.recorded_at, $2, $3, $4, $5, (
    SELECT count(*) FROM filters WHERE workspace = $1 AND parent = $2
) FROM head;

-- name: filter_updated
UPDATE filters SET rule = $4, revision = $5, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND parent = $2 AND filter = $3;

-- name: filter_deleted
DELETE FROM filters USING head WHERE workspace = $1 AND parent = $2 AND filter = $3;

-- name: filters_moved_up
-- Those behind the one that is deleted.
UPDATE filters SET place = place - 1
FROM head WHERE workspace = $1 AND parent = $2
    AND place > (SELECT g.place FROM filters g WHERE g.workspace = $1 AND g.parent = $2 AND g.filter = $3);

-- name: filters_reordered
UPDATE filters SET place = array_position($3::text[], filter) - 1
FROM head WHERE workspace = $1 AND parent = $2;

-- name: filter_revision
INSERT INTO filter_revisions (workspace, parent, position) SELECT $1, $2, head.position FROM head
ON CONFLICT (workspace, parent) DO UPDATE SET position = excluded.position;

-- name: workspace_touched
UPDATE workspaces SET revision = $2 FROM head WHERE workspace = $1
RETURNING head.recorded_at;

-- name: source_touched
UPDATE sources SET revision = $3 FROM head WHERE workspace = $1 AND source = $2
RETURNING head.recorded_at;

-- name: destination_touched
UPDATE destinations SET revision = $3, update_time = head.recorded_at
FROM head WHERE workspace = $1 AND destination = $2
RETURNING head.recorded_at;
