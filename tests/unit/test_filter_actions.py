"""What is refused when a filter is saved: each mistake at its field, with what to do."""

from __future__ import annotations

import pytest

from kit.filters import (
    FILTERS_MAX,
    PATHS_MAX,
    Action,
    AllowFields,
    Drop,
    DropFields,
    FilterSpec,
    HashFields,
    Sample,
    violations,
)


def test_a_destination_may_have_ten_filters() -> None:
    assert FILTERS_MAX == 10


def test_a_filter_with_one_action_of_each_kind_is_accepted() -> None:
    path = ("properties.email", r"context.first\ name", "traits", "custom.field")
    actions = (Sample(0.5, "userId"), Drop(), DropFields(path), AllowFields(path), HashFields(path))
    assert violations(FilterSpec("f", actions, "type = 'track'")) == []


@pytest.mark.parametrize(
    "action",
    [
        Sample(0),
        Sample(1),
        HashFields(("userId", "anonymousId", "groupId", "previousId", "name")),
        DropFields(("integrations", "sentAt", "originalTimestamp", "name")),
        AllowFields(("type", "userId", "in")),
        DropFields(tuple(f"properties.p{index}" for index in range(PATHS_MAX))),
    ],
)
def test_what_harms_no_event_is_accepted(action: Action) -> None:
    assert violations(FilterSpec("f", (action,))) == []


@pytest.mark.parametrize(
    ("action", "field", "words"),
    [
        (DropFields(()), "paths", "needs 1 to 100"),
        (AllowFields(()), "paths", "needs 1 to 100"),
        (HashFields(("a",) * 101), "paths", "has 101 fields"),
        (DropFields(("properties.a", "properties..b")), "paths[1]", "line 1, column 12: expected the name"),
        (HashFields(("context. ip",)), "paths[0]", "after the dot"),
        (AllowFields(("",)), "paths[0]", "expected the name of a field"),
        (DropFields(("type",)), "paths[0]", "`type` can't be dropped"),
        (DropFields(("messageId",)), "paths[0]", "would not be valid"),
        (DropFields(("timestamp",)), "paths[0]", "would not be valid"),
        (DropFields(("receivedAt",)), "paths[0]", "would not be valid"),
        (DropFields(("event.x",)), "paths[0]", "would not be valid"),
        (DropFields((r"\userId",)), "paths[0]", "hash it instead"),
        (DropFields(("anonymousId",)), "paths[0]", "hash it instead"),
        (DropFields(("groupId",)), "paths[0]", "hash it instead"),
        (DropFields(("previousId",)), "paths[0]", "hash it instead"),
        (HashFields(("type",)), "paths[0]", "can't be hashed"),
        (HashFields(("messageId",)), "paths[0]", "can't be hashed"),
        (HashFields(("event",)), "paths[0]", "can't be hashed"),
        (HashFields(("integrations.All",)), "paths[0]", "can't be hashed"),
        (HashFields(("sentAt",)), "paths[0]", "can't be hashed"),
        (Sample(-0.1), "rate", "from 0"),
        (Sample(1.1), "rate", "from 0"),
        (Sample(50), "rate", "from 0"),
        (Sample(float("nan")), "rate", "from 0"),
        (Sample(True), "rate", "from 0"),
        (Sample(0.5, "user Id"), "path", "no meaning here"),
    ],
)
def test_what_would_break_or_do_nothing_is_refused_at_its_field(action: Action, field: str, words: str) -> None:
    ((where, message),) = violations(FilterSpec("f", (Drop(), action)))
    assert where == f"actions[1].{field}"
    assert words in message


def test_a_filter_without_actions_is_refused() -> None:
    assert violations(FilterSpec("f", ())) == [("actions", "a filter needs at least one action")]


def test_an_action_given_twice_is_refused() -> None:
    found = violations(FilterSpec("f", (Sample(0.5), Sample(0.5, "userId"))))
    assert found == [("actions", "Sample is here 2 times; once is enough")]


def test_a_bad_condition_is_refused_with_line_and_column() -> None:
    found = violations(FilterSpec("f", (Drop(),), "type = 'track' and\nlenght(event) > 1"))
    assert found == [("condition", "line 2, column 1: there is no function `lenght`; did you mean `length`?")]


def test_all_mistakes_are_told_at_once() -> None:
    found = violations(FilterSpec("f", (DropFields(("type", "properties.ok", ".")), Sample(2)), "("))
    assert [where for where, _ in found] == [
        "condition",
        "actions[0].paths[0]",
        "actions[0].paths[2]",
        "actions[1].rate",
    ]
