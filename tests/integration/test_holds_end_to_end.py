"""Rates and breakers with a real executor and a real tracker, whose clock the test drives."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from kit.clock import FakeClock
from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.executor.v1 import outcomes_pb2 as pb
from onward.registry.v1 import resources_pb2 as resources
from services.delivery.domain.breaker import OPEN_MIN_US
from tests.integration.executor_world import Program
from tests.integration.pair_world import Pair, a_pair

pytestmark = pytest.mark.integration


class Api:
    """Counts calls by event; answers 503 while it is down."""

    def __init__(self) -> None:
        self.down = False
        self.taken: Counter[str] = Counter()
        self.refused = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        if self.down:
            self.refused += 1
            return web.Response(status=503)
        self.taken[request.path.strip("/")] += 1
        return web.Response()

    @property
    def code(self) -> str:
        return f"""
        async function onTrack(event) {{
          const response = await fetch('{self.url}' + event.messageId)
          if (!response.ok) throw new RetryError('down')
        }}"""


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    app = web.Application()
    app.router.add_get("/{event}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    await runner.cleanup()


@pytest.fixture
async def pair(database: str, nats_url: str, nats_server: EmbeddedNats) -> AsyncIterator[Pair]:
    async with a_pair(database, nats_url, nats_server, FakeClock(datetime.now(UTC))) as made:
        yield made


def ids(first: int, last: int) -> list[str]:
    return [f"m{number}" for number in range(first, last + 1)]


async def due(pair: Pair, count: int) -> None:
    """Wait until so many deliveries are to be made, none of which is out."""

    async def there() -> bool:
        query = "SELECT count(*) = $1 AND bool_and(released_at_us IS NULL) FROM due"
        return bool(await pair.tracker.value(query, count))

    await eventually(there, timeout_s=30)


async def policy_known(pair: Pair) -> None:
    query = "SELECT count(*) > 0 FROM delivery_policies"
    await eventually(lambda: pair.tracker.value(query), timeout_s=30)


async def test_a_destination_gets_no_more_events_than_its_rate_allows(pair: Pair, api: Api) -> None:
    """The tracker's clock stands still between the steps, so these are counted and not timed."""
    await pair.registry.connect("one", Program(api.code))
    await pair.update("one", resources.DeliveryPolicy(max_per_second=5))
    await policy_known(pair)
    await pair.publish(*ids(1, 12))
    await due(pair, 12)
    assert not api.taken
    for step in range(1, 13):
        pair.tracker.advance(0.2)
        await due(pair, 12 - step) if step < 12 else await pair.ended(12)
        assert api.taken.total() == step
    assert await pair.tracker.value("SELECT max(attempt) FROM attempts") == 1


async def test_no_more_events_are_out_at_once_than_the_policy_allows(pair: Pair, api: Api) -> None:
    await pair.registry.connect("one", Program(api.code))
    await pair.update("one", resources.DeliveryPolicy(max_in_flight=2))
    await policy_known(pair)
    await pair.publish(*ids(1, 20))
    assert await pair.ended(20) == {pb.RESULT_DELIVERED: 20}
    assert api.taken == dict.fromkeys(ids(1, 20), 1)


async def test_a_dead_api_is_left_alone_and_gets_everything_when_it_is_back(pair: Pair, api: Api) -> None:
    """A17."""
    api.down = True
    await pair.registry.connect("one", Program(api.code))
    await pair.publish(*ids(1, 30))
    await due(pair, 30)
    await eventually(lambda: len(pair.executor._breakers) == 1)
    assert api.refused == 30
    await pair.publish(*ids(31, 50))
    await due(pair, 50)
    assert api.refused == 30
    api.down = False
    pair.tracker.advance(OPEN_MIN_US / 1_000_000)
    assert await pair.ended(50) == {pb.RESULT_DELIVERED: 50}
    assert api.taken == dict.fromkeys(ids(1, 50), 1)
    await eventually(lambda: not len(pair.executor._breakers))
    await pair.publish("m51")
    await pair.ended(51)
    # What was held back used up no attempt.
    rows = await pair.tracker.rows("SELECT attempt, count(*) FROM attempts WHERE terminal GROUP BY 1")
    assert {row["attempt"]: row["count"] for row in rows} == {2: 30, 1: 21}


async def test_what_was_told_last_holds_while_the_tracker_is_away(pair: Pair, api: Api) -> None:
    api.down = True
    await pair.registry.connect("one", Program(api.code))
    await pair.publish(*ids(1, 30))
    await eventually(lambda: len(pair.executor._breakers) == 1, timeout_s=30)
    await pair.tracker.stop()
    await pair.publish(*ids(31, 35))
    # An executor that is told nothing goes on with what it was told.
    stored = "STREAM.INFO.OUTCOMES"

    async def held() -> bool:
        return bool((await pair.tracker.bus.api(stored))["state"]["messages"] > 0)

    await eventually(held, timeout_s=30)
    assert api.refused == 30
    await pair.tracker.start()
    await due(pair, 35)


async def test_batches_of_a_destination_with_a_rate_go_whole_and_are_paid_for(pair: Pair, api: Api) -> None:
    """They are filled by the tracker, so that no event is counted twice."""
    code = f"""
      async function onBatch(events) {{ await fetch('{api.url}' + events.map(one => one.messageId).sort().join()) }}
      const onTrack = event => {{ throw new Error('alone') }}"""
    await pair.registry.connect("one", Program(code))
    batching = resources.Batching(max_events=5, max_wait_ms=60_000)
    await pair.update("one", resources.DeliveryPolicy(max_per_second=5, batching=batching))
    await policy_known(pair)
    await pair.publish(*ids(1, 5))
    await due(pair, 5)
    pair.tracker.advance(0.2)
    await pair.ended(5)
    assert api.taken == {"m1,m2,m3,m4,m5": 1}
    await pair.publish(*ids(6, 9), "m0")
    await due(pair, 5)
    # The first five are not paid for.
    pair.tracker.advance(0.7)
    await due(pair, 5)
    pair.tracker.advance(0.3)
    await pair.ended(10)
    assert api.taken == {"m1,m2,m3,m4,m5": 1, "m0,m6,m7,m8,m9": 1}
