"""A NATS server that could not write goes on once the disk has room, which takes a new start of it.

A stream whose file could not be written (nats-server 2.15: no room, no permission, a broken disk) stores nothing more,
and answers no publisher, until the server is started again; /healthz tells of it. What was acknowledged is on the disk.
"""

import asyncio
import json
import shutil
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# How often the server is asked. Publishers wait for it anyway, and an idle one should stay idle.
POLL_S = 5.0
# One file of a stream: with less, it would be full again at once.
ROOM_BYTES_MIN = 16 * 1024 * 1024
ANSWER_TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 64 * 1024
WRITE_ERROR = "write error"


async def wait_for_room_after_write_error(monitor_url: str, store: Path) -> None:
    """Return when the server has failed to write and the disk has room again: when a new start would help."""
    told = False
    while True:
        await asyncio.sleep(POLL_S)
        error = await read_write_error(monitor_url)
        if not error:
            continue
        if not told:
            log.error("nats_cannot_write", reason=error)
            told = True
        if shutil.disk_usage(store).free >= ROOM_BYTES_MIN:
            return


async def read_write_error(monitor_url: str) -> str:
    """Give what the server says of a stream that it can't write; nothing where it can, or does not answer."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = await _get(monitor_url, "/healthz")
        error = str(json.loads(answer).get("error", ""))
    except (OSError, TimeoutError, ValueError):
        return ""
    return error if WRITE_ERROR in error else ""


async def _get(url: str, path: str) -> bytes:
    """The body of an answer, whatever its status."""
    address = urlparse(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address.netloc}\r\n\r\n".encode())
        answer = await reader.read(ANSWER_BYTES_MAX)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2]
