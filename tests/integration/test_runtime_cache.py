"""cache.load and cache.delete: values that the events of one isolate share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.executor.runtime.pool import HostRequest, Job, Limits, Worker, Zygote
from tests.integration import runtime_world
from tests.integration.runtime_world import returned, script
from tests.integration.sandbox_world import Sandbox

pytestmark = pytest.mark.integration


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    async with runtime_world.zygote() as started:
        yield started


def ok(_: dict[str, Any]) -> dict[str, Any]:
    return {"status": 200, "statusText": "OK", "url": "", "redirected": False, "headers": [], "body": ""}


async def test_events_that_load_one_key_at_once_share_one_flight(zygote: Zygote) -> None:
    code = """let flights = 0;
    const token = () => cache.load('token', 60000, async () => { await fetch('http://h/'); return ++flights; });
    async function onTrack(event) {
      console.log('event ' + event.n);
      const value = await token();
      console.log('had ' + event.n);
      return [event.n, value];
    }"""
    async with script(zygote, code, ok) as running:
        outcomes = await running.track(*[{"n": n} for n in range(5)])
    assert [json.loads(outcome.value or b"") for outcome in outcomes] == [[n, 1] for n in range(5)]
    # Each resumes as itself: its lines are its own.
    assert [[line.text for line in outcome.logs] for outcome in outcomes] == [
        [f"event {n}", f"had {n}"] for n in range(5)
    ]
    assert len(running.requests) == 1


async def test_a_flight_whose_event_ended_is_flown_again_by_one_that_waits(zygote: Zygote) -> None:
    code = """let flights = 0;
    const fly = async () => { const mine = ++flights; await new Promise((r) => setTimeout(r, 30)); return mine; };
    async function onTrack(event) {
      const value = cache.load('k', 60000, fly);
      return event.leave ? 'left' : value;
    }"""
    async with script(zygote, code) as running:
        outcomes = await running.track({"leave": True}, {"leave": False}, {"leave": False})
    assert [json.loads(outcome.value or b"") for outcome in outcomes] == ["left", 2, 2]


async def test_a_flight_that_outlasts_its_events_time_is_flown_again_by_one_that_waits(zygote: Zygote) -> None:
    """The first one never gets its answer; the second one waits for the same flight when the first one's time ends."""
    code = """let n = 0;
    const onTrack = (event) => cache.load('token', 60000, async () => {
      console.log(`flown by ${event.n}`);
      await fetch('http://h/' + event.n);
      console.log(`landed for ${event.n}`);
      return ++n;
    });
    const onPage = () => new Promise((done) => setTimeout(done, 400));"""

    def answer(worker: Worker, request: HostRequest) -> None:
        if request.job_id > 0:
            worker.answer(request.request_id, result=ok({}))

    run = await Sandbox(zygote).load(code, limits=Limits(wall_ms=1000), answer=answer)
    run.worker.submit([Job(0, "track", b'{"n":0}'), Job(9, "page", b"{}")])
    await run.until(lambda: 9 in run.outcomes)
    run.worker.submit([Job(1, "track", b'{"n":1}', capture=True), Job(2, "track", b'{"n":2}', capture=True)])
    await run.until(lambda: len(run.outcomes) == 4)
    assert run.error(0).kind == "Timeout"
    assert [run.value(1), run.value(2)] == [1, 1]
    assert [(request.job_id, request.payload["url"]) for request in run.requests] == [
        (0, "http://h/0"), (1, "http://h/1")
    ]  # fmt: skip
    assert [run.logs(n) for n in range(3)] == [["flown by 0"], ["flown by 1", "landed for 1"], []]


async def test_what_an_abandoned_flight_becomes_later_changes_nothing(zygote: Zygote) -> None:
    code = """let land, flights = 0;
    const fly = () => { flights += 1; return flights === 1 ? new Promise((done) => { land = done }) : 'second' };
    async function onTrack(event) {
      const value = cache.load('k', 60000, fly);
      if (event.leave) return 'left';
      const mine = await value;
      land('first');
      await new Promise((done) => setTimeout(done, 5));
      return [mine, await cache.load('k', 60000, fly)];
    }"""
    async with script(zygote, code) as running:
        outcomes = await running.track({"leave": True}, {})
    assert [json.loads(outcome.value or b"") for outcome in outcomes] == ["left", ["second", "second"]]


async def test_a_flight_that_the_top_level_left_waiting_is_flown_by_the_first_event(zygote: Zygote) -> None:
    code = """let flights = 0;
    const load = () => cache.load('k', 60000, async () => {
      flights += 1;
      await new Promise((done) => setTimeout(done, 1));
      return flights;
    });
    load();
    const onTrack = load;"""
    async with script(zygote, code) as running:
        outcomes = await running.track({}, {})
    assert [outcome.value for outcome in outcomes] == [b"2", b"2"]


async def test_a_failure_reaches_all_that_wait_and_is_not_kept(zygote: Zygote) -> None:
    code = """let flights = 0;
    const fly = async () => {
      await new Promise((r) => setTimeout(r, 5));
      if (++flights === 1) throw new RangeError('no');
      return 'yes';
    };
    async function onTrack() {
      try { return await cache.load('k', 60000, fly); } catch (error) { return error.name; }
    }"""
    async with script(zygote, code) as running:
        first = await running.track({}, {})
        (second,) = await running.track({})
    assert [outcome.value for outcome in first] == [b'"RangeError"', b'"RangeError"']
    assert second.value == b'"yes"'


async def test_a_value_lives_for_its_time_and_until_it_is_deleted(zygote: Zygote) -> None:
    body = """let n = 0; const next = (ttl) => cache.load('k', ttl, () => ++n);
    const seen = [await next(60000), await next(60000)]; seen.push(cache.delete('k'), cache.delete('k'), await next(0));
    await new Promise((r) => setTimeout(r, 5)); seen.push(await next(60000)); return seen;"""
    assert await returned(zygote, body) == [1, 1, True, False, 2, 3]


async def test_the_oldest_of_too_many_keys_goes(zygote: Zygote) -> None:
    body = """for (let i = 0; i <= 1000; i++) await cache.load('k' + i, 60000, () => i);
    return [await cache.load('k0', 60000, () => 'again'), await cache.load('k1000', 60000, () => 'again')];"""
    assert await returned(zygote, body) == ["again", 1000]


async def test_what_is_no_function_is_refused(zygote: Zygote) -> None:
    body = "try { cache.load('k', 1) } catch (e) { return [e.name, e.message] }"
    assert await returned(zygote, body) == ["TypeError", "cache.load(key, ttlMs, fn): fn must be a function"]
