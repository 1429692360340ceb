-- What the registry answers from. All of it but the last part can be rebuilt from the facts (projections.rebuild).
-- Ids sort by bytes (COLLATE "C"), so that pages are stable whatever the server's locale is.

CREATE TABLE workspaces (
    workspace text COLLATE "C" PRIMARY KEY,
    display_name text NOT NULL,
    functions_max integer NOT NULL,
    egress_ranges text[] NOT NULL DEFAULT '{}',
    create_time timestamptz NOT NULL
);

CREATE TABLE tokens (
    workspace text COLLATE "C" NOT NULL,
    token text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    role text NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, token)
);

CREATE TABLE functions (
    workspace text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    description text NOT NULL,
    template text NOT NULL,
    labels json NOT NULL,
    latest_version integer NOT NULL DEFAULT 0,
    handlers text[] NOT NULL DEFAULT '{}',
    -- The version of the entity's stream; etags are made from it.
    revision integer NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, function)
);

CREATE TABLE versions (
    workspace text COLLATE "C" NOT NULL,
    function text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    code text NOT NULL,
    code_sha256 text NOT NULL,
    -- Array of SettingDefinition as proto-JSON.
    definitions json NOT NULL,
    timeout_ms integer NOT NULL,
    handlers text[] NOT NULL,
    create_time timestamptz NOT NULL,
    principal text NOT NULL,
    PRIMARY KEY (workspace, function, number)
);

CREATE TABLE sources (
    workspace text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    labels json NOT NULL,
    revision integer NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, source)
);

CREATE TABLE destinations (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    function text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    enabled boolean NOT NULL DEFAULT false,
    labels json NOT NULL,
    revision integer NOT NULL,
    settings_revision bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, destination),
    UNIQUE (workspace, source, display_name)
);
CREATE INDEX destinations_by_version ON destinations (workspace, function, version, destination);

CREATE TABLE destination_settings (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    -- Such as "SETTING_TYPE_STRING": a version that defines another type does not see the value.
    type text NOT NULL,
    -- SettingValue as proto-JSON; null where it is encrypted.
    value json,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, destination, name)
);

-- From here on: what no fact may hold. These can be changed and deleted, and no rebuild touches them.

-- Hashes of tokens' secrets. An id is found without knowing its workspace, since a token does not name it.
CREATE TABLE token_secrets (
    token text COLLATE "C" PRIMARY KEY,
    workspace text COLLATE "C" NOT NULL,
    secret_hash bytea NOT NULL,
    last_used_at timestamptz
);

-- A workspace's data key, wrapped by the operator's key `key_id`.
CREATE TABLE data_keys (
    workspace text COLLATE "C" PRIMARY KEY,
    wrapped_key bytea NOT NULL,
    key_id text NOT NULL
);

CREATE TABLE encrypted_settings (
    workspace text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    nonce bytea NOT NULL CHECK (length(nonce) = 12),
    ciphertext bytea NOT NULL,
    PRIMARY KEY (workspace, destination, name)
);

-- By which a start recognises that the operator's key is the one that wrapped the data keys. One row at most.
CREATE TABLE key_check (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    key_id text NOT NULL,
    check_value bytea NOT NULL
);

-- A workspace's own log remembers requests by workspace; the one that makes a workspace is remembered here, since
-- its repetition may not know which workspace it made.
CREATE TABLE workspace_requests (
    principal text NOT NULL,
    request_id text NOT NULL,
    request_hash text NOT NULL,
    workspace text COLLATE "C" NOT NULL,
    PRIMARY KEY (principal, request_id)
);
