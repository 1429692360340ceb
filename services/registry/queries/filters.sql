-- Filters. A parent is "destinations/{destination}", "sources/{source}", or empty for the workspace.

-- name: filters
-- Those of several parents, in the parents' order.
SELECT workspace, parent, filter, rule, revision, create_time, update_time
FROM filters
WHERE workspace = $1 AND parent = ANY($2::text[])
ORDER BY array_position($2::text[], parent), place;

-- name: filter
SELECT workspace, parent, filter, rule, revision, create_time, update_time
FROM filters WHERE workspace = $1 AND parent = $2 AND filter = $3;

-- name: parent_source
-- The source that a parent stands at, empty for the workspace; no row where there is no such parent.
SELECT '' AS source FROM workspaces WHERE workspace = $1 AND $2 = ''
UNION ALL
SELECT source FROM sources WHERE workspace = $1 AND $2 = 'sources' AND source = $3 AND delete_time IS NULL
UNION ALL
SELECT source FROM destinations
WHERE workspace = $1 AND $2 = 'destinations' AND destination = $3 AND delete_time IS NULL;

-- name: filter_revision
SELECT coalesce(max(position), 0) FROM filter_revisions WHERE workspace = $1 AND parent = ANY($2::text[]);
