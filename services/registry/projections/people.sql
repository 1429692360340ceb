-- How facts change the read models. The first parameters are always the workspace and the fact's recorded_at.

-- name: workspace_created
INSERT INTO workspaces (workspace, create_time, revision, display_name, functions_max) VALUES ($1, $2, $3, $4, $5);

-- name: workspace_updated
UPDATE workspaces SET revision = $2, display_name = coalesce($3, display_name),
    members_may_edit_functions = coalesce($4, members_may_edit_functions)
WHERE workspace = $1;

-- name: limits_set
UPDATE workspaces SET revision = $2, functions_max = $3, retries_max = coalesce($4, retries_max),
    retry_horizon_max_s = coalesce($5, retry_horizon_max_s)
WHERE workspace = $1;

-- name: egress_range_allowed
UPDATE workspaces SET revision = $2, egress_ranges = egress_ranges || $3::text WHERE workspace = $1;

-- name: egress_range_disallowed
UPDATE workspaces SET revision = $2, egress_ranges = array_remove(egress_ranges, $3::text) WHERE workspace = $1;

-- name: member_added
INSERT INTO members (workspace, create_time, member, kind, display_name) VALUES ($1, $2, $3, $4, $5);

-- name: member_removed
WITH bindings AS (DELETE FROM role_bindings WHERE workspace = $1 AND member = $2)
DELETE FROM members WHERE workspace = $1 AND member = $2;

-- name: role_granted
INSERT INTO role_bindings (workspace, create_time, binding, member, role, everything, ids)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: role_revoked
DELETE FROM role_bindings WHERE workspace = $1 AND binding = $2;

-- name: token_created
INSERT INTO tokens (workspace, create_time, token, display_name, member, grants, expire_time)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: token_revoked
DELETE FROM tokens WHERE workspace = $1 AND token = $2;
