"""A program of ours that runs under supervision: its start, its lines of output, its end."""

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TextIO

from kit.embedded import process
from kit.embedded.data_folder import LOG_BYTES_MAX, explained
from kit.embedded.errors import EmbeddedError

# What a service exits with when its settings are wrong: starting it again would change nothing.
CONFIGURATION_ERROR = 2
# A service drains (stops pulling, finishes, reports) within this time, or is killed.
GRACE_S = 15.0
# A longer line is cut in pieces; a log line of ours is far shorter.
LINE_BYTES_MAX = 64 * 1024
# Kept of the output for the message about a refusal.
LAST_LINES = 20
# After the end of the program, how long output that it left in the pipe may take to arrive.
DRAIN_S = 1.0

LineSink = Callable[[str, str], None]
"""Called with the program's name and each line of its output."""


class Program:
    """A child process that ends with us; what it leaves running in its session is killed with it."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        on_line: LineSink,
        cwd: Path | str = "/",
        grace_s: float = GRACE_S,
    ) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._argv, self._env, self._cwd = argv, env, cwd
        self._on_line = on_line
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the program. `exited` must be awaited next: it reads the output. Raises EmbeddedError."""
        self.last_lines.clear()
        self._process = process.spawn(
            self._argv, output=subprocess.PIPE, env=self._env, cwd=self._cwd, death_signal=signal.SIGTERM
        )

    async def exited(self) -> int:
        """Pass its output on until it ends, and return its exit code.

        Raises EmbeddedError for CONFIGURATION_ERROR: do not start it again.
        """
        assert self._process is not None, "it was never started"
        assert self._process.stdout is not None
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(self._process.stdout))
            exit_code = await process.wait_exit(self._process)
            # Somebody outside its session may hold the other end of the pipe open.
            await asyncio.wait({reading}, timeout=DRAIN_S)
            reading.cancel()
        if exit_code == CONFIGURATION_ERROR:
            last = self.last_lines[-1] if self.last_lines else "it said nothing"
            raise EmbeddedError(f"{self.name} refuses to start, correct its configuration: {last}")
        return exit_code

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace period."""
        if self._process is not None:
            await process.stop(self._process, [(signal.SIGTERM, self._grace_s)])

    def crash(self) -> None:
        """SIGKILL it, as a fault."""
        if self._process is not None:
            self._process.kill()

    async def _read(self, pipe: IO[bytes]) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            async for line in _lines(reader):
                self.last_lines.append(line)
                # A full disk or a closed terminal must not take the program with it.
                with suppress(OSError):
                    self._on_line(self.name, line)
        finally:
            transport.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while chunk := await reader.read(LINE_BYTES_MAX):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def prefixed(stream: TextIO) -> LineSink:
    """Writes every line to the stream behind the program's name."""

    def write(name: str, line: str) -> None:
        stream.write(f"{name:<10} {line}\n")
        stream.flush()

    return write


class LineFile:
    """A LineSink that appends to a file; a file that has grown to `bytes_max` becomes the `.old` one."""

    def __init__(self, path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        with explained(path):
            self._file = self._open()

    def __call__(self, name: str, line: str) -> None:
        if self._file.tell() >= self._bytes_max:
            self._file.close()
            self._path.rename(f"{self._path}.old")
            self._file = self._open()
        self._file.write(line.encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        return open(self._path, "ab", buffering=0, opener=lambda path, flags: os.open(path, flags, 0o600))
