"""Publishing from files to a real JetStream: counts that add up, whatever happens to the server."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cli.failures import UsageError
from cli.publisher import EventPublisher, PublishPlan, Tally
from kit.bus.connection import Bus, connect
from kit.bus.streams import StreamDeclaration, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.errors import Unavailable
from kit.publisher.errors import NotPublished
from kit.publisher.publisher import Publisher
from kit.testing import servers

pytestmark = pytest.mark.integration

STREAM = StreamDeclaration("EVENTS_acme", ("events.acme.>",), 3600, 1024**3)


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await connect(nats_url, name="test")
    await provision(bus, [STREAM])
    yield bus
    await bus.close()


@asynccontextmanager
async def publishing(url: str, plan: PublishPlan) -> AsyncIterator[tuple[EventPublisher, Publisher]]:
    events = EventPublisher(plan)
    publisher = Publisher(url, servers.WRITE_KEY, source="web", workspace="acme", on_result=events.told)
    await publisher.start()
    try:
        yield events, publisher
    finally:
        with suppress(NotPublished):
            await publisher.close(timeout_s=0)


def write_events(path: Path, count: int, *, ids: bool = True) -> str:
    events = [{"type": "page", "userId": f"u-{number}"} for number in range(count)]
    lines = [json.dumps(one | ({"messageId": f"m-{n}"} if ids else {})) + "\n" for n, one in enumerate(events)]
    path.write_text("".join(lines))
    return str(path)


async def publish(bus: Bus, path: str, plan: PublishPlan | None = None) -> Tally:
    async with publishing(f"nats://{bus.url.rpartition('@')[2]}", plan or PublishPlan("web")) as (events, publisher):
        return await events.publish_file(publisher, path)


async def stored(bus: Bus) -> int:
    return int((await bus.api("STREAM.INFO.EVENTS_acme"))["state"]["messages"])


async def test_a_file_is_stored_once_however_often_it_is_published(bus: Bus, tmp_path: Path) -> None:
    path = write_events(tmp_path / "events.ndjson", 1234)
    first, second = await publish(bus, path), await publish(bus, path)
    assert (first.published, first.duplicates) == (1234, 0)
    assert (second.published, second.duplicates) == (0, 1234)
    assert await stored(bus) == 1234


async def test_repeats_are_other_events_and_a_limit_ends_them(bus: Bus, tmp_path: Path) -> None:
    path = write_events(tmp_path / "events.ndjson", 100)
    tally = await publish(bus, path, PublishPlan("web", repeat=5, limit=450))
    assert (tally.published, tally.duplicates) == (450, 0)
    assert await stored(bus) == 450


async def test_events_without_an_id_get_one_each_time(bus: Bus, tmp_path: Path) -> None:
    path = write_events(tmp_path / "events.ndjson", 20, ids=False)
    assert [(await publish(bus, path)).published for _ in range(2)] == [20, 20]


async def test_bad_lines_are_counted_with_their_number_and_the_others_are_stored(bus: Bus, tmp_path: Path) -> None:
    path = Path(write_events(tmp_path / "events.ndjson", 3))
    path.write_text(path.read_text() + "oops\n" * 40 + '{"type": "page", "userId": "last", "messageId": "last"}')
    tally = await publish(bus, str(path))
    assert (tally.published, tally.invalid) == (4, 40)
    assert tally.problems[0].startswith("line 4: not valid JSON")
    assert len(tally.problems) == 10


@pytest.mark.parametrize("check", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("size", [512 * 1024 + 1, 1_048_576, 3_000_000])
async def test_a_line_longer_than_a_message_is_one_invalid_line_and_no_part_of_it_is_published(
    bus: Bus, tmp_path: Path, size: int, check: bool
) -> None:
    event = '{"type": "page", "userId": "u"}'
    path = tmp_path / "events.ndjson"
    path.write_text(f"{event}\n{event:>{size}}\n{event}\n" + "x" * (size - len(event)) + event + f"\n{event}\n")
    tally = await publish(bus, str(path), PublishPlan("web", check=check))
    told = [problem for problem in tally.problems if "longer than 512 KiB" in problem]
    assert tally.published + tally.invalid == 5
    assert tally.invalid == len(told)
    assert told[-1].startswith("line 4: ")
    assert await stored(bus) == tally.published >= 3


@pytest.mark.parametrize("form", ["gz", "array", "single"])
async def test_files_of_other_forms_are_read(bus: Bus, tmp_path: Path, form: str) -> None:
    event = {"type": "page", "userId": "u", "messageId": "only"}
    if form == "gz":
        path = tmp_path / "events.ndjson.gz"
        path.write_bytes(gzip.compress(json.dumps(event).encode()))
    else:
        path = tmp_path / "event.json"
        path.write_text(json.dumps([event] if form == "array" else event, indent=2))
    assert (await publish(bus, str(path))).published == 1


@pytest.mark.parametrize("content", [b"{}\n", gzip.compress(b"x" * 999)[:-9]], ids=["other", "cut"])
async def test_a_file_that_is_no_whole_gzip_file_is_told_in_one_line(bus: Bus, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a whole gzip file"):
        await publish(bus, str(path))


async def test_a_server_that_is_killed_while_publishing_loses_nothing(data_folder: DataFolder, tmp_path: Path) -> None:
    server = EmbeddedNats(data_folder, servers.nats_users(data_folder))
    await server.start()
    bus = await connect(server.url("test"), name="test")
    try:
        await provision(bus, [STREAM])
        path = write_events(tmp_path / "events.ndjson", 5000)
        crashed = asyncio.Event()
        async with publishing(server.address, PublishPlan("web", repeat=4)) as (events, publisher):

            def crash_once() -> None:
                if events.tally.published >= 4000 and not crashed.is_set():
                    server.crash()
                    crashed.set()

            events.on_progress = crash_once
            async with asyncio.TaskGroup() as group:
                done = group.create_task(events.publish_file(publisher, path))
                await crashed.wait()
                await server.start()
        tally = done.result()
        # What was stored without an answer came back as a duplicate.
        assert tally.published + tally.duplicates == 20_000
        assert await stored(bus) == 20_000
    finally:
        await bus.close()
        await server.stop()


async def test_a_server_that_stays_away_is_given_up_with_the_line_from_which_to_go_on(
    data_folder: DataFolder, tmp_path: Path
) -> None:
    server = EmbeddedNats(data_folder, servers.nats_users(data_folder))
    await server.start()
    bus = await connect(server.url("test"), name="test")
    try:
        await provision(bus, [STREAM])
        path = write_events(tmp_path / "events.ndjson", 10)
        async with publishing(server.address, PublishPlan("web", timeout_s=0.5)) as (events, publisher):
            await server.stop()
            with pytest.raises(Unavailable, match="0 events are stored, those from line 1 on may not be"):
                await events.publish_file(publisher, path)
    finally:
        await bus.close()
        await server.stop()
