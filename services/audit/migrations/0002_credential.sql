-- What the principal proved itself with, such as "token:5f0c". Events of the first release have none: their principal was
-- the token. The role's rights to the table hold for the column too.
ALTER TABLE audit_events ADD COLUMN credential text NOT NULL DEFAULT '';
CREATE INDEX audit_events_by_credential ON audit_events (workspace, credential, index) WHERE credential <> '';
