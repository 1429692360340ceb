-- Members with roles, tokens that belong to them, write keys, filters, and what is deleted but still named.

ALTER TABLE workspaces
    ADD COLUMN members_may_edit_functions boolean NOT NULL DEFAULT false,
    -- The version of the stream `workspace`; etags are made from it.
    ADD COLUMN revision integer NOT NULL DEFAULT 1;
UPDATE workspaces w SET revision = (
    SELECT max(f.version) FROM facts f WHERE f.workspace = w.workspace AND f.stream = 'workspace'
);

CREATE TABLE members (
    workspace text COLLATE "C" NOT NULL,
    member text COLLATE "C" NOT NULL,
    -- Such as "MEMBER_KIND_PERSON".
    kind text NOT NULL,
    -- Of service accounts; persons' names are in `people`.
    display_name text NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, member)
);

CREATE TABLE role_bindings (
    workspace text COLLATE "C" NOT NULL,
    binding text COLLATE "C" NOT NULL,
    member text COLLATE "C" NOT NULL,
    -- Such as "ROLE_OWNER".
    role text NOT NULL,
    -- Holds for all functions or sources, present and future; else for those in `ids`.
    everything boolean NOT NULL,
    ids text[] NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, binding)
);
CREATE INDEX role_bindings_by_member ON role_bindings (workspace, member);

-- The first release's tokens had a role and no member: they are the member "owner" since.
INSERT INTO members (workspace, member, kind, display_name, create_time)
SELECT workspace, 'owner', 'MEMBER_KIND_SERVICE_ACCOUNT', 'Owner', min(create_time) FROM tokens GROUP BY workspace;
INSERT INTO role_bindings (workspace, binding, member, role, everything, ids, create_time)
SELECT workspace, 'owner', 'owner', 'ROLE_OWNER', true, '{}', min(create_time) FROM tokens GROUP BY workspace;
ALTER TABLE tokens
    ADD COLUMN member text COLLATE "C" NOT NULL DEFAULT 'owner',
    -- Array of {role, everything, ids}; empty for all rights of the member.
    ADD COLUMN grants json NOT NULL DEFAULT '[]',
    ADD COLUMN expire_time timestamptz,
    DROP COLUMN role;
ALTER TABLE tokens ALTER COLUMN member DROP DEFAULT;

CREATE TABLE write_keys (
    workspace text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, source, key)
);

ALTER TABLE functions ADD COLUMN delete_time timestamptz;
ALTER TABLE sources ADD COLUMN delete_time timestamptz;
ALTER TABLE destinations
    ADD COLUMN delete_time timestamptz,
    -- DeliveryPolicy as proto-JSON.
    ADD COLUMN policy json NOT NULL DEFAULT '{}',
    DROP CONSTRAINT destinations_workspace_source_display_name_key;
CREATE UNIQUE INDEX destinations_by_display_name ON destinations (workspace, source, display_name)
    WHERE delete_time IS NULL;

CREATE TABLE filters (
    workspace text COLLATE "C" NOT NULL,
    -- "destinations/{destination}", "sources/{source}", or empty for the workspace.
    parent text COLLATE "C" NOT NULL,
    filter text COLLATE "C" NOT NULL,
    -- Counts from 0 in the order in which they apply.
    place integer NOT NULL,
    -- FilterRule as proto-JSON.
    rule json NOT NULL,
    revision integer NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (workspace, parent, filter)
);

-- The log position of the last change of a parent's filters, deletions included.
CREATE TABLE filter_revisions (
    workspace text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (workspace, parent)
);

-- From here on: what no fact may hold, as in the first migration.

-- What is known of persons. A row goes when its person is erased, not when it is removed: the trail goes on naming
-- the member. Who was removed may come back, as another member.
CREATE TABLE people (
    workspace text COLLATE "C" NOT NULL,
    member text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    email text NOT NULL,
    -- Which OIDC issuer calls the person by `oidc_subject`; subjects of another issuer say nothing.
    oidc_issuer text NOT NULL DEFAULT '',
    oidc_subject text NOT NULL DEFAULT '',
    removed boolean NOT NULL DEFAULT false,
    -- Of the commitments in the fact.
    salt bytea NOT NULL,
    PRIMARY KEY (workspace, member)
);
CREATE UNIQUE INDEX people_by_email ON people (workspace, lower(email)) WHERE email <> '' AND NOT removed;
CREATE UNIQUE INDEX people_by_subject ON people (workspace, oidc_issuer, oidc_subject)
    WHERE oidc_subject <> '' AND NOT removed;

-- Hashes of write keys' secrets. An id is found without knowing its source, since a key does not name it.
CREATE TABLE write_key_secrets (
    key text COLLATE "C" PRIMARY KEY,
    workspace text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    secret_hash bytea NOT NULL,
    last_used_at timestamptz
);
