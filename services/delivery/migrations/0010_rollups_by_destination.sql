-- Numbers are read and deleted by destination, through the primary keys. An index of the time alone is one more to write
-- for every row, and was taken for the cheaper way by plans that know nothing of a span's length: they read ten times as
-- much, of everybody's.
DROP INDEX rollups_by_age;
DROP INDEX latency_rollups_by_age;
DROP INDEX hour_rollups_by_age;
DROP INDEX hour_latency_rollups_by_age;
DROP INDEX reason_rollups_by_age;
DROP INDEX hour_reason_rollups_by_age;
DROP INDEX error_rollups_by_age;
DROP INDEX error_groups_by_age;
DROP INDEX usage_rollups_by_age;
DROP INDEX host_rollups_by_age;
DROP INDEX host_latency_rollups_by_age;
DROP INDEX attempt_rollups_by_age;
