"""The spool on a real disk: what was taken is there after any crash, and only what is settled is gone."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.bus.publish import BATCH_MESSAGES_MAX
from kit.errors import WrongState
from kit.publisher.backlog import Chunk
from kit.publisher.errors import PublisherFull
from kit.publisher.events import Entry
from kit.publisher.spool import Spool, _line

pytestmark = pytest.mark.integration


class Spools:
    """Spools of one folder, each as a process of its own would open it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: list[Spool] = []

    def open(self, bytes_max: int = 10**9, *, sync: bool = False, file_bytes_max: int = 10_000) -> Spool:
        self._open.append(Spool(self.folder, bytes_max, sync=sync, file_bytes_max=file_bytes_max))
        return self._open[-1]

    def crash(self) -> None:
        """Leave the files as they are."""
        self._open.pop().close()


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Spools]:
    made = Spools(tmp_path / "spool")
    yield made
    for spool in made._open:
        spool.close()


def entry(number: int, size: int = 20) -> Entry:
    return Entry(f"m-{number}", b'{"n":"%b"}' % (b"x" * size), 1 + number % 3)


def drained(spool: Spool) -> list[str]:
    """The ids of all that is left, settled on the way."""
    found: list[str] = []
    while (chunk := spool.take()) is not None:
        found += [one.message_id for one in chunk.entries]
        spool.settle(chunk)
    return found


def ids(numbers: range) -> list[str]:
    return [f"m-{number}" for number in numbers]


def test_what_is_not_settled_is_there_after_a_crash(spools: Spools) -> None:
    spool = spools.open()
    for number in range(1700):
        spool.append(entry(number))
    chunks = [spool.take() for _ in range(3)]
    assert [len(chunk.entries) for chunk in chunks if chunk is not None] == 3 * [BATCH_MESSAGES_MAX]
    for chunk in (chunks[1], chunks[0]):
        assert chunk is not None
        spool.settle(chunk)
    spools.crash()
    again = spools.open()
    assert drained(again) == ids(range(2 * BATCH_MESSAGES_MAX, 1700))
    assert again.empty


def test_a_chunk_behind_one_that_is_under_way_is_not_forgotten_before_it(spools: Spools) -> None:
    spool = spools.open()
    for number in range(1000):
        spool.append(entry(number))
    _, second = spool.take(), spool.take()
    assert second is not None
    spool.settle(second)
    oldest = spool.oldest()
    assert oldest is not None
    assert oldest.message_id == "m-0"
    spools.crash()
    assert drained(spools.open()) == ids(range(1000))


def test_entries_come_back_as_they_were(spools: Spools) -> None:
    spool = spools.open()
    odd = [Entry('tab\t"quote" é', b'{"a":"\\t"}', 7), Entry("lines", b'{\r\n "a": 1\n}'), entry(3)]
    for one in odd:
        spool.append(one)
    spools.crash()
    chunk = spools.open().take()
    assert chunk is not None
    assert chunk.entries == [odd[0], Entry("lines", b'{   "a": 1 }'), odd[2]]


def test_files_whose_entries_are_settled_are_deleted(spools: Spools) -> None:
    spool = spools.open()
    for number in range(2000):
        spool.append(entry(number))
    before = len(list(spools.folder.glob("*.events")))
    drained(spool)
    assert before > 5
    assert len(list(spools.folder.glob("*.events"))) == 1


def test_a_spool_that_is_full_refuses_and_takes_again_when_something_is_settled(spools: Spools) -> None:
    spool = spools.open(bytes_max=2_000)
    size = len(_line(entry(0)))
    room = 2_000 // size
    for number in range(room):
        spool.append(entry(number % 9))
    with pytest.raises(PublisherFull, match="holds 2000 bytes"):
        spool.append(entry(0))
    assert len(drained(spool)) == room
    spool.append(entry(1))


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_cut_off_and_the_next_one_begins_where_it_began(spools: Spools, cut: int) -> None:
    """A1: the process was killed while it wrote; `append` had not returned, so nobody was told that it is taken."""
    spool = spools.open()
    for number in range(10):
        spool.append(entry(number))
    spools.crash()
    (path,) = spools.folder.glob("*.events")
    os.truncate(path, path.stat().st_size - cut)
    again = spools.open()
    again.append(entry(99))
    found = drained(again)
    assert found[-1] == "m-99"
    assert found[:-1] == ids(range(len(found) - 1))
    assert len(found) >= 9


def test_a_line_that_was_damaged_is_set_aside_and_told(spools: Spools, caplog: pytest.LogCaptureFixture) -> None:
    """B5, for the spool: one flipped bit costs one line, never the lines behind it, and never silently."""
    spool = spools.open()
    for number in range(10):
        spool.append(entry(number))
    spools.crash()
    (path,) = spools.folder.glob("*.events")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = drained(again := spools.open())
    assert len(found) == 9
    assert again.empty
    assert (spools.folder / "damaged").read_bytes().count(b"\n") == 1


def test_a_spool_of_nothing_but_damaged_lines_is_empty(spools: Spools) -> None:
    spools.open().append(entry(1))
    spools.crash()
    (path,) = spools.folder.glob("*.events")
    path.write_bytes(b"rubbish\n")
    assert spools.open().empty


def test_a_place_that_was_damaged_has_everything_published_again(spools: Spools) -> None:
    spool = spools.open()
    for number in range(100):
        spool.append(entry(number))
    drained(spool)
    spools.crash()
    (spools.folder / "acknowledged").write_bytes(b"00000000000000000007 deadbeef\n")
    assert drained(spools.open()) == ids(range(100))


def test_two_processes_cannot_have_one_spool(spools: Spools) -> None:
    spools.open()
    with pytest.raises(WrongState, match="give each one a folder"):
        Spool(spools.folder)


def test_a_full_disk_refuses_the_event_and_leaves_no_torn_line(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    """A26: the write ends half-way."""
    spool = spools.open()
    spool.append(entry(1))
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:9]))
        with pytest.raises(PublisherFull, match="no room"):
            spool.append(entry(2))
    spool.append(entry(3))
    assert drained(spool) == ["m-1", "m-3"]


async def test_with_sync_events_are_on_the_disk_before_it_returns_and_share_syncs(
    spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fdatasync

    def counted(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", counted)
    spool = spools.open(sync=True, file_bytes_max=10**9)

    async def append(number: int) -> None:
        spool.append(entry(number))
        end = spool._end
        await spool.sync()
        assert synced[-1] >= end

    await asyncio.gather(*[append(number) for number in range(200)])
    assert len(synced) < 10


def test_any_order_of_appending_settling_and_crashing_loses_and_invents_nothing(spools: Spools) -> None:
    """A1, by chance."""
    rng = random.Random(7)
    spool = spools.open(file_bytes_max=3_000)
    appended = 0
    settled: set[str] = set()
    under_way: list[Chunk] = []
    for _ in range(3_000):
        action = rng.random()
        if action < 0.7:
            spool.append(entry(appended, rng.randrange(200)))
            appended += 1
        elif action < 0.85:
            chunk = spool.take()
            if chunk is not None:
                under_way.append(chunk)
        elif action < 0.98 and under_way:
            chunk = under_way.pop(rng.randrange(len(under_way)))
            spool.settle(chunk)
            settled |= {one.message_id for one in chunk.entries}
        elif action >= 0.98:
            spools.crash()
            under_way.clear()
            spool = spools.open(file_bytes_max=3_000)
    left = [one.message_id for chunk in under_way for one in chunk.entries] + drained(spool)
    assert set(ids(range(appended))) == settled | set(left)
    assert len(left) == len(set(left))
