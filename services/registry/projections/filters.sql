-- How facts change the read models. The first parameters are always the workspace and the fact's recorded_at.

-- name: filter_created
INSERT INTO filters (workspace, create_time, update_time, parent, filter, rule, revision, place)
SELECT $1, $2, $2, $3, $4, $5, $6, count(*) FROM filters WHERE workspace = $1 AND parent = $3;

-- name: filter_updated
UPDATE filters SET rule = $5, revision = $6, update_time = $2
WHERE workspace = $1 AND parent = $3 AND filter = $4;

-- name: filter_deleted
WITH gone AS (
    DELETE FROM filters WHERE workspace = $1 AND parent = $2 AND filter = $3 RETURNING place
)
UPDATE filters SET place = filters.place - 1 FROM gone
WHERE workspace = $1 AND parent = $2 AND filters.place > gone.place;

-- name: filters_reordered
UPDATE filters SET place = array_position($3::text[], filter) - 1 WHERE workspace = $1 AND parent = $2;

-- name: filter_revision
INSERT INTO filter_revisions (workspace, parent, position) VALUES ($1, $2, $3)
ON CONFLICT (workspace, parent) DO UPDATE SET position = excluded.position;

-- name: workspace_touched
UPDATE workspaces SET revision = $2 WHERE workspace = $1;

-- name: source_touched
UPDATE sources SET revision = $3 WHERE workspace = $1 AND source = $2;

-- name: destination_touched
UPDATE destinations SET revision = $4, update_time = $2 WHERE workspace = $1 AND destination = $3;
