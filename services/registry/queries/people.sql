-- Members with what is known of persons, their roles and tokens.

-- name: member
SELECT m.workspace, m.member, m.kind, m.create_time, coalesce(p.display_name, m.display_name) AS display_name,
    coalesce(p.email, '') AS email, coalesce(p.oidc_subject, '') AS oidc_subject
FROM members m
LEFT JOIN people p ON p.workspace = m.workspace AND p.member = m.member
WHERE m.workspace = $1 AND m.member = $2;

-- name: list_members
SELECT m.workspace, m.member, m.kind, m.create_time, coalesce(p.display_name, m.display_name) AS display_name,
    coalesce(p.email, '') AS email, coalesce(p.oidc_subject, '') AS oidc_subject
FROM members m
LEFT JOIN people p ON p.workspace = m.workspace AND p.member = m.member
WHERE m.workspace = $1 AND m.member > $2
ORDER BY m.member
LIMIT $3;

-- name: role_binding
SELECT * FROM role_bindings WHERE workspace = $1 AND binding = $2;

-- name: role_bindings_of
SELECT * FROM role_bindings WHERE workspace = $1 AND member = $2 ORDER BY binding;

-- name: list_role_bindings
SELECT * FROM role_bindings WHERE workspace = $1 AND binding > $2 ORDER BY binding LIMIT $3;

-- name: token
SELECT t.*, s.last_used_at FROM tokens t
LEFT JOIN token_secrets s ON s.token = t.token
WHERE t.workspace = $1 AND t.token = $2;

-- name: list_tokens
SELECT t.*, s.last_used_at FROM tokens t
LEFT JOIN token_secrets s ON s.token = t.token
WHERE t.workspace = $1 AND t.token > $2
ORDER BY t.token
LIMIT $3;

-- name: email_holder
SELECT member FROM people WHERE workspace = $1 AND lower(email) = lower($2) AND NOT removed;

-- name: insert_person
INSERT INTO people (workspace, member, display_name, email, salt) VALUES ($1, $2, $3, $4, $5);

-- name: person_removed
UPDATE people SET removed = true WHERE workspace = $1 AND member = $2;

-- name: erase_person
-- True where something was known.
WITH erased AS (DELETE FROM people WHERE workspace = $1 AND member = $2 RETURNING 1)
SELECT EXISTS (SELECT FROM erased);

-- name: delete_token_secrets
DELETE FROM token_secrets WHERE workspace = $1 AND token = any($2::text[]);
