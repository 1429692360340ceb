"""A publisher that floods a source, in a process of its own: its work must not delay the events of others.

`flood` starts it; it is told where to publish on its standard input, and says when it is ready and how long it took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import uvloop

from bench.population import Source, outgoing, publish_made
from kit.auth.tokens import parse_write_key
from kit.bus.connection import connect
from kit.errors import Unavailable

# As many batches are in flight as the library allows, but for the ends of slices; each has a timeout of its own.
SLICE = 10_000


class Flood:
    """Events that wait to be published all at once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def publish(self) -> float:
        """Publish them; gives the seconds that it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        return float(await self.told())

    async def told(self) -> bytes:
        """The next line of the process. Raises Unavailable where it has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise Unavailable("the publisher of the flood has ended; it says why above")
        return line


@asynccontextmanager
async def flood(nats_url: str, source: Source, count: int) -> AsyncIterator[Flood]:
    """A publisher that is ready to flood the source with so many events."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.flood", stdin=pipe, stdout=pipe)
    try:
        assert process.stdin is not None
        process.stdin.write(orjson.dumps([nats_url, source.name, source.subject, source.key, count]) + b"\n")
        made = Flood(process)
        await made.told()
        yield made
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _publish() -> None:
    nats_url, name, subject, key, count = orjson.loads(sys.stdin.buffer.readline())
    bus = await connect(nats_url, parse_write_key(key).id, key, name="flood")
    events = outgoing(Source(name, subject, bus, key), count)
    print("ready", flush=True)
    sys.stdin.buffer.readline()
    began = time.perf_counter()
    await publish_made([(bus, events)], SLICE)
    print(time.perf_counter() - began, flush=True)
    await bus.close()


if __name__ == "__main__":
    uvloop.run(_publish())
