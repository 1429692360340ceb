"""Tests of the Postgres that `onward up` runs."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from kit.embedded.data_folder import DataFolder
from kit.embedded.errors import EmbeddedError
from kit.embedded.identity import first_closed_folder
from kit.embedded.postgres import EmbeddedPostgres, postgres_programs
from kit.testing.eventually import eventually
from kit.testing.servers import short_lived_folder

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]


@asynccontextmanager
async def running(server: EmbeddedPostgres) -> AsyncIterator[EmbeddedPostgres]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def execute(dsn: str, *statements: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetch(statements[-1])
    finally:
        await connection.close()


async def test_a_stop_and_a_start_keep_the_data(data_folder: DataFolder) -> None:
    server = EmbeddedPostgres(data_folder)
    async with running(server):
        await execute(server.dsn(), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)", "SELECT 1")
    assert server.pid is None
    async with running(EmbeddedPostgres(data_folder)) as again:
        assert [row["n"] for row in await execute(again.dsn(), "SELECT n FROM kept")] == [1]


async def test_a_crash_keeps_what_was_committed(data_folder: DataFolder) -> None:
    server = EmbeddedPostgres(data_folder)
    async with running(server):
        await execute(server.dsn(), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)", "SELECT 1")
        server.crash()
        assert server.pid is None
        await server.start()
        assert [row["n"] for row in await execute(server.dsn(), "SELECT n FROM kept")] == [1]


async def test_a_restart_waits_for_the_sessions_that_a_crash_has_left(data_folder: DataFolder) -> None:
    async with running(EmbeddedPostgres(data_folder)) as server:
        session = await asyncpg.connect(server.dsn())
        backend_pid = await session.fetchval("SELECT pg_backend_pid()")
        # A paused backend can't notice that its server has died, and keeps the shared memory.
        os.kill(backend_pid, signal.SIGSTOP)
        server.crash()
        restart = asyncio.create_task(server.start())
        log = data_folder.path / "logs" / "postgres.log"
        try:
            await eventually(lambda: "is still in use" in log.read_text())
            assert not restart.done()
        finally:
            os.kill(backend_pid, signal.SIGCONT)
        await restart
        session.terminate()
        assert await execute(server.dsn(), "SELECT 1")


@pytest.fixture
def sleeper(data_folder: DataFolder) -> Iterator[subprocess.Popen[bytes]]:
    """Some program that Postgres may signal: it takes a pid file seriously only then."""
    blocked = first_closed_folder(data_folder.path) or first_closed_folder(postgres_programs())
    user = "nobody" if os.geteuid() == 0 and blocked is None else None
    with subprocess.Popen(["sleep", "60"], user=user) as process:
        yield process
        process.kill()


async def test_a_pid_file_whose_pid_belongs_to_another_program_is_stale(
    data_folder: DataFolder, sleeper: subprocess.Popen[bytes]
) -> None:
    async with running(EmbeddedPostgres(data_folder)) as server:
        server.crash()
        pid_file = data_folder.path / "postgres" / "data" / "postmaster.pid"
        _, *rest = pid_file.read_text().split("\n")
        pid_file.write_text("\n".join([str(sleeper.pid), *rest]))
        await server.start()
        assert await execute(server.dsn(), "SELECT 1")


async def test_it_never_gives_up_durability(data_folder: DataFolder) -> None:
    async with running(EmbeddedPostgres(data_folder)) as server:
        rows = await execute(server.dsn(), "SELECT name, setting FROM pg_settings")
    settings = {row["name"]: row["setting"] for row in rows}
    assert settings["fsync"] == settings["synchronous_commit"] == settings["full_page_writes"] == "on"
    assert settings["data_checksums"] == "on"
    assert settings["idle_in_transaction_session_timeout"] == "30000"
    assert settings["listen_addresses"] == ""


async def test_over_tcp_a_password_is_needed(data_folder: DataFolder) -> None:
    async with running(EmbeddedPostgres(data_folder, tcp_port=0)) as server:
        assert await execute(server.tcp_dsn(), "SELECT 1")
        assert await execute(server.dsn(), "SELECT 1")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.tcp_dsn(), password="guessed")


async def test_a_taken_port_is_named_in_one_line(data_folder: DataFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = EmbeddedPostgres(data_folder, tcp_port=port)
        with pytest.raises(EmbeddedError, match=f"port {port}, .* is taken by another program") as caught:
            await server.start()
    assert "\n" not in str(caught.value)
    assert server.pid is None


async def test_a_database_is_created_once_and_copies_its_template(postgres_server: EmbeddedPostgres) -> None:
    try:
        assert await postgres_server.create_database("copy_source")
        await execute(postgres_server.dsn("copy_source"), "CREATE TABLE copied (n int)", "SELECT 1")
        assert await postgres_server.create_database("copy_target", template="copy_source")
        assert not await postgres_server.create_database("copy_target")
        assert await execute(postgres_server.dsn("copy_target"), "SELECT count(*) FROM copied")
    finally:
        await postgres_server.drop_database("copy_source")
        await postgres_server.drop_database("copy_target")


async def test_a_name_that_is_no_identifier_is_refused(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedError, match="can't name a database"):
        await postgres_server.create_database('x"; DROP DATABASE postgres; --')


async def test_each_test_has_an_empty_database(database: str) -> None:
    tables = "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'"
    assert [row["n"] for row in await execute(database, tables)] == [0]


async def test_a_failed_initdb_leaves_nothing_behind_and_says_why(
    data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "initdb"
    broken.write_text("#!/bin/sh\necho 'initdb: error: no luck today'; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("kit.embedded.postgres.postgres_programs", lambda: tmp_path)
    server = EmbeddedPostgres(data_folder)
    with pytest.raises(EmbeddedError, match=r"initdb did not start: .*no luck today"):
        await server.start()
    monkeypatch.undo()
    async with running(server):
        assert await execute(server.dsn(), "SELECT 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be refused by Postgres")
async def test_for_root_it_runs_where_no_other_user_can_look(tmp_path: Path) -> None:
    with short_lived_folder() as path:
        path.chmod(0o700)
        with DataFolder(path / "data") as folder:
            async with running(EmbeddedPostgres(folder)) as server:
                rows = await execute(server.dsn(), "SELECT current_user")
        assert rows[0][0] == "postgres"
        assert path.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be refused by Postgres")
async def test_a_folder_that_was_opened_to_the_servers_user_later_works_on(data_folder: DataFolder) -> None:
    outside = data_folder.path.parent
    outside.chmod(0o700)
    async with running(EmbeddedPostgres(data_folder)) as server:
        await execute(server.dsn(), "CREATE TABLE kept (n int)", "SELECT 1")
    outside.chmod(0o711)
    async with running(EmbeddedPostgres(data_folder)) as server:
        assert await execute(server.dsn(), "SELECT count(*) FROM kept")
    outside.chmod(0o700)
    async with running(EmbeddedPostgres(data_folder)) as server:
        assert await execute(server.dsn(), "SELECT count(*) FROM kept")


START_IN = """
import asyncio, sys
from kit.embedded.data_folder import DataFolder
from kit.embedded.postgres import EmbeddedPostgres

async def main(server):
    await server.start()
    await server.stop()

with DataFolder(sys.argv[1]) as folder:
    asyncio.run(main(EmbeddedPostgres(folder)))
"""


def test_a_full_disk_is_named_in_one_line() -> None:
    with short_lived_folder() as path:
        mount = f"mount -t tmpfs -o size=16m,mode=711 tmpfs {path}"
        if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode != 0:
            pytest.skip("no permission to mount a small file system")
        start = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"]
        argv = [*start, sys.executable, "-c", START_IN, str(path / "data")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert "is full: free some space" in done.stderr.splitlines()[-1], done.stderr
