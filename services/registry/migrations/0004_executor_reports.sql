-- Which executors run, and how far each has applied the log. A table and not memory, since executors report to one replica
-- and people ask any; unlogged, since after a crash everybody reports anew within seconds.

CREATE UNLOGGED TABLE executors (
    executor text COLLATE "C" PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

CREATE UNLOGGED TABLE executor_positions (
    executor text COLLATE "C" NOT NULL REFERENCES executors ON DELETE CASCADE,
    workspace text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (executor, workspace)
);
