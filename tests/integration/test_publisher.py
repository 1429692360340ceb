"""onward.Publisher against a real JetStream: everything is acknowledged once, or somebody is told."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

import onward
from kit.bus.connection import Bus, connect
from kit.bus.streams import StreamDeclaration, provision
from kit.embedded.data_folder import DataFolder
from kit.embedded.nats import EmbeddedNats
from kit.embedded.nats_users import NatsUser
from kit.errors import PermissionDenied, Unavailable, WrongState
from kit.publisher.events import Entry
from kit.publisher.sender import Result
from kit.testing import servers
from kit.testing.eventually import eventually

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
STREAM = StreamDeclaration("EVENTS_acme", ("events.acme.>",), 3600, 1024**3)


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "page", "userId": "u", "messageId": f"m-{number}", **fields}


async def stored(bus: Bus) -> list[dict[str, Any]]:
    """Every message of the stream, decoded."""
    last = int((await bus.api("STREAM.INFO.EVENTS_acme"))["state"]["last_seq"])
    found = []
    for sequence in range(1, last + 1):
        message = (await bus.api("STREAM.MSG.GET.EVENTS_acme", {"seq": sequence}))["message"]
        found.append(orjson.loads(base64.b64decode(message["data"])))
    return found


async def count(bus: Bus) -> int:
    return int((await bus.api("STREAM.INFO.EVENTS_acme"))["state"]["messages"])


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = await connect(nats_url, name="test")
    await provision(bus, [STREAM])
    yield bus
    await bus.close()


@pytest.fixture
def address(nats_server: EmbeddedNats) -> str:
    return nats_server.address


@pytest.fixture
async def own_server(data_folder: DataFolder) -> AsyncIterator[EmbeddedNats]:
    """A server to kill, with the stream."""
    server = EmbeddedNats(data_folder, servers.nats_users(data_folder))
    await server.start()
    bus = await connect(server.url(servers.TEST_USER), name="test")
    await provision(bus, [STREAM])
    await bus.close()
    yield server
    await server.stop()


def publisher(url: str, **options: Any) -> onward.Publisher:
    return onward.Publisher(url, servers.WRITE_KEY, source="web", workspace="acme", **options)


async def publish_all(one: onward.Publisher, events: int) -> None:
    for number in range(events):
        await one.publish(event(number))


async def test_everything_is_acknowledged_when_the_block_ends(bus: Bus, address: str) -> None:
    async with publisher(address) as one:
        for number in range(1234):
            await one.publish(event(number))
    assert (one.counts.published, one.counts.duplicates) == (1234, 0)
    assert await count(bus) == 1234


async def test_what_is_published_is_the_event_with_its_message_id(bus: Bus, address: str) -> None:
    async with publisher(address) as one:
        made = await one.publish({"type": "track", "event": "Signed Up", "userId": "u-1"})
    (found,) = await stored(bus)
    assert found["messageId"] == made
    assert found["event"] == "Signed Up"


async def test_the_same_message_id_counts_once_within_a_source_and_not_across_sources(bus: Bus, address: str) -> None:
    """A2, B9: JetStream compares ids within the workspace, so that ours carry the source."""
    for source, duplicates in (("web", 0), ("web", 1), ("shop", 0)):
        async with onward.Publisher(address, servers.WRITE_KEY, source=source, workspace="acme") as one:
            await one.publish(event(1))
        assert one.counts.duplicates == duplicates
    assert await count(bus) == 2


async def test_each_result_is_told_once_with_its_message(bus: Bus, address: str) -> None:
    told: list[Result] = []
    async with publisher(address, on_result=told.extend) as one:
        for number in range(600):
            await one.publish(event(number))
    assert sorted(result.entry.message_id for result in told) == sorted(f"m-{number}" for number in range(600))


async def test_a_queue_that_stays_full_raises_with_the_reason(own_server: EmbeddedNats) -> None:
    """Loud when full."""
    one = publisher(own_server.address, events_max=10, full_timeout_s=0.05)
    await one.start()
    await own_server.stop()
    with pytest.raises(onward.PublisherFull, match="10 events wait for their acknowledgement"):
        await publish_all(one, 20)
    with pytest.raises(onward.PublisherFull):
        one.publish_nowait(event(99))
    with pytest.raises(onward.NotPublished):
        await one.close(timeout_s=0)


async def test_a_full_queue_makes_publish_wait_and_not_fail_while_it_moves(bus: Bus, address: str) -> None:
    async with publisher(address, events_max=10) as one:
        for number in range(500):
            await one.publish(event(number))
    assert await count(bus) == 500


async def test_events_outlive_kill_9_of_the_server(own_server: EmbeddedNats) -> None:
    """A1, B3: what had no acknowledgement is published again under the same messageId."""
    async with publisher(own_server.address, events_max=2000) as one:
        for number in range(6000):
            await one.publish(event(number))
            if number in (2500, 4500):
                own_server.crash()
                await own_server.start()
    bus = await connect(own_server.url(servers.TEST_USER), name="test")
    assert await count(bus) == one.counts.settled == 6000
    await bus.close()


async def test_a_spool_takes_events_while_no_server_is_there_and_sends_them_later(
    own_server: EmbeddedNats, tmp_path: Path
) -> None:
    await own_server.stop()
    async with publisher(own_server.address, spool=tmp_path, connect_timeout_s=0.1) as first:
        for number in range(700):
            await first.publish(event(number))
        with pytest.raises(onward.NotPublished, match="cannot connect"):
            await first.flush(timeout_s=0.1)
        await first.close(timeout_s=0)
    await own_server.start()
    async with publisher(own_server.address, spool=tmp_path) as second:
        await second.flush()
    assert second.counts.published == 700


async def test_without_a_spool_a_server_that_is_away_is_told_at_once(own_server: EmbeddedNats) -> None:
    await own_server.stop()
    with pytest.raises(Unavailable):
        await publisher(own_server.address, connect_timeout_s=0.1).start()


PROCESS = """
import asyncio, itertools, sys
import onward

async def main(url, key, spool, log):
    with open(log, "w", buffering=1) as taken:
        async with onward.Publisher(url, key, source="web", workspace="acme", spool=spool) as publisher:
            for number in itertools.count():
                event = {"type": "page", "userId": "u", "messageId": f"m-{number}"}
                taken.write(await publisher.publish(event) + "\\n")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_a_killed_process_had_taken_is_published_by_the_next_one(
    bus: Bus, address: str, tmp_path: Path
) -> None:
    """A1: kill -9 of a publisher in the middle of publishing."""
    log = tmp_path / "taken"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, address, servers.WRITE_KEY, str(tmp_path / "spool"), str(log)
    )
    await eventually(lambda: log.exists() and log.stat().st_size > 30_000)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with publisher(address, spool=tmp_path / "spool"):
        pass
    taken = set(log.read_text().split("\n")[:-1])
    found = [one["messageId"] for one in await stored(bus)]
    assert taken <= set(found)
    assert len(found) == len(set(found))


async def test_the_key_of_another_source_is_told_to_whoever_publishes(data_folder: DataFolder) -> None:
    user = NatsUser("publisher", servers.WRITE_KEY, publish=["events.acme.shop"], subscribe=["_INBOX_publisher.>"])
    server = EmbeddedNats(data_folder, [user])
    await server.start()
    try:
        one = publisher(server.address)
        await one.start()
        await one.publish(event())
        with pytest.raises(PermissionDenied, match="none of the source web's"):
            await one.flush()
        with pytest.raises(PermissionDenied):
            await one.publish(event())
        with pytest.raises(PermissionDenied):
            await one.close()
    finally:
        await server.stop()


async def test_a_message_that_can_never_be_stored_is_told_and_holds_up_no_other(bus: Bus, address: str) -> None:
    told: list[Result] = []

    def note(results: Sequence[Result]) -> None:
        told.extend(result for result in results if result.error)

    async with publisher(address, on_result=note) as one:
        await one.put(Entry("large", b"x" * 1_000_001))
        await one.publish(event(1))
    assert [result.entry.message_id for result in told] == ["large"]
    assert (one.counts.published, one.counts.refused) == (1, 1)


async def test_a_publisher_that_has_ended_says_so(bus: Bus, address: str) -> None:
    async with publisher(address) as one:
        pass
    with pytest.raises(WrongState, match="async with"):
        await one.publish(event())
    await one.close()


async def test_programs_without_asyncio_publish_from_any_thread(bus: Bus, address: str) -> None:
    def program() -> int:
        with onward.SyncPublisher(address, servers.WRITE_KEY, source="web", workspace="acme") as one:
            for number in range(300):
                one.publish(event(number))
            one.flush()
        return one.counts.published

    assert await asyncio.to_thread(program) == 300
    assert await count(bus) == 300


async def test_the_end_of_a_program_publishes_what_waits(bus: Bus, address: str) -> None:
    """Flush at exit."""
    program = f"""
import onward
publisher = onward.SyncPublisher({address!r}, {servers.WRITE_KEY!r}, source="web", workspace="acme")
publisher.start()
for number in range(50):
    publisher.publish({{"type": "page", "userId": "u", "messageId": str(number)}})
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0
    assert await count(bus) == 50


async def test_a_publisher_that_was_not_started_says_so_instead_of_waiting_for_ever(address: str) -> None:
    publisher = onward.SyncPublisher(address, servers.WRITE_KEY, source="web", workspace="acme")
    with pytest.raises(WrongState, match="call `start` first"):
        publisher.publish({"type": "page", "userId": "u"})
    publisher.close()
    with pytest.raises(WrongState, match="call `start` first"):
        publisher.flush()


async def test_importing_onward_loads_nothing_that_publishes() -> None:
    program = "import sys, onward; assert 'nats' not in sys.modules and 'kit' not in sys.modules"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


async def test_the_program_of_the_documents_runs(bus: Bus, address: str, tmp_path: Path) -> None:
    document = (ROOT / "docs/events.md").read_text()
    (program,) = re.findall(r"^### With Python$.*?^```python\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    for shown, real in (("nats://127.0.0.1:4222", address), ("onwk_7c1x9k2m4q0z_...", servers.WRITE_KEY)):
        assert shown in program
        program = program.replace(shown, real)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"1 stored\n")
    assert await count(bus) == 1
