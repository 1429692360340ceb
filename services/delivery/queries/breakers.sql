-- Breakers as callers see them.

-- name: open_breakers
SELECT b.destination, b.opened_at_us, b.until_us FROM breakers b
WHERE b.workspace = $1 AND ($2 = '' OR b.destination = $2) AND b.opened_at_us > 0 AND ($3 OR EXISTS (
    SELECT FROM destinations d
    WHERE d.workspace = b.workspace AND d.destination = b.destination AND (d.function = ANY($4) OR d.source = ANY($5))
));
