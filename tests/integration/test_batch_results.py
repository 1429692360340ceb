"""What the sandbox says of a batch's events, whatever `onBatch` returns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.executor.runtime.pool import Limits
from tests.integration.sandbox_world import Run, Sandbox, sandbox_of

pytestmark = pytest.mark.integration


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with sandbox_of() as made:
        yield made


async def returned(sandbox: Sandbox, body: str, events: int = 3, **options: Any) -> Run:
    """Give a batch of so many events to `onBatch`, whose body this is."""
    run = await sandbox.load(f"async function onBatch(events) {{ {body} }}", **options)
    return await run.events([{"n": n} for n in range(events)], type_="onBatch")


async def test_each_event_has_its_status_and_message(sandbox: Sandbox) -> None:
    run = await returned(sandbox, "return events.map(({n}) => ({status: 200 + n, errormessage: 'no. ' + n}))")
    assert run.outcomes[0].results == [(200, "no. 0"), (201, "no. 1"), (202, "no. 2")]
    assert run.value() == [{"status": 200 + n, "errormessage": f"no. {n}"} for n in range(3)]


@pytest.mark.parametrize("nothing", ["", "return", "return null", "return undefined"])
async def test_nothing_returned_says_nothing_of_any_event(sandbox: Sandbox, nothing: str) -> None:
    outcome = (await returned(sandbox, nothing)).outcomes[0]
    assert (outcome.ok, outcome.results, outcome.unshaped) == (True, None, False)


@pytest.mark.parametrize(
    "body",
    [
        "return events.map(() => ({status: 200}))",
        "class Answer { get status() { return 200 } }; return events.map(() => new Answer())",
        "return new Proxy(events.map(() => ({status: 200})), {})",
        "return {then(resolve) { resolve(events.map(() => ({status: 200}))) }}",
        "events.push({}, {}); return [1, 2, 3].map(() => ({status: 200, errormessage: 5}))",
    ],
)
async def test_whatever_reads_like_results_is_results(sandbox: Sandbox, body: str) -> None:
    outcome = (await returned(sandbox, body)).outcomes[0]
    assert outcome.results == [(200, "")] * 3


@pytest.mark.parametrize(
    "body",
    [
        "return 5",
        "return 'sent'",
        "return {status: 200}",
        "return {length: 3, 0: {status: 200}, 1: {status: 200}, 2: {status: 200}}",
        "return []",
        "return [{status: 200}]",
        "return [...events, ...events]",
        "return new Array(2 ** 32 - 1)",
        "return new Array(3)",
        "return events.map(() => null)",
        "return events.map(() => ({}))",
        "return events.map(() => ({status: '200'}))",
        "return events.map(() => ({status: 200.5}))",
        "return events.map(() => ({status: NaN}))",
        "return events.map(() => ({status: 99}))",
        "return events.map(() => ({status: 600}))",
        "return events.map(() => ({status: {valueOf: () => 200}}))",
        "return events.map(() => ({get status() { throw new Error('x') }}))",
        "return events.map(() => ({status: 200, get errormessage() { throw new RetryError('x') }}))",
        "return new Proxy([], {get(_, key) { if (key !== 'then') throw 1 }})",
        "return Proxy.revocable([], {}).proxy",
        "const all = Proxy.revocable(events, {}); all.revoke(); return new Proxy(all, {})",
        "return events.map(() => Promise.resolve({status: 200}))",
    ],
)
async def test_any_other_return_has_another_shape(sandbox: Sandbox, body: str) -> None:
    """E13: and is no error of the handler's."""
    outcome = (await returned(sandbox, body)).outcomes[0]
    assert (outcome.ok, outcome.results, outcome.unshaped) == (True, None, True)


@pytest.mark.parametrize(
    "body",
    [
        "return [{get status() { for (;;); }}, 2, 3]",
        "return new Proxy(events, {get() { for (;;); }})",
        "return events.map(() => ({status: 200, get errormessage() { for (;;); }}))",
    ],
)
async def test_a_return_that_loops_is_cut_at_the_limit(sandbox: Sandbox, body: str) -> None:
    """E13."""
    run = await returned(sandbox, body, limits=Limits(wall_ms=500, cpu_ms=300))
    assert (await run.end()).reason == "timeout"


async def test_a_script_cannot_forge_results_by_what_it_replaces(sandbox: Sandbox) -> None:
    """E16."""
    body = """
      Array.isArray = () => true; JSON.stringify = () => '[[200,""]]'; String.prototype.slice = () => '';
      Object.defineProperty(Object.prototype, 'status', { get: () => 200 });
      return 5"""
    outcome = (await returned(sandbox, body)).outcomes[0]
    assert outcome.unshaped


async def test_messages_are_cut_and_the_results_of_500_events_are_whole(sandbox: Sandbox) -> None:
    """A callback return is cut at 16 KiB; results are not, since each is for its own event."""
    body = "return events.map(({n}) => ({status: 400, errormessage: n + ' \\ud83d\\ude00'.repeat(5000)}))"
    outcome = (await returned(sandbox, body, events=500)).outcomes[0]
    assert outcome.value_cut
    assert outcome.results is not None
    assert len(outcome.results) == 500
    assert all(
        message.startswith(f"{n} ") and message.endswith("[cut]") for n, (_, message) in enumerate(outcome.results)
    )
    assert max(len(message) for _, message in outcome.results) < 1100


async def test_lone_surrogates_in_messages_break_nothing(sandbox: Sandbox) -> None:
    outcome = (await returned(sandbox, "return events.map(() => ({status: 400, errormessage: '\\ud800'}))")).outcomes[0]
    assert outcome.results is not None
    assert [status for status, _ in outcome.results] == [400] * 3


async def test_a_batch_is_one_attempt_for_its_log_lines_requests_and_time(sandbox: Sandbox) -> None:
    body = "for (const {n} of events) { console.log(n); fetch('http://x.example/' + n) } return"
    run = await returned(sandbox, body)
    assert run.logs() == ["0", "1", "2"]
    assert {one.job_id for one in run.requests} == {0}
    assert len(run.requests) == 3


async def test_settings_and_events_are_fresh_for_each_batch(sandbox: Sandbox) -> None:
    """E27."""
    body = "const seen = events.length; events.length = 0; console.log(seen); return"
    run = await returned(sandbox, body)
    await run.events([{}, {}], type_="onBatch")
    assert (run.logs(0), run.logs(1)) == (["3"], ["2"])
