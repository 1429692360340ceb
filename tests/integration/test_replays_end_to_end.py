"""Replays and redrives with a real executor and a real tracker, whose clock the test drives."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from kit.clock import FakeClock
from kit.embedded.nats import EmbeddedNats
from kit.testing.eventually import eventually
from onward.delivery.v1 import replay_service_pb2 as service
from onward.delivery.v1 import replays_pb2 as pb
from tests.integration.executor_world import Program
from tests.integration.pair_world import Pair, a_pair

pytestmark = pytest.mark.integration

ONE = "workspaces/acme/destinations/one"


class Api:
    """Counts calls by event and replay, and keys of each; answers 422 while it is down."""

    def __init__(self) -> None:
        self.down = False
        self.taken: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=422)
        self.taken[request.path.strip("/")] += 1
        self.keys.add(request.headers["Idempotency-Key"])
        return web.Response()

    @property
    def code(self) -> str:
        return f"""
        async function onTrack(event) {{
          const path = `${{event.messageId}}-${{event.replay ?? 'live'}}`
          const response = await fetch('{self.url}' + path, {{ method: 'POST' }})
          if (!response.ok) throw new ValidationError('refused')
        }}"""


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    app = web.Application()
    app.router.add_post("/{event}", made.answer)
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


async def finished(pair: Pair, replay: pb.Replay) -> pb.Replay:
    """Move the clock until it has ended."""

    async def ended() -> pb.Replay:
        pair.tracker.advance(0.2)
        found: pb.Replay = (await pair.tracker.replays.GetReplay(service.GetReplayRequest(name=replay.name))).replay
        assert found.state == pb.REPLAY_STATE_FINISHED, found
        return found

    return await eventually(ended, timeout_s=60)


async def test_a_window_is_replayed_while_live_events_flow(pair: Pair, api: Api) -> None:
    """A19: handlers find the replay's id, no original is mistaken for it, and live events are delivered as ever."""
    await pair.registry.connect("one", Program(api.code))
    await pair.publish(*ids(1, 30))
    await pair.ended(30)
    pair.tracker.advance(5)
    # The stream has the server's time, and the tracker's clock is ahead of it.
    window = pb.ReplaySelection()
    window.end_time.FromDatetime(datetime.now(UTC))
    request = service.CreateReplayRequest(destination=ONE, selection=window, rate_per_second=20)
    made = await pair.tracker.replays.CreateReplay(request)
    assert made.preview.count == 30
    for first in range(31, 61, 10):
        await pair.publish(*ids(first, first + 9))
        pair.tracker.advance(0.3)
    found = await finished(pair, made.replay)
    assert (found.taken_up, found.delivered, found.failed) == (30, 30, 0)
    await eventually(lambda: api.taken.total() == 90, timeout_s=30)
    live = dict.fromkeys((f"{one}-live" for one in ids(1, 60)), 1)
    assert api.taken == live | dict.fromkeys((f"{one}-r1" for one in ids(1, 30)), 1)
    # An API that keeps to the keys must take a replay for something new.
    assert len(api.keys) == 90
    assert await pair.tracker.value("SELECT count(*) FROM attempts WHERE duplicate") == 0
    assert await pair.tracker.value("SELECT count(*) FROM attempts WHERE replay = 1") == 30


async def test_what_failed_while_an_api_was_down_is_delivered_by_a_redrive(pair: Pair, api: Api) -> None:
    await pair.registry.connect("one", Program(api.code))
    api.down = True
    await pair.publish(*ids(1, 40))
    await pair.ended(40)
    api.down = False
    pair.tracker.advance(5)
    made = await pair.tracker.replays.RedriveDeliveries(service.RedriveDeliveriesRequest(destination=ONE))
    found = await finished(pair, made.replay)
    assert (made.preview.count, found.taken_up, found.delivered) == (40, 40, 40)
    assert api.taken == dict.fromkeys((f"{one}-r1" for one in ids(1, 40)), 1)
