"""Lines as events: what is sent, and what is told about the others."""

from __future__ import annotations

import json

import orjson
import pytest

from cli.event_lines import EventLine, numbered, parse_line, repeated
from kit import events as executor
from kit.publisher.errors import InvalidEvent
from kit.publisher.events import BATCH_EVENTS_MAX, EVENT_BYTES_MAX, MESSAGE_ID_MAX

TRACK = {"type": "track", "event": "Signed Up", "userId": "u-1"}


def line(**fields: object) -> bytes:
    return json.dumps(TRACK | fields).encode()


def packed(*events: object) -> bytes:
    return json.dumps({"batch": events}).encode()


def test_an_event_with_a_message_id_is_sent_byte_for_byte() -> None:
    text = b'{"type": "page",  "userId": "u", "messageId": "m-1"}'
    assert parse_line(7, text) == EventLine("m-1", text, number=7)


def test_an_event_without_a_message_id_gets_one_that_is_sent_with_it() -> None:
    sent = parse_line(1, line())
    assert json.loads(sent.data) == TRACK | {"messageId": sent.message_id}
    assert parse_line(1, line()).message_id != sent.message_id


def test_a_packed_batch_of_events_is_sent_byte_for_byte_and_counts_each_of_them() -> None:
    text = packed(TRACK, {"type": "page", "userId": "u"})
    sent = parse_line(1, text)
    assert (sent.data, sent.events, sent.problems) == (text, 2, ())


def test_of_a_packed_batch_only_what_is_an_event_is_sent() -> None:
    sent = parse_line(1, packed(TRACK, {"type": "purchase"}, TRACK | {"messageId": "m" * 257}, 7))
    assert json.loads(sent.data) == {"batch": [TRACK]}
    assert sent.events == 1
    assert [problem[:21] for problem in sent.problems] == [f"event {place} of the batch:" for place in (2, 3, 4)]


@pytest.mark.parametrize("events", [[], [TRACK] * (BATCH_EVENTS_MAX + 1)], ids=["empty", "too long"])
def test_a_packed_batch_without_events_or_with_too_many_is_refused(events: list[object]) -> None:
    with pytest.raises(InvalidEvent, match="1 to 2,500"):
        parse_line(1, packed(*events))


def test_a_repeated_line_has_other_message_ids_in_every_event() -> None:
    single = repeated(parse_line(1, line(messageId="m")), 2)
    assert (single.message_id, json.loads(single.data)["messageId"]) == ("m-2", "m-2")
    batch = parse_line(1, packed(TRACK | {"messageId": "a"}, TRACK))
    again = repeated(batch, 3)
    assert again.message_id == f"{batch.message_id}-3"
    assert json.loads(again.data) == {"batch": [TRACK | {"messageId": "a-3"}, TRACK]}


def test_a_message_id_that_gets_too_long_by_repeating_is_told() -> None:
    with pytest.raises(InvalidEvent, match="too long to be repeated"):
        repeated(parse_line(1, line(messageId="m" * 255)), 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"type": "track"', "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (line(type="purchase"), "unknown type 'purchase': it must be one of identify, track"),
        (line(type=None), 'no "type"'),
        (line(type=["track"]), "unknown type"),
        (line(userId=""), '"userId" nor "anonymousId"'),
        (line(event=None), 'a track event needs "event"'),
        (line(type="group"), 'a group event needs "groupId"'),
        (line(type="alias"), 'a alias event needs "previousId"'),
        (line(messageId=7), '"messageId" must be a string'),
        (line(event=["a"]), 'a track event needs "event"'),
        (line(messageId="m" * 257), '"messageId" has 257 characters'),
        (b'{"type": "page", "userId": "u", "x": ' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply"),
        (line(messageId="a\r\nb"), '"messageId" must be a string of one line'),
    ],
)
def test_what_is_no_event_is_told_with_what_is_missing(text: bytes, told: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        parse_line(1, text)
    assert told in str(refused.value)


def test_the_largest_event_passes_and_one_byte_more_does_not() -> None:
    room = EVENT_BYTES_MAX - len(orjson.dumps(TRACK | {"messageId": "m", "properties": ""}))
    assert parse_line(1, line(messageId="m", properties="x" * room)).message_id == "m"
    with pytest.raises(InvalidEvent, match="32768"):
        parse_line(1, line(messageId="m", properties="x" * (room + 1)))


def test_spaces_do_not_count_as_bytes_of_an_event() -> None:
    text = json.dumps(TRACK | {"properties": {f"p{n}": [] for n in range(2000)}}, indent=20).encode()
    assert len(text) > EVENT_BYTES_MAX
    assert parse_line(1, text).events == 1


def test_the_limits_are_the_executors_own() -> None:
    limits = (executor.EVENT_BYTES_MAX, executor.BATCH_EVENTS_MAX, executor.MESSAGE_ID_MAX)
    assert limits == (EVENT_BYTES_MAX, BATCH_EVENTS_MAX, MESSAGE_ID_MAX)


def test_empty_lines_are_skipped_and_still_counted() -> None:
    assert list(numbered(3, [b"a", b"  ", b"", b"b\r"])) == [(3, b"a"), (6, b"b")]
