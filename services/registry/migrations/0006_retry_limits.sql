-- How often and for how long the policies of a workspace's destinations may retry; what every workspace has that nobody
-- set others for.
ALTER TABLE workspaces
    ADD COLUMN retries_max integer NOT NULL DEFAULT 20,
    ADD COLUMN retry_horizon_max_s integer NOT NULL DEFAULT 86400;
