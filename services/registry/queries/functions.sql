-- Functions, also deleted ones: their rows stay, with a delete_time.

-- name: function
SELECT * FROM functions WHERE workspace = $1 AND function = $2;

-- name: list_functions
-- $4 shows those that live, $5 those that are deleted.
SELECT * FROM functions
WHERE workspace = $1 AND function > $2 AND CASE WHEN delete_time IS NULL THEN $4::boolean ELSE $5::boolean END
ORDER BY function
LIMIT $3;

-- name: version_code
SELECT code FROM versions WHERE workspace = $1 AND function = $2 AND number = $3;
