"""What is accepted as an event, and what a handler is given of it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from kit.events import (
    EVENT_BYTES_MAX,
    EVENT_TYPES,
    UNMATCHED_MAX,
    Refused,
    accept,
    parse_message,
    unmatched,
    wants,
)

# 2026-01-02T03:04:05.678Z
RECEIVED_AT_US = 1_767_323_045_678_000


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1", **fields}


def accepted(document: dict[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = orjson.loads(accept(document, RECEIVED_AT_US, "made", 100_000).payload)
    return payload


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_type_of_the_spec_is_accepted(kind: str) -> None:
    document = {"type": kind, "userId": "u1", "event": "e", "groupId": "g", "previousId": "p"}
    assert accept(document, RECEIVED_AT_US, "made", 100_000).type == kind


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "invalid_json"),
        (b"[1]", "not_an_object"),
        (b'{"batch": []}', "invalid_batch"),
        (b'{"batch": 3}', "invalid_batch"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_message(data)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("text", "not_an_object"),
        (event(type="order"), "unknown_type"),
        (event(type=["track"]), "unknown_type"),
        ({"collection": "users", "objects": []}, "object_source"),
        (event(userId=""), "missing_user"),
        (event(event=""), "missing_event"),
        (event(event={"a": 1}), "missing_event"),
        ({"type": "group", "userId": "u"}, "missing_groupId"),
        ({"type": "alias", "userId": "u"}, "missing_previousId"),
        (event(messageId=7), "invalid_message_id"),
        (event(messageId="m" * 300), "invalid_message_id"),
        (event(properties="x" * EVENT_BYTES_MAX), "too_large"),
        (event(properties=json.loads("[" * 300 + "]" * 300)), "too_deep"),
    ],
)
def test_what_is_no_event_is_refused_with_its_reason(document: Any, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        accept(document, RECEIVED_AT_US, "made", 100_000)
    assert refused.value.reason == reason


def test_a_packed_batch_gives_its_events() -> None:
    assert parse_message(b'{"batch": [{"a": 1}, 2]}') == [{"a": 1}, 2]


def test_an_event_without_a_message_id_gets_the_one_that_is_made_for_it() -> None:
    document = event()
    del document["messageId"]
    assert accepted(document)["messageId"] == "made"


def test_the_timestamp_is_corrected_by_the_skew_of_the_senders_clock() -> None:
    given = event(originalTimestamp="2020-01-01T00:00:00.000Z", sentAt="2020-01-01T00:00:10.000Z")
    result = accepted(given)
    assert result["receivedAt"] == "2026-01-02T03:04:05.678Z"
    assert result["timestamp"] == "2026-01-02T03:03:55.678Z"


def test_a_timestamp_without_sent_at_is_kept() -> None:
    result = accepted(event(timestamp="2020-01-01T01:00:00+01:00"))
    assert result["timestamp"] == "2020-01-01T00:00:00.000Z"
    assert result["originalTimestamp"] == "2020-01-01T01:00:00+01:00"


@pytest.mark.parametrize("text", ["yesterday", "", 5, None, "9999-99-99", "0001-01-01T00:00:00+14:00"])
def test_a_timestamp_that_is_none_becomes_the_time_of_receipt(text: Any) -> None:
    assert accepted(event(timestamp=text))["timestamp"] == "2026-01-02T03:04:05.678Z"


@pytest.mark.parametrize(
    ("integrations", "expected"),
    [
        ({}, True),
        ({"All": True}, True),
        ({"All": False}, False),
        ({"All": False, "crm": True}, True),
        ({"All": False, "My CRM": True}, True),
        ({"My CRM": False}, False),
        ({"crm": {"option": 1}, "All": False}, True),
        ({"other": True, "All": False}, False),
    ],
)
def test_the_integrations_object_is_obeyed(integrations: dict[str, Any], expected: bool) -> None:
    taken = accept(event(integrations=integrations), RECEIVED_AT_US, "made", 0)
    assert wants(taken, "crm", "My CRM") is expected


@pytest.mark.parametrize(
    ("integrations", "expected"),
    [
        ({"All": False, "crm": True, "My CRM": {"option": 1}}, []),
        ({"All": False, "CRM": True}, ["CRM"]),
        ({"crm": False, "my crm": True, "mail": True}, ["my crm", "mail"]),
        ({"x" * 300: True}, ["x" * 100]),
        ({}, []),
    ],
)
def test_names_that_are_no_destinations_are_found(integrations: dict[str, Any], expected: list[str]) -> None:
    taken = accept(event(integrations=integrations), RECEIVED_AT_US, "made", 0)
    assert unmatched(taken, [("crm", "My CRM")]) == expected


def test_of_many_names_in_one_event_some_are_found() -> None:
    taken = accept(event(integrations={f"n-{number}": True for number in range(100)}), RECEIVED_AT_US, "made", 0)
    assert len(unmatched(taken, [])) == UNMATCHED_MAX
