"""The demo's numbers: the same events every time, and expectations that add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, datetime

import orjson

from cli.demo.events import SHARES, make_events
from cli.demo.expectations import (
    CHAT,
    SURVEY,
    WAREHOUSE,
    Counts,
    Rules,
    choose_rules,
    differences,
    expected_counts,
)
from cli.demo.report import failure_reasons, read_summary
from cli.event_lines import parse_line
from onward.delivery.v1 import delivery_service_pb2 as pb
from onward.executor.v1 import outcomes_pb2

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def test_the_same_seed_gives_the_same_events() -> None:
    assert make_events(50, seed=1, now=NOW) == make_events(50, seed=1, now=NOW)
    assert make_events(50, seed=1, now=NOW) != make_events(50, seed=2, now=NOW)


def test_the_events_are_of_all_seven_types_in_their_shares_and_every_one_is_valid() -> None:
    events = make_events(2000, now=NOW)
    assert Counter(event["type"] for event in events) == SHARES
    assert len({event["messageId"] for event in events}) == 2000
    for event in events:
        assert parse_line(1, orjson.dumps(event)).message_id == event["messageId"]


def test_every_event_is_expected_to_end_once_at_each_destination() -> None:
    events = make_events(2000, now=NOW)
    counts = expected_counts(events, choose_rules(events))
    assert {name: one.total for name, one in counts.items()} == {WAREHOUSE: 2000, CHAT: 2000, SURVEY: 2000}


def test_the_demo_shows_every_way_to_end() -> None:
    events = make_events(2000, now=NOW)
    counts = expected_counts(events, choose_rules(events))
    assert counts[WAREHOUSE].bad_request == 1
    assert counts[WAREHOUSE].delivered == 1999
    assert 20 < counts[WAREHOUSE].after_retry < 200
    assert counts[CHAT].unsupported > 0
    assert counts[SURVEY].rejected > 0
    assert all(one.other == 0 for one in counts.values())


def test_the_receiver_is_busy_once_and_refuses_one_event_for_ever() -> None:
    rules = Rules("refused")
    busy = next(f"m-{number}" for number in range(10_000) if rules.is_busy_at_first(f"m-{number}"))
    assert [rules.status(busy, tries) for tries in range(3)] == [503, 200, 200]
    assert [rules.status("refused", tries) for tries in range(3)] == [400, 400, 400]
    assert not rules.is_busy_at_first("refused")


def test_a_hand_made_trio_of_events_is_counted_by_hand() -> None:
    rules = Rules("a")
    calm = next(f"m-{number}" for number in range(10_000) if not rules.is_busy_at_first(f"m-{number}"))
    busy = next(f"m-{number}" for number in range(10_000) if rules.is_busy_at_first(f"m-{number}"))
    events = [
        {"type": "track", "event": "Order Completed", "messageId": "a", "context": {}},
        {"type": "track", "event": "App Uninstalled", "messageId": busy, "context": {"traits": {}}},
        {"type": "track", "event": "App Uninstalled", "messageId": calm, "context": {}},
    ]
    assert expected_counts(events, rules) == {
        WAREHOUSE: Counts(delivered=2, after_retry=1, bad_request=1),
        CHAT: Counts(delivered=1, unsupported=2),
        SURVEY: Counts(delivered=1, after_retry=1, rejected=1, unsupported=1),
    }


def test_each_number_that_differs_is_told() -> None:
    expected = {"a": Counts(delivered=10, after_retry=1), "b": Counts(rejected=2)}
    assert differences(expected, expected) == []
    for field in fields(Counts):
        wrong = expected | {"a": replace(expected["a"], **{field.name: 99})}
        (told,) = differences(expected, wrong)
        assert told.startswith("a: 99 ")
    assert differences(expected, {"a": expected["a"]}) == ["b: 0 rejected, expected 2"]


def test_a_summary_is_read_with_unknown_failures_counted_apart() -> None:
    summary = pb.GetSummaryResponse(
        destinations=[
            pb.DestinationSummary(
                destination="workspaces/w/destinations/a",
                delivered=5,
                delivered_after_retry=2,
                failed=6,
                filtered=1,
                pending=4,
                failed_by_error={"ERROR_TYPE_MESSAGE_REJECTED": 1, "BAD_REQUEST": 2, "timeout": 3},
            )
        ]
    )
    found = read_summary(summary)["a"]
    assert found.counts == Counts(delivered=5, after_retry=2, rejected=1, bad_request=2, other=4)
    assert (found.ended, found.pending) == (12, 4)


def test_failures_are_counted_by_what_the_function_said_and_missing_handlers_together() -> None:
    unsupported, rejected = outcomes_pb2.ERROR_TYPE_UNSUPPORTED_EVENT_TYPE, outcomes_pb2.ERROR_TYPE_MESSAGE_REJECTED
    told = [
        (unsupported, "onPage is not defined"),
        (unsupported, "onAlias is not defined"),
        (unsupported, "onPage is not defined"),
        (unsupported, "Signed Up triggers no survey"),
        (unsupported, "Order Completed triggers no survey"),
        (rejected, "an e-mail address is required"),
    ]
    failed = [
        pb.Delivery(destination="workspaces/w/destinations/a", error_type=kind, error_message=message)
        for kind, message in told
    ]
    assert failure_reasons(failed) == {
        ("a", "unsupported event type", "onAlias is not defined, onPage is not defined"): 3,
        ("a", "unsupported event type", "… triggers no survey"): 2,
        ("a", "message rejected", "an e-mail address is required"): 1,
    }
