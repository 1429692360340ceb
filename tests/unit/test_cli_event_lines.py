"""Lines as events: what is sent, and what is told about the others."""

from __future__ import annotations

import json

import pytest

from cli.event_lines import EVENT_BYTES_MAX, InvalidEvent, numbered, parse_event

TRACK = {"type": "track", "event": "Signed Up", "userId": "u-1"}


def line(**fields: object) -> bytes:
    return json.dumps(TRACK | fields).encode()


def test_an_event_with_a_message_id_is_sent_byte_for_byte() -> None:
    text = b'{"type": "page",  "userId": "u", "messageId": "m-1"}'
    assert parse_event(text) == ("m-1", text)


def test_an_event_without_a_message_id_gets_one_that_is_sent_with_it() -> None:
    message_id, data = parse_event(line())
    assert json.loads(data) == TRACK | {"messageId": message_id}
    assert parse_event(line())[0] != message_id


def test_a_packed_batch_passes_as_it_is() -> None:
    text = b'{"batch": [{"type": "page", "userId": "u"}]}'
    assert parse_event(text)[1] == text


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
        (line(messageId="a\r\nb"), '"messageId" must be a string of one line'),
    ],
)
def test_what_is_no_event_is_told_with_what_is_missing(text: bytes, told: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        parse_event(text)
    assert told in str(refused.value)


def test_the_largest_event_passes_and_one_byte_more_does_not() -> None:
    room = EVENT_BYTES_MAX - len(line(messageId="m", properties=""))
    assert parse_event(line(messageId="m", properties="x" * room))[0] == "m"
    with pytest.raises(InvalidEvent, match="32768"):
        parse_event(line(messageId="m", properties="x" * (room + 1)))


def test_empty_lines_are_skipped_and_still_counted() -> None:
    assert list(numbered(3, [b"a", b"  ", b"", b"b\r"])) == [(3, b"a"), (6, b"b")]
