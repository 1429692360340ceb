"""Migrations continue a database's history or refuse."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from kit.eventstore.postgres import MIGRATIONS
from kit.postgres.migrate import MigrationError, migrate, read_folder

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "registry" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_create_names.sql").write_text("CREATE TABLE names (name text);")
    return folder


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()


async def test_folders_are_applied_in_order_and_only_once(database: str, folder: Path) -> None:
    assert await migrate(database, [MIGRATIONS, folder]) == [
        "eventstore/0001_create_event_log.sql",
        "eventstore/0002_create_consumer_positions.sql",
        "registry/0001_create_names.sql",
    ]
    assert await migrate(database, [MIGRATIONS, folder]) == []
    assert {"facts", "names"} <= await tables(database)


async def test_a_new_file_is_applied_to_an_old_database(database: str, folder: Path) -> None:
    await migrate(database, [folder])
    (folder / "0002_index_names.sql").write_text("CREATE INDEX ON names (name);")
    assert await migrate(database, [folder]) == ["registry/0002_index_names.sql"]


async def test_a_file_that_was_changed_after_it_was_applied_is_refused(database: str, folder: Path) -> None:
    await migrate(database, [folder])
    (folder / "0001_create_names.sql").write_text("CREATE TABLE names (name text, extra text);")
    (folder / "0002_more.sql").write_text("CREATE TABLE more ();")
    with pytest.raises(MigrationError, match=r"registry/0001_create_names\.sql was changed"):
        await migrate(database, [folder])
    assert "more" not in await tables(database)


async def test_a_file_that_fails_leaves_nothing_of_itself_and_the_ones_before_it(database: str, folder: Path) -> None:
    (folder / "0002_broken.sql").write_text("CREATE TABLE half (); SELECT 1/0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database, [folder])
    assert await tables(database) == {"schema_migrations", "names"}
    (folder / "0002_broken.sql").write_text("CREATE TABLE whole ();")
    assert await migrate(database, [folder]) == ["registry/0002_broken.sql"]


async def test_replicas_that_start_together_migrate_once(database: str, folder: Path) -> None:
    applied = await asyncio.gather(*(migrate(database, [MIGRATIONS, folder]) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, 3]


async def test_a_newer_database_does_not_stop_an_older_release(database: str, folder: Path) -> None:
    newer = folder / "0002_newer.sql"
    newer.write_text("CREATE TABLE newer ();")
    await migrate(database, [folder])
    newer.unlink()
    assert await migrate(database, [folder]) == []


@pytest.mark.parametrize("name", ["0003_gap.sql", "0001_double.sql", "2_short.sql", "0002_Upper.sql"])
def test_a_number_or_name_that_does_not_continue_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="expected a file named"):
        read_folder(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="holds no migrations"):
        read_folder(tmp_path)
