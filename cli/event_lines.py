"""Lines of a file or of stdin as events: read as they come, checked before anything is sent."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import orjson

from cli.failures import UsageError
from kit.ids import uuid7

READ_BYTES = 1024 * 1024
# A packed batch may have 500 KB; what is longer is no line of events.
LINE_BYTES_MAX = 1_000_000
# The product's limit for one event.
EVENT_BYTES_MAX = 32 * 1024
# A whole file of one JSON document is read into memory.
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
TYPES = ("identify", "track", "page", "screen", "group", "alias", "delete")
# What a type can't do without.
REQUIRED_FIELD = {"track": "event", "group": "groupId", "alias": "previousId"}


class InvalidEvent(Exception):  # noqa: N818 - what is wrong is the user's line, and it is counted
    """A line that is no event; the message says why."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event that can be sent, and the line that it was on."""

    number: int
    message_id: str
    data: bytes


def parse_event(line: bytes) -> tuple[str, bytes]:
    """Check one event, or a packed batch of events, and give its id and what to send.

    An event without a messageId gets one, so that it can be sent again without being stored twice.
    Raises InvalidEvent.
    """
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"not valid JSON ({error})") from None
    if not isinstance(document, dict):
        raise InvalidEvent("not a JSON object")
    if "batch" in document and "type" not in document:
        return f"batch-{uuid7()}", line
    _check(document)
    message_id = document.get("messageId")
    if not message_id:
        document["messageId"] = message_id = uuid7()
        line = orjson.dumps(document)
    if len(line) > EVENT_BYTES_MAX:
        raise InvalidEvent(f"it has {len(line)} bytes; an event may have {EVENT_BYTES_MAX}: leave something out")
    return message_id, line


def _check(event: dict[str, Any]) -> None:
    kind = event.get("type")
    if kind not in TYPES:
        found = f"unknown type {kind!r}" if kind is not None else 'no "type"'
        raise InvalidEvent(f"{found}: it must be one of {', '.join(TYPES)}")
    if not event.get("userId") and not event.get("anonymousId"):
        raise InvalidEvent('neither "userId" nor "anonymousId": one of them is required')
    field = REQUIRED_FIELD.get(cast("str", kind))
    if field and not event.get(field):
        raise InvalidEvent(f'a {kind} event needs "{field}"')
    message_id = event.get("messageId")
    if message_id and (not isinstance(message_id, str) or "\n" in message_id or "\r" in message_id):
        raise InvalidEvent('"messageId" must be a string of one line')


class LineReader:
    """Reads a file, `-` for stdin, in pieces of whole lines; `.gz` is unpacked.

    A file whose name ends in .json may also hold one JSON document: an event, or an array of events.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stream: IO[bytes] = sys.stdin.buffer if path == "-" else _open(path)
        self._raw: IO[bytes] = self._stream
        if path.endswith(".gz"):
            self._stream = cast("IO[bytes]", gzip.GzipFile(fileobj=self._raw))

    def close(self) -> None:
        if self._path != "-":
            self._stream.close()
            self._raw.close()

    @property
    def size_bytes(self) -> int | None:
        """How much there is to read; None where nobody knows."""
        if self._path == "-":
            return None
        return os.fstat(self._raw.fileno()).st_size

    @property
    def position_bytes(self) -> int:
        return self._raw.tell()

    async def pieces(self) -> AsyncIterator[list[bytes]]:
        """Give lines as soon as they are there, many at a time. A line that is far too long is cut."""
        if self._path.endswith(".json"):
            document = self._document()
            if document is not None:
                yield document
                return
        rest = b""
        while piece := await self._read():
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                # It can't become valid any more; what follows of it will not be valid either.
                lines, rest = [*lines, rest], b""
            if lines:
                yield lines
        if rest:
            yield [rest]

    def _document(self) -> list[bytes] | None:
        """Give the events of a file that is one JSON document; None where it is lines."""
        data = self._stream.read(DOCUMENT_BYTES_MAX)
        self._stream.seek(0)
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        events = document if isinstance(document, list) else [document]
        return [orjson.dumps(event) for event in events]

    async def _read(self) -> bytes:
        if self._path == "-":
            await _readable(self._stream.fileno())
            return os.read(self._stream.fileno(), READ_BYTES)
        # A local file answers at once, as good as.
        return self._stream.read(READ_BYTES)


def numbered(first: int, lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Give each line that is not empty with its number."""
    for number, line in enumerate(lines, first):
        stripped = line.strip()
        if stripped:
            yield number, stripped


async def _readable(descriptor: int) -> None:
    """Wait for input without a thread, which would keep the program from ending at Ctrl-C."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        # A regular file or /dev/null: always readable.
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _open(path: str) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
