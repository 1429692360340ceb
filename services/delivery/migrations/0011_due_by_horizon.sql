-- What has been attempted and waits, by its first attempt: of what is held back, that is how those past their horizon are found.
CREATE INDEX due_by_horizon ON due (workspace, destination, first_ended_at_us)
    WHERE released_at_us IS NULL AND first_ended_at_us > 0;
