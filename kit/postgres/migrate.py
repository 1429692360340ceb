"""Brings a database's schema up to date from numbered .sql files, and refuses where history was rewritten."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

from kit.postgres.failures import translating
from kit.postgres.pool import CONNECT_TIMEOUT_S, Connection

log = structlog.get_logger(__name__)

# Replicas that start together take turns; the first does the work, the others find it done.
LOCK_TIMEOUT_MS = 60_000
# "onward_m" read as a number: the advisory lock of migrations, per database.
LOCK_KEY = int.from_bytes(b"onward_m", "big", signed=True)
_FILE_NAME = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class MigrationError(RuntimeError):
    """One file, named after its folder's owner, such as "eventstore/0001_create_event_log.sql"."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, named after its folder's owner: "eventstore/0001_create_event_log.sql"."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(dsn: str, folders: Sequence[Path]) -> list[str]:
    """Apply what is missing, folder by folder, each file in its own transaction; answers the names.

    Connects as the DSN's user, who owns the tables. Files are `migrations/NNNN_name.sql`, numbered from 0001
    without gaps. Raises MigrationError, or `Unavailable`.
    """
    migrations = [migration for folder in folders for migration in read_folder(folder)]
    with translating():
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "onward-migrate"}
        )
        try:
            return await _migrate_alone(connection, migrations)
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=CONNECT_TIMEOUT_S)


def read_folder(folder: Path) -> list[Migration]:
    """Read a folder's files in order. Raises MigrationError for a gap, a double number, an odd name."""
    files = sorted(path for path in folder.iterdir() if path.suffix == ".sql")
    for expected, path in enumerate(files, start=1):
        match = _FILE_NAME.match(path.name)
        if match is None or int(match["number"]) != expected:
            raise MigrationError(f"{path}: expected a file named {expected:04d}_<what_it_does>.sql")
    if not files:
        raise MigrationError(f"{folder} holds no migrations")
    owner = folder.parent.name
    return [Migration(f"{owner}/{path.name}", path.read_text(encoding="utf-8")) for path in files]


async def _migrate_alone(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    # The lock ends with the session, also when this process is killed.
    await connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    await connection.execute("SET client_min_messages = warning")
    await connection.execute(_CREATE_TABLE)
    rows = await connection.fetch("SELECT name, checksum FROM schema_migrations")
    missing = _missing(migrations, {row["name"]: row["checksum"] for row in rows})
    for migration in missing:
        await _apply(connection, migration)
    return [migration.name for migration in missing]


def _missing(migrations: Iterable[Migration], applied: dict[str, str]) -> list[Migration]:
    missing: list[Migration] = []
    for migration in migrations:
        checksum = applied.pop(migration.name, None)
        if checksum is None:
            missing.append(migration)
        elif checksum != migration.checksum:
            raise MigrationError(f"{migration.name} was changed after it was applied; restore it and add a new file.")
    if applied:
        # A newer release has been here; its migrations must not break this one, and it is that release which
        # vouches for it.
        log.warning("migrations_unknown", names=sorted(applied))
    return missing


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)",
            migration.name,
            migration.checksum,
        )
    log.info("migration_applied", name=migration.name)
