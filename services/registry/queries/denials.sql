-- Where refusals belong.

-- name: known_workspaces
SELECT workspace FROM workspaces WHERE workspace = ANY($1::text[]);
