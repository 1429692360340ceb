-- Where the calls came from that left facts: addresses and agents as the callers said them. No fact may hold them; a fact
-- has salted hashes of them (`commitments`). A row goes when its person is erased; log and trail stay as they are.
CREATE TABLE fact_clients (
    workspace text COLLATE "C" NOT NULL,
    -- Of the first and the last fact of the call: they follow one another.
    position bigint NOT NULL,
    last_position bigint NOT NULL CHECK (last_position >= position),
    -- By these a person's rows are found.
    principal text COLLATE "C" NOT NULL,
    credential text COLLATE "C" NOT NULL,
    address text NOT NULL CHECK (length(address) <= 256),
    agent text NOT NULL CHECK (length(agent) <= 256),
    salt bytea NOT NULL CHECK (octet_length(salt) >= 16),
    PRIMARY KEY (workspace, position)
);
CREATE INDEX fact_clients_by_principal ON fact_clients (workspace, principal);
CREATE INDEX fact_clients_by_credential ON fact_clients (credential) WHERE credential <> '';
