"""What waits to be published, in a folder: it outlives the process that wanted to publish it.

The folder holds one stream of lines, cut into files that are named by where they begin in it. A line is a checksum,
how many events it holds, the message id and the message. Lines are appended; `acknowledged` says up to which place all
of them are settled, and files before it are deleted. A line is in the page cache when `append` returns, which outlives
the process, and on the disk when `sync` returns, which outlives the machine. The last line of a process that was killed
may be torn; it was never taken, and is cut off.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import zlib
from collections import deque
from pathlib import Path

import orjson
import structlog

from kit.bus.publish import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX
from kit.errors import WrongState
from kit.publisher.backlog import Chunk
from kit.publisher.errors import PublisherFull
from kit.publisher.events import Entry

log = structlog.get_logger(__name__)

# What an outage of hours leaves behind at some hundred events a second, and a disk hardly notices.
SPOOL_BYTES_MAX = 1024**3
# Small enough that a settled file's room is soon free, large enough that files are few.
FILE_BYTES_MAX = 16 * 1024 * 1024
# One look into a file: more than the longest line and than a batch.
READ_BYTES = 1024 * 1024
SUFFIX = ".events"
ACKNOWLEDGED = "acknowledged"
DAMAGED = "damaged"


class Spool:
    """Entries in a folder that one process at a time may use. Raises OSError where the folder can't be used."""

    def __init__(
        self,
        folder: Path,
        bytes_max: int = SPOOL_BYTES_MAX,
        *,
        sync: bool = False,
        file_bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._bytes_max = bytes_max
        self._file_bytes_max = file_bytes_max
        self._sync_wanted = sync
        self._lock = _locked(folder)
        self._acknowledged = os.open(folder / ACKNOWLEDGED, os.O_RDWR | os.O_CREAT, 0o600)
        starts = sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}"))
        self._settled = self._stored_place(starts)
        self._starts = deque(starts)
        self._under_way: deque[Chunk] = deque()
        self._syncing = asyncio.Lock()
        self._reader = -1
        self._reader_start = -1
        self._ready: deque[tuple[Entry, int]] = deque()
        self._writer, self._end = self._open_last()
        # What was lost with the machine was not synced; nothing is settled that isn't there.
        self._settled = min(self._settled, self._end)
        self._read_up_to = self._settled
        self._synced = self._end
        self._drop_settled()
        self._read()

    # --- in --------------------------------------------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """Take an entry. Raises PublisherFull where the spool, or the disk below it, is full."""
        line = _line(entry)
        if not self.empty and self._end - self._settled + len(line) > self._bytes_max:
            raise PublisherFull(f"the spool {self._folder} holds {self._bytes_max} bytes that nobody has acknowledged")
        if self._end - self._starts[-1] >= self._file_bytes_max:
            self._begin_file()
        try:
            written = os.write(self._writer, line)
        except OSError as error:
            written = 0
            self._refuse(error.strerror or str(error))
        if written < len(line):
            self._refuse("no room is left for a whole line")
        self._end += len(line)

    def _refuse(self, reason: str) -> None:
        # What was written of the line, so that the next one begins where this one did.
        os.ftruncate(self._writer, self._end - self._starts[-1])
        raise PublisherFull(f"the spool {self._folder} can't be written: {reason}")

    async def sync(self) -> None:
        """Return when what was appended is on the disk, where that was asked for; many wait for one sync."""
        wanted = self._end
        if not self._sync_wanted:
            return
        async with self._syncing:
            if self._synced < wanted:
                end = self._end
                await asyncio.to_thread(os.fdatasync, self._writer)
                self._synced = max(self._synced, end)

    def sync_now(self) -> None:
        """The same for who can't wait otherwise."""
        if self._sync_wanted:
            os.fdatasync(self._writer)
            self._synced = self._end

    def _begin_file(self) -> None:
        """Go on in a new file; the old one is on the disk before anything is in the new one."""
        if self._sync_wanted:
            os.fdatasync(self._writer)
        try:
            writer = _opened(self._path(self._end))
        except OSError as error:
            raise PublisherFull(f"the spool {self._folder} can't be written: {error.strerror or error}") from None
        os.close(self._writer)
        self._writer = writer
        self._starts.append(self._end)
        if self._sync_wanted:
            _sync_folder(self._folder)

    def _open_last(self) -> tuple[int, int]:
        """Go on in the last file, behind its last whole line; give its descriptor and the place of its end."""
        if not self._starts:
            self._starts.append(self._settled)
        path = self._path(self._starts[-1])
        writer = _opened(path)
        size = _whole_lines(path)
        os.ftruncate(writer, size)
        if self._sync_wanted:
            _sync_folder(self._folder)
        return writer, self._starts[-1] + size

    # --- out -------------------------------------------------------------------------------------------------

    def take(self) -> Chunk | None:
        """Give the next entries to send, read from the files."""
        entries: list[Entry] = []
        size, end = 0, 0
        while len(entries) < BATCH_MESSAGES_MAX and (self._ready or self._read()):
            entry, place = self._ready[0]
            size += len(entry.data)
            if entries and size > BATCH_BYTES_MAX:
                break
            entries.append(entry)
            end = place
            self._ready.popleft()
        if not entries:
            return None
        chunk = Chunk(entries, end)
        self._under_way.append(chunk)
        return chunk

    def _read(self) -> bool:
        """Read on; False where everything is read."""
        while self._read_up_to < self._end:
            start = max(one for one in self._starts if one <= self._read_up_to)
            if start != self._reader_start:
                self._open_reader(start)
            data = os.pread(self._reader, READ_BYTES, self._read_up_to - start)
            whole = data.rfind(b"\n") + 1
            for line in data[:whole].split(b"\n")[:-1]:
                self._read_up_to += len(line) + 1
                entry = _parsed(line)
                if entry is not None:
                    self._ready.append((entry, self._read_up_to))
                else:
                    self._set_aside(line)
            if not whole:
                # Between two files, or something that is no line: the next file begins where this one ends.
                later = [one for one in self._starts if one > start]
                assert later, "the last file holds whole lines"
                self._read_up_to = later[0]
            if self._ready:
                return True
        return False

    def _open_reader(self, start: int) -> None:
        if self._reader >= 0:
            os.close(self._reader)
        self._reader = os.open(self._path(start), os.O_RDONLY)
        self._reader_start = start

    def _set_aside(self, line: bytes) -> None:
        """Keep what can't be read apart, and say so: it was taken, and it will not be published."""
        log.error("spool_line_damaged", folder=str(self._folder), bytes=len(line))
        with (self._folder / DAMAGED).open("ab") as file:
            file.write(line + b"\n")

    # --- settled ---------------------------------------------------------------------------------------------

    def settle(self, chunk: Chunk) -> None:
        """Forget the entries of a chunk; the place moves as far as everything before it is settled."""
        chunk.settled = True
        end = self._settled
        while self._under_way and self._under_way[0].settled:
            end = self._under_way.popleft().end
        if self.empty:
            # Damaged lines behind the last whole one are nobody's end.
            end = self._read_up_to
        if end > self._settled:
            self._store_place(end)

    def _store_place(self, end: int) -> None:
        # Not synced: a place that is lost only has some messages published twice, with the same message ids.
        text = b"%020d" % end
        os.pwrite(self._acknowledged, b"%b %08x\n" % (text, zlib.crc32(text)), 0)
        self._settled = end
        self._drop_settled()

    def _drop_settled(self) -> None:
        while len(self._starts) > 1 and self._starts[1] <= self._settled:
            self._path(self._starts.popleft()).unlink()

    def _stored_place(self, starts: list[int]) -> int:
        first = starts[0] if starts else 0
        text, _, checksum = os.pread(self._acknowledged, 100, 0).strip().partition(b" ")
        if not text:
            return first
        if checksum != b"%08x" % zlib.crc32(text):
            log.error("spool_place_damaged", folder=str(self._folder))
            return first
        return max(int(text), first)

    @property
    def empty(self) -> bool:
        """Whether everything is settled."""
        return not self._under_way and not self._ready and self._read_up_to >= self._end

    def oldest(self) -> Entry | None:
        """The first entry that is not settled."""
        if self._under_way:
            return self._under_way[0].entries[0]
        return self._ready[0][0] if self._ready or self._read() else None

    def close(self) -> None:
        """Let go of the files and of the folder."""
        for descriptor in (self._writer, self._acknowledged, self._reader, self._lock):
            if descriptor >= 0:
                os.close(descriptor)

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:020d}{SUFFIX}"


def _locked(folder: Path) -> int:
    """Give a lock that ends with the process. Raises WrongState where another one has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise WrongState(f"another process publishes from the spool {folder}: give each one a folder") from None
    return descriptor


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole_lines(path: Path) -> int:
    """How many bytes of a file are whole lines; what follows was being written when the process ended."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while size:
            start = max(0, size - READ_BYTES)
            file.seek(start)
            newline = file.read(size - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            size = start
    return 0


def _line(entry: Entry) -> bytes:
    body = b"%d\t%b\t%b" % (entry.events, orjson.dumps(entry.message_id), entry.data)
    if b"\n" in body:
        # Of a message that somebody else has written, over several lines.
        body = body.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"%08x\t%b\n" % (zlib.crc32(body), body)


def _parsed(line: bytes) -> Entry | None:
    """Give what a line holds; None where it is damaged."""
    checksum, _, body = line.partition(b"\t")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    events, message_id, data = body.split(b"\t", 2)
    return Entry(orjson.loads(message_id), data, int(events))
