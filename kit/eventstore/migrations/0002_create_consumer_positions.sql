-- How far a consumer has applied another service's facts, written in the same transaction as the effect.
CREATE TABLE consumer_positions (
    consumer text NOT NULL CHECK (length(consumer) BETWEEN 1 AND 128),
    service text NOT NULL CHECK (length(service) BETWEEN 1 AND 63),
    workspace text NOT NULL CHECK (length(workspace) BETWEEN 1 AND 63),
    position bigint NOT NULL CHECK (position >= 0),
    PRIMARY KEY (consumer, service, workspace)
) WITH (fillfactor = 50);
