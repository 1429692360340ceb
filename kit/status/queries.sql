-- name: server
-- Connections are counted by database, since who has them is nothing that the service's role may see.
SELECT current_setting('server_version') AS version,
    current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('max_connections')::int AS connections_max,
    (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections,
    pg_database_size(current_database()) AS size_bytes;

-- name: clock
SELECT clock_timestamp();
