-- name: committed
-- Of events by their indexes: those whose facts commit to where they came from.
SELECT position, meta->'commitments' AS commitments FROM audit_facts
WHERE workspace = $1 AND service = $2 AND index = ANY($3::bigint[]) AND meta->'commitments' IS NOT NULL;
