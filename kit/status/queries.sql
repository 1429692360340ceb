-- name: server
-- What the service's role may see is enough: each connection is a row, whoever it belongs to.
SELECT current_setting('server_version') AS version,
    current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('max_connections')::int AS connections_max,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    pg_database_size(current_database()) AS size_bytes;

-- name: clock
SELECT clock_timestamp();
