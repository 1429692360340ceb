"""Samples of a source: what is looked through for them, and what may be shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from kit.bus.stored import StoredMessage
from kit.clock import FakeClock
from kit.errors import Overloaded
from kit.events import EVENT_TYPES
from onward.executor.v1 import execution_service_pb2 as pb
from onward.registry.v1 import internal_service_pb2 as registry_pb
from onward.registry.v1 import resources_pb2 as r
from services.executor.handlers import samples
from services.executor.handlers.samples import Samples
from services.executor.handlers.trial_places import TrialPlaces
from services.executor.handlers.turns import Turns

PAGE = {"type": "page", "userId": "u1"}
WEB = "workspaces/acme/sources/web"


def message(sequence: int, *events: Any) -> StoredMessage:
    content = events[0] if len(events) == 1 else {"batch": list(events)}
    return StoredMessage(sequence, 1_767_323_045_000_000_000 + sequence, json.dumps(content).encode())


class Source:
    """Messages of a source, the newest first; counts what is read."""

    def __init__(
        self, messages: Iterable[StoredMessage], rule: r.FilterRule | None = None, *, hangs: bool = False
    ) -> None:
        self._messages = messages
        self._hangs = hangs
        self._rule = rule
        self.read = 0

    async def stored(self, workspace: str, source: str) -> AsyncIterator[StoredMessage]:
        assert (workspace, source) == ("acme", "web")
        for one in self._messages:
            self.read += 1
            yield one
        if self._hangs:
            await asyncio.Event().wait()

    async def filters(self, name: str) -> registry_pb.ReadSourceFiltersResponse:
        assert name == WEB
        if self._rule is None:
            return registry_pb.ReadSourceFiltersResponse()
        found = r.Filter(name=f"{WEB}/filters/one", rule=self._rule)
        return registry_pb.ReadSourceFiltersResponse(filters=[registry_pb.FilterGroup(filters=[found])])

    async def list(self, **wanted: Any) -> list[str]:
        handler = Samples(self.stored, self.filters, Turns(FakeClock()))
        answer = await handler.list(pb.ListSampleEventsRequest(parent=WEB, **wanted), "acme", "web")
        return [one.message_id for one in answer.events]


def rule(condition: str, **action: Any) -> r.FilterRule:
    return r.FilterRule(title="one", enabled=True, condition=condition, actions=[r.FilterAction(**action)])


async def test_packed_events_come_the_last_first_and_bad_ones_not_at_all() -> None:
    source = Source([message(9, {**PAGE, "messageId": "b"}), message(3, PAGE, {"type": "odd"}, PAGE)])
    assert await source.list() == ["b", "acme-3-2", "acme-3-0"]


async def test_no_more_is_read_than_is_shown() -> None:
    source = Source([message(9, *[PAGE] * 30), message(8, PAGE)])
    assert len(await source.list(page_size=5)) == 5
    assert source.read == 1


async def test_filters_that_drop_everything_end_the_search_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MESSAGES_READ_MAX", 7)
    source = Source((message(number, PAGE) for number in range(100, 0, -1)), rule("all", drop=True))
    assert await source.list() == []
    assert source.read == 7


async def test_large_messages_end_the_search_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "BYTES_READ_MAX", 1_000)
    source = Source(message(number, {"type": "x" * 400}) for number in range(100, 0, -1))
    assert await source.list() == []
    assert source.read == 3


class BusyClock(FakeClock):
    """A millisecond passes from one look to the next, so that ten of them make a turn."""

    def monotonic(self) -> float:
        self.advance(0.001)
        return super().monotonic()


@pytest.mark.parametrize("event", [PAGE, {"type": "odd"}])
async def test_what_is_looked_through_takes_turns_with_everybody_else(event: Any) -> None:
    source = Source([message(1, *[event] * 1000)])
    handler = Samples(source.stored, source.filters, Turns(BusyClock()))
    request = pb.ListSampleEventsRequest(parent=WEB, type=EVENT_TYPES["track"])  # type: ignore[arg-type]  # a number
    looking = asyncio.ensure_future(handler.list(request, "acme", "web"))
    others = 0
    while not looking.done():
        await asyncio.sleep(0)
        others += 1
    assert (len(looking.result().events), others >= 100) == (0, True)


async def test_a_workspace_looks_once_at_a_time_and_leaves_others_theirs() -> None:
    places = TrialPlaces(most=2, most_per_workspace=1, wait_s=0, too_many="Too many look.")
    source = Source([], hangs=True)
    handler = Samples(source.stored, source.filters, Turns(FakeClock()), places)
    looking = asyncio.ensure_future(handler.list(pb.ListSampleEventsRequest(parent=WEB), "acme", "web"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="Too many look"):
        await handler.list(pb.ListSampleEventsRequest(parent=WEB), "acme", "web")
    async with places.taken("apex"):
        looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


async def test_a_stream_that_does_not_answer_ends_the_search_with_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samples, "READ_S", 0.0)
    source = Source([message(1, PAGE)], hangs=True)
    assert await source.list() == ["acme-1-0"]


async def test_a_filter_that_can_not_be_applied_hides_everything() -> None:
    source = Source([message(1, PAGE)], rule("no fql at (", drop=True))
    assert await source.list() == []
    assert source.read == 0


async def test_an_event_that_fields_are_dropped_from_is_shown_without_them() -> None:
    without_ip = rule("all", drop_fields=r.FieldPaths(paths=["context.ip"]))
    source = Source([message(1, {**PAGE, "context": {"ip": "10.0.0.1"}})], without_ip)
    handler = Samples(source.stored, source.filters, Turns(FakeClock()))
    (found,) = (await handler.list(pb.ListSampleEventsRequest(parent=WEB), "acme", "web")).events
    assert json.loads(found.event)["context"] == {}
