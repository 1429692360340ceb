"""Lines of a file or of stdin as events: read as they come, checked before anything is sent."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import orjson

from cli.failures import UsageError
from kit.ids import uuid7
from kit.publisher.errors import InvalidEvent
from kit.publisher.events import (
    BATCH_EVENTS_MAX,
    EVENT_BYTES_MAX,
    LEVELS_MAX,
    MESSAGE_ID_MAX,
    Entry,
    check,
    measured,
    written,
)

READ_BYTES = 1024 * 1024
# The product's limit for one message, an event or a packed batch.
LINE_BYTES_MAX = 512 * 1024
# What stands for a longer line, of which nothing else is kept: too long itself, and nothing to strip.
TOO_LONG = b"x" * (LINE_BYTES_MAX + 1)
# A whole file of one JSON document is read into memory.
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024


@dataclass(slots=True)
class EventLine(Entry):
    """What a line becomes: one message of one event, or of the events of a packed batch that can be sent."""

    number: int = 0
    # Of a packed batch, what is wrong with the events that were left out.
    problems: tuple[str, ...] = ()


def checked_length(line: bytes) -> bytes:
    """Give the line. Raises InvalidEvent where it is longer than a message may be."""
    if len(line) > LINE_BYTES_MAX:
        raise InvalidEvent(f"longer than {LINE_BYTES_MAX // 1024} KiB, the most that one message may have")
    return line


def parse_line(number: int, line: bytes) -> EventLine:
    """Check one event, or each event of a packed batch, as the executor does, so that nothing is refused later.

    An event without a messageId gets one, so that it can be sent again without being stored twice.
    Raises InvalidEvent.
    """
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"not valid JSON ({error})") from None
    if isinstance(document, dict) and "batch" in document and "type" not in document:
        return _parse_batch(number, line, document["batch"])
    check(document)
    if not document.get("messageId"):
        document["messageId"] = uuid7()
        line = measured(document)
    elif len(line) > EVENT_BYTES_MAX or line.count(b"[") + line.count(b"{") > LEVELS_MAX:
        # Most lines are neither long nor deep, and need not be written again to know it.
        measured(document)
    return EventLine(document["messageId"], line, number=number)


def _parse_batch(number: int, line: bytes, batch: Any) -> EventLine:
    """Leave out what is no event; a batch without one is sent byte for byte."""
    if not isinstance(batch, list) or not 0 < len(batch) <= BATCH_EVENTS_MAX:
        raise InvalidEvent(f'"batch" must be an array of 1 to {BATCH_EVENTS_MAX:,} events')
    good: list[bytes] = []
    problems: list[str] = []
    for place, event in enumerate(batch, 1):
        try:
            check(event)
            good.append(measured(event))
        except InvalidEvent as error:
            problems.append(f"event {place} of the batch: {error}")
    data = b'{"batch":[%b]}' % b",".join(good) if problems else line
    return EventLine(f"batch-{uuid7()}", data, len(good), number, tuple(problems))


def repeated(line: EventLine, round_number: int) -> EventLine:
    """Give each event of a line another messageId, so that it counts as another event. Raises InvalidEvent."""
    again = replace(line, message_id=_numbered_id(line.message_id, round_number))
    try:
        document = orjson.loads(line.data)
    except orjson.JSONDecodeError:
        # Lines that nobody checked may be anything.
        return again
    if not isinstance(document, dict):
        return again
    batch = document.get("batch") if "type" not in document else None
    for event in batch if isinstance(batch, list) else [document]:
        if isinstance(event, dict) and isinstance(event.get("messageId"), str) and event["messageId"]:
            event["messageId"] = _numbered_id(event["messageId"], round_number)
    return replace(again, data=written(document))


def _numbered_id(message_id: str, round_number: int) -> str:
    new_id = f"{message_id}-{round_number}"
    if len(new_id) > MESSAGE_ID_MAX:
        raise InvalidEvent(f'"messageId" is too long to be repeated: {MESSAGE_ID_MAX} characters, with {round_number}')
    return new_id


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
        """Give lines as soon as they are there, many at a time; TOO_LONG stands for one that is no message."""
        if self._path.endswith(".json"):
            document = self._document()
            if document is not None:
                yield document
                return
        rest = b""
        while piece := await self._read():
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                # What follows up to its end is of the same line, so something too long must stay.
                rest = TOO_LONG
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
        try:
            # A local file answers at once, as good as.
            return self._stream.read(READ_BYTES)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise UsageError(f"{self._path} is not a whole gzip file ({error})") from None
        except OSError as error:
            raise UsageError(f"{self._path} can't be read: {error.strerror or error}") from None


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
