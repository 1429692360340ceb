-- Where refusals belong, and whose tokens were refused.

-- name: known_workspaces
SELECT workspace FROM workspaces WHERE workspace = ANY($1::text[]);

-- name: token_holders
SELECT s.token, t.workspace, t.member
FROM token_secrets s JOIN tokens t ON t.workspace = s.workspace AND t.token = s.token
WHERE s.token = ANY($1::text[]);
