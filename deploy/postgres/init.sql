-- Run once by the Postgres image, as its superuser, when the data volume is empty: one role and one database a service.
-- Passwords come from the container's environment; a missing one stops the start.
\getenv registry_password POSTGRES_REGISTRY_PASSWORD
\getenv delivery_password POSTGRES_DELIVERY_PASSWORD
\getenv audit_password POSTGRES_AUDIT_PASSWORD

-- What services act under, without the right to change a fact. Their migrations expect it; they may not make roles.
CREATE ROLE onward_service NOLOGIN;

CREATE ROLE onward_registry LOGIN PASSWORD :'registry_password' IN ROLE onward_service;
CREATE ROLE onward_delivery LOGIN PASSWORD :'delivery_password' IN ROLE onward_service;
CREATE ROLE onward_audit LOGIN PASSWORD :'audit_password' IN ROLE onward_service;

CREATE DATABASE onward_registry OWNER onward_registry;
CREATE DATABASE onward_delivery OWNER onward_delivery;
CREATE DATABASE onward_audit OWNER onward_audit;

-- Nobody connects to another's database.
REVOKE ALL ON DATABASE onward_registry, onward_delivery, onward_audit FROM PUBLIC;
