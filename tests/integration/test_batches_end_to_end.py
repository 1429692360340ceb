"""`onBatch` with a real executor and a real tracker: what waits, fails and comes back, over restarts and changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import web

from kit.embedded.nats import EmbeddedNats
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import resources_pb2 as resources
from tests.integration.executor_world import Program
from tests.integration.pair_world import Pair, a_pair

pytestmark = pytest.mark.integration


class Receiver:
    """An API that takes batches and answers one status for each event."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        # The statuses of the next times that an event comes; 200 then.
        self.statuses: dict[str, list[int]] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        ids = [event["messageId"] for event in orjson.loads(await request.read())]
        self.batches.append(ids)
        left = [self.statuses.get(one) or [200] for one in ids]
        return web.json_response([{"status": one.pop(0) if len(one) > 1 else one[0]} for one in left])

    @property
    def times(self) -> Counter[str]:
        return Counter(one for batch in self.batches for one in batch)

    @property
    def code(self) -> str:
        return f"""
        async function onBatch(events) {{
          const response = await fetch('{self.url}', {{ method: 'POST', body: JSON.stringify(events) }})
          return response.json()
        }}
        async function onTrack(event) {{
          if ((await onBatch([event]))[0].status !== 200) throw new RetryError('not taken')
        }}"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    await runner.cleanup()


@pytest.fixture
async def pair(database: str, nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[Pair]:
    async with a_pair(database, nats_url, nats_server) as made:
        yield made


def policy(events_max: int, wait_ms: int) -> resources.DeliveryPolicy:
    return resources.DeliveryPolicy(batching=resources.Batching(max_events=events_max, max_wait_ms=wait_ms))


def ids(first: int, last: int) -> list[str]:
    return [f"m{number}" for number in range(first, last + 1)]


async def test_events_wait_for_one_another_until_their_time(pair: Pair, receiver: Receiver) -> None:
    await pair.registry.connect("one", Program(receiver.code, policy=policy(100, 2000)))
    await pair.publish(*ids(1, 2))
    await pair.waits(2)
    await pair.publish(*ids(3, 3))
    assert await pair.ended(3) == {pb.RESULT_DELIVERED: 3}
    assert receiver.batches == [ids(1, 3)]
    assert await pair.tracker.value("SELECT max(attempt) FROM attempts") == 1


async def test_a_full_batch_goes_though_its_events_came_at_different_times(pair: Pair, receiver: Receiver) -> None:
    await pair.registry.connect("one", Program(receiver.code, policy=policy(5, 60_000)))
    await pair.publish(*ids(1, 2))
    await pair.waits(2)
    await pair.publish(*ids(3, 4))
    await pair.waits(4)
    await pair.publish("m5")
    await pair.ended(5)
    assert receiver.batches == [ids(1, 5)]


@pytest.mark.parametrize("drain", [True, False])
async def test_a_restart_of_both_while_events_wait_loses_and_repeats_nothing(
    pair: Pair, receiver: Receiver, drain: bool
) -> None:
    """A6, A8."""
    await pair.registry.connect("one", Program(receiver.code, policy=policy(6, 60_000)))
    await pair.publish(*ids(1, 4))
    await pair.waits(4)
    await pair.stop(drain=drain)
    await pair.start()
    await pair.publish(*ids(5, 6))
    await pair.ended(6)
    assert receiver.batches == [ids(1, 6)]


async def test_only_what_may_be_retried_is_sent_again_and_together(pair: Pair, receiver: Receiver) -> None:
    await pair.registry.connect("one", Program(receiver.code, policy=policy(100, 0)))
    receiver.statuses = {"m2": [503, 200], "m3": [400], "m4": [429, 200], "m5": [503, 200]}
    await pair.publish(*ids(1, 6))
    assert await pair.ended(6) == {pb.RESULT_DELIVERED: 5, pb.RESULT_FAILED: 1}
    assert receiver.times == {**dict.fromkeys(ids(1, 6), 1), "m2": 2, "m4": 2, "m5": 2}
    assert receiver.batches == [ids(1, 6), ["m2", "m4", "m5"]]


async def test_a_poison_event_ends_as_crashed_and_its_neighbours_are_delivered(pair: Pair) -> None:
    """E9: it loses its worker alone three times."""
    code = """
      const kept = []
      function run(event) { while (event.messageId === 'm5') kept.push('x'.repeat(1e6) + kept.length) }
      const onTrack = run
      async function onBatch(events) { events.forEach(run) }"""
    await pair.registry.connect("one", Program(code, policy=policy(100, 0)))
    await pair.publish(*ids(1, 10))
    assert await pair.ended(10) == {pb.RESULT_DELIVERED: 9, pb.RESULT_RETRYABLE: 1}
    (guilty,) = await pair.tracker.rows("SELECT message_id, error_type FROM attempts WHERE terminal AND state = 3")
    assert (guilty["message_id"], guilty["error_type"]) == ("m5", pb.ERROR_TYPE_CRASHED)


async def test_an_event_that_makes_its_batches_hang_ends_up_apart_from_the_others(
    pair: Pair, receiver: Receiver
) -> None:
    """E4: each time that a batch with it times out, it comes into one half as large."""
    code = f"""
      const hangs = event => event.messageId === 'm3'
      const onTrack = event => hangs(event) ? new Promise(() => {{}}) : undefined
      async function onBatch(events) {{
        await fetch('{receiver.url}', {{ method: 'POST', body: JSON.stringify(events) }})
        if (events.some(hangs)) await new Promise(() => {{}})
      }}"""
    await pair.registry.connect("one", Program(code, policy=policy(100, 0), timeout_ms=200))
    await pair.publish(*ids(1, 8))
    ended = await pair.ended(8)
    assert ended[pb.RESULT_DELIVERED] == 7
    assert len(receiver.batches[0]) == 8
    assert max(len(batch) for batch in receiver.batches[1:]) <= 4


async def test_a_policy_without_waiting_lets_those_go_that_wait(pair: Pair, receiver: Receiver) -> None:
    await pair.registry.connect("one", Program(receiver.code, policy=policy(100, 60_000)))
    await pair.publish(*ids(1, 3))
    await pair.waits(3)
    await pair.update("one", policy(100, 0))
    await pair.ended(3)
    assert receiver.batches == [ids(1, 3)]


async def test_many_events_are_delivered_once_each_in_batches(pair: Pair, receiver: Receiver) -> None:
    await pair.registry.connect("one", Program(receiver.code, policy=policy(50, 1000)))
    everything = ids(1, 730)
    for start in range(0, 730, 73):
        await pair.publish(*everything[start : start + 73])
    assert await pair.ended(730) == {pb.RESULT_DELIVERED: 730}
    assert receiver.times == dict.fromkeys(everything, 1)
    assert max(len(batch) for batch in receiver.batches) == 50
    assert len(receiver.batches) < 40
