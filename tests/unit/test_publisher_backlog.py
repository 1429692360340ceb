"""What waits to be published: bounded, in order, and forgotten only when it is settled; checked before it waits."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from kit.bus.publish import BATCH_MESSAGES_MAX
from kit.errors import InvalidArgument, InvalidToken
from kit.publisher.backlog import Chunk, MemoryBacklog
from kit.publisher.errors import InvalidEvent, PublisherFull
from kit.publisher.events import EVENT_BYTES_MAX, Entry, prepared
from kit.publisher.publisher import Publisher
from kit.testing.servers import WRITE_KEY

TRACK = {"type": "track", "event": "Signed Up", "userId": "u-1"}


def entries(count: int, size: int = 10) -> list[Entry]:
    return [Entry(f"m-{number}", b"x" * size) for number in range(count)]


def taken(backlog: MemoryBacklog) -> Chunk:
    chunk = backlog.take()
    assert chunk is not None
    return chunk


def test_a_queue_takes_no_more_than_its_bound_until_something_is_settled() -> None:
    backlog = MemoryBacklog(events_max=3)
    for entry in entries(3):
        backlog.append(entry)
    chunk = taken(backlog)
    # Under way is not settled.
    with pytest.raises(PublisherFull, match="3 events wait"):
        backlog.append(Entry("m", b""))
    backlog.settle(chunk)
    backlog.append(Entry("m", b""))


def test_a_queue_is_bounded_in_bytes_and_takes_one_message_of_any_size() -> None:
    backlog = MemoryBacklog(bytes_max=100)
    backlog.append(Entry("large", b"x" * 1000))
    with pytest.raises(PublisherFull):
        backlog.append(Entry("small", b"x"))


def test_chunks_are_what_one_atomic_batch_takes_in_the_order_of_publishing() -> None:
    backlog = MemoryBacklog()
    for entry in entries(2 * BATCH_MESSAGES_MAX + 1):
        backlog.append(entry)
    sizes = [len(taken(backlog).entries) for _ in range(3)]
    assert sizes == [BATCH_MESSAGES_MAX, BATCH_MESSAGES_MAX, 1]
    assert backlog.take() is None
    assert not backlog.empty
    for entry in entries(4, 400_000):
        backlog.append(entry)
    assert [len(taken(backlog).entries) for _ in range(2)] == [2, 2]


def test_the_oldest_message_is_the_first_that_is_not_settled() -> None:
    backlog = MemoryBacklog()
    for entry in entries(2 * BATCH_MESSAGES_MAX):
        backlog.append(entry)
    first, second = taken(backlog), taken(backlog)
    backlog.settle(second)
    oldest = backlog.oldest()
    assert oldest is not None
    assert oldest.message_id == "m-0"
    backlog.settle(first)
    assert backlog.empty
    assert backlog.oldest() is None


# --- what is an event


def test_an_event_gets_a_message_id_and_the_time_when_it_was_published() -> None:
    given = dict(TRACK)
    entry = prepared(given)
    sent = orjson.loads(entry.data)
    assert (sent["messageId"], sent["event"]) == (entry.message_id, "Signed Up")
    assert sent["timestamp"].endswith("Z")
    assert given == TRACK, "the caller's event is its own"


@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
def test_a_time_and_an_id_that_an_event_has_stay(field: str) -> None:
    event = TRACK | {"messageId": "mine", field: "2026-01-01T00:00:00.000Z"}
    assert orjson.loads(prepared(event).data) == event


@pytest.mark.parametrize(
    "event",
    [
        [],
        TRACK | {"type": "purchase"},
        TRACK | {"properties": "x" * EVENT_BYTES_MAX},
        TRACK | {"properties": {1, 2}},
        TRACK | {"messageId": "two\nlines"},
        {"type": "page"},
    ],
)
def test_what_is_no_event_is_refused_at_once(event: Any) -> None:
    with pytest.raises(InvalidEvent):
        prepared(event)


def test_numbers_that_json_has_not_become_null() -> None:
    assert orjson.loads(prepared(TRACK | {"properties": {"n": math.nan}}).data)["properties"] == {"n": None}


# --- how a publisher is named


@pytest.mark.parametrize("named", [{"source": "workspaces/acme/sources/web"}, {"source": "web", "workspace": "acme"}])
def test_a_source_is_named_by_its_resource_or_its_ids(named: dict[str, str]) -> None:
    assert Publisher("nats://127.0.0.1:4222", WRITE_KEY, **named)._place == ("acme", "web")  # type: ignore[arg-type]  # names only


@pytest.mark.parametrize("named", [{"source": "web"}, {"source": "a/b"}, {"source": "web.x", "workspace": "acme"}])
def test_a_source_that_is_not_named_wholly_is_told_with_an_example(named: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="source='web' and workspace='acme'"):
        Publisher("nats://127.0.0.1:4222", WRITE_KEY, **named)  # type: ignore[arg-type]  # names only


def test_a_write_key_that_is_none_is_told() -> None:
    with pytest.raises(InvalidToken, match="onwk_"):
        Publisher("nats://127.0.0.1:4222", "onw_abcdef_0123456789abcdef", source="web", workspace="acme")
