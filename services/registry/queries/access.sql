-- Who may do what, read anew for each call: what was revoked is refused at once.

-- name: token
-- `position` is how far the log was when this was true.
SELECT s.workspace, s.secret_hash, s.last_used_at, t.member, t.grants, t.expire_time, w.members_may_edit_functions, (
    SELECT h.position FROM workspace_heads h WHERE h.workspace = s.workspace
) AS position, (
    SELECT json_agg(b) FROM role_bindings b WHERE b.workspace = t.workspace AND b.member = t.member
) AS bindings
FROM token_secrets s
JOIN tokens t ON t.workspace = s.workspace AND t.token = s.token
JOIN workspaces w ON w.workspace = s.workspace
WHERE s.token = $1;

-- name: touch_token
UPDATE token_secrets SET last_used_at = $2 WHERE token = $1;

-- name: person
-- By the issuer's subject; by the address only until the subject is known. Of both, the subject's counts.
SELECT p.member, p.oidc_issuer = $2 AS bound, w.members_may_edit_functions, (
    SELECT json_agg(b) FROM role_bindings b WHERE b.workspace = p.workspace AND b.member = p.member
) AS bindings
FROM people p
JOIN members m ON m.workspace = p.workspace AND m.member = p.member
JOIN workspaces w ON w.workspace = p.workspace
WHERE p.workspace = $1 AND (
    (p.oidc_issuer = $2 AND p.oidc_subject = $3)
    OR (p.oidc_issuer <> $2 AND $4 <> '' AND lower(p.email) = lower($4))
)
ORDER BY bound DESC
LIMIT 1;

-- name: bind_subject
-- False where another call bound another subject meanwhile.
WITH bound AS (
    UPDATE people SET oidc_issuer = $3, oidc_subject = $4
    WHERE workspace = $1 AND member = $2 AND (oidc_issuer <> $3 OR oidc_subject = $4)
    RETURNING 1
)
SELECT EXISTS (SELECT FROM bound);

-- name: member
SELECT m.member, w.members_may_edit_functions, (
    SELECT json_agg(b) FROM role_bindings b WHERE b.workspace = m.workspace AND b.member = m.member
) AS bindings
FROM members m
JOIN workspaces w ON w.workspace = m.workspace
WHERE m.workspace = $1 AND m.member = $2;

-- name: function_target
SELECT delete_time IS NOT NULL AS deleted FROM functions WHERE workspace = $1 AND function = $2;

-- name: destination_target
SELECT function, source FROM destinations WHERE workspace = $1 AND destination = $2;
