-- What the log tells of settings.

-- name: facts_of_settings
-- Of the facts after position $2 and up to $3, those that set, clear or end settings: at most $4 bytes in all, but one
-- at least. Sizes are summed before any data is fetched.
SELECT f.position, f.type, f.data, f.recorded_at
FROM (
    SELECT position, data_bytes, sum(data_bytes) OVER (ORDER BY position) AS bytes_so_far
    FROM facts
    WHERE workspace = $1 AND position > $2 AND position <= $3
        AND type IN ('SettingsChanged', 'DestinationDisconnected')
) AS chosen
JOIN facts f ON f.workspace = $1 AND f.position = chosen.position
WHERE chosen.bytes_so_far <= $4 OR chosen.bytes_so_far = chosen.data_bytes
ORDER BY f.position;
