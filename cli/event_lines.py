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

READ_BYTES = 1024 * 1024
# The product's limit for one message, an event or a packed batch.
LINE_BYTES_MAX = 512 * 1024
# What stands for a longer line, of which nothing else is kept: too long itself, and nothing to strip.
TOO_LONG = b"x" * (LINE_BYTES_MAX + 1)
# The product's limit for one event.
EVENT_BYTES_MAX = 32 * 1024
# The executor's limits for a packed batch and for an id.
BATCH_EVENTS_MAX = 2500
MESSAGE_ID_MAX = 256
# A whole file of one JSON document is read into memory.
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
TYPES = ("identify", "track", "page", "screen", "group", "alias", "delete")
# What a type can't do without.
REQUIRED_FIELD = {"track": "event", "group": "groupId", "alias": "previousId"}


class InvalidEvent(Exception):  # noqa: N818 - what is wrong is the user's line, and it is counted
    """A line that is no event; the message says why."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """What a line becomes: one message of one event, or of the events of a packed batch that can be sent."""

    number: int
    message_id: str
    data: bytes
    events: int = 1
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
    _check(document)
    if not document.get("messageId"):
        document["messageId"] = uuid7()
        line = _checked_size(document)
    else:
        _checked_size(document)
    return EventLine(number, document["messageId"], line)


def _parse_batch(number: int, line: bytes, batch: Any) -> EventLine:
    """Leave out what is no event; a batch without one is sent byte for byte."""
    if not isinstance(batch, list) or not 0 < len(batch) <= BATCH_EVENTS_MAX:
        raise InvalidEvent(f'"batch" must be an array of 1 to {BATCH_EVENTS_MAX:,} events')
    good: list[bytes] = []
    problems: list[str] = []
    for place, event in enumerate(batch, 1):
        try:
            _check(event)
            good.append(_checked_size(event))
        except InvalidEvent as error:
            problems.append(f"event {place} of the batch: {error}")
    data = b'{"batch":[%b]}' % b",".join(good) if problems else line
    return EventLine(number, f"batch-{uuid7()}", data, len(good), tuple(problems))


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
    return replace(again, data=_written(document))


def _numbered_id(message_id: str, round_number: int) -> str:
    new_id = f"{message_id}-{round_number}"
    if len(new_id) > MESSAGE_ID_MAX:
        raise InvalidEvent(f'"messageId" is too long to be repeated: {MESSAGE_ID_MAX} characters, with {round_number}')
    return new_id


def _checked_size(event: dict[str, Any]) -> bytes:
    """Measure an event as the executor does: written without spaces."""
    data = _written(event)
    if len(data) > EVENT_BYTES_MAX:
        raise InvalidEvent(f"it has {len(data)} bytes; an event may have {EVENT_BYTES_MAX}: leave something out")
    return data


def _written(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        # orjson reads 1,024 levels and writes 254, here as in the executor.
        raise InvalidEvent(f"it is nested too deeply ({error})") from None


def _check(event: Any) -> None:
    if not isinstance(event, dict):
        raise InvalidEvent("not a JSON object")
    kind = event.get("type")
    if kind not in TYPES:
        found = f"unknown type {kind!r}" if kind is not None else 'no "type"'
        raise InvalidEvent(f"{found}: it must be one of {', '.join(TYPES)}")
    if not event.get("userId") and not event.get("anonymousId"):
        raise InvalidEvent('neither "userId" nor "anonymousId": one of them is required')
    field = REQUIRED_FIELD.get(cast("str", kind))
    if field and not (event.get(field) and isinstance(event[field], str | int | float)):
        raise InvalidEvent(f'a {kind} event needs "{field}"')
    _check_message_id(event.get("messageId"))


def _check_message_id(message_id: Any) -> None:
    if message_id in (None, ""):
        return
    if not isinstance(message_id, str) or "\n" in message_id or "\r" in message_id:
        raise InvalidEvent('"messageId" must be a string of one line')
    if len(message_id) > MESSAGE_ID_MAX:
        raise InvalidEvent(f'"messageId" has {len(message_id)} characters; it may have {MESSAGE_ID_MAX}')


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
