"""What filters do to an event, and in which order."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.filters import (
    Action,
    AllowFields,
    Applied,
    Drop,
    DropFields,
    FilterChain,
    FilterError,
    FilterSpec,
    HashFields,
    Sample,
)
from kit.filters.sampling import place_of

EVENT: dict[str, Any] = {
    "type": "track",
    "event": "Signed Up",
    "messageId": "m-1",
    "userId": "u-1",
    "timestamp": "2024-01-01T00:00:00.000Z",
    "receivedAt": "2024-01-01T00:00:00.000Z",
    "integrations": {"All": True},
    "context": {"ip": "10.0.0.1", "traits": {"email": "ada@example.com", "name": "Ada"}},
    "properties": {"plan": "pro", "price": 19.0, "gift": None, "tags": ["a"], "a.b": 1},
    "custom": "x",
}
EMAIL = "context.traits.email"
EMAIL_HASH = hashlib.sha256(b"ada@example.com").hexdigest()


def never() -> float:
    raise AssertionError("no sample needs chance here")


def spec(*actions: Action, condition: str = "all", name: str = "f", enabled: bool = True) -> FilterSpec:
    return FilterSpec(name=name, actions=actions, condition=condition, enabled=enabled)


def result(*specs: FilterSpec, event: dict[str, Any] = EVENT) -> Any:
    """Apply to a copy, and see that the copy is as it was."""
    given_event = copy.deepcopy(event)
    applied = FilterChain(specs).apply(given_event, never)
    assert given_event == event
    return applied.event


def test_an_event_that_no_filter_matches_is_the_same_object() -> None:
    event = copy.deepcopy(EVENT)
    chain = FilterChain([spec(Drop(), HashFields((EMAIL,)), condition="type = 'page'")])
    assert chain.apply(event, never) == Applied(event, "")
    assert chain.apply(event, never).event is event


def test_actions_that_find_nothing_to_change_leave_the_same_object() -> None:
    event = copy.deepcopy(EVENT)
    actions = (
        DropFields(("absent", "properties.absent", "userName.x", "properties.tags.a", "properties.plan.x")),
        AllowFields(("properties", "context", "custom")),
        HashFields(("absent", "properties.gift", "properties.tags.x")),
    )
    assert FilterChain([spec(*actions)]).apply(event, never).event is event


def test_a_drop_drops_and_names_its_filter() -> None:
    chain = FilterChain([spec(Drop(), condition="type = 'page'", name="one"), spec(Drop(), name="two")])
    assert chain.apply(EVENT, never) == Applied(None, "two")


def test_a_disabled_filter_does_nothing_even_if_it_is_not_valid() -> None:
    chain = FilterChain([spec(Drop(), enabled=False), spec(Drop(), condition="(", enabled=False)])
    assert chain.is_empty
    assert chain.apply(EVENT, never).event is EVENT


def test_an_enabled_filter_that_is_not_valid_stops_the_chain_from_being_built() -> None:
    with pytest.raises(FilterError, match="filter f: condition: line 1, column 2") as caught:
        FilterChain([spec(Drop(), condition="(")])
    assert caught.value.violations[0][0] == "condition"


def test_fields_are_dropped_where_they_are_and_nothing_else_is() -> None:
    got = result(spec(DropFields((EMAIL, "properties.plan", r"properties.a\.b", "custom", "context.traits.absent"))))
    assert got["context"] == {"ip": "10.0.0.1", "traits": {"name": "Ada"}}
    assert got["properties"] == {"price": 19.0, "gift": None, "tags": ["a"]}
    assert "custom" not in got
    assert got["userId"] == "u-1"


def test_a_field_whose_value_is_null_can_be_dropped() -> None:
    assert "gift" not in result(spec(DropFields(("properties.gift",))))["properties"]


@pytest.mark.parametrize("paths", [("context", EMAIL), (EMAIL, "context")])
def test_a_whole_object_that_is_named_goes_with_all_that_is_named_within_it(paths: tuple[str, ...]) -> None:
    assert "context" not in result(spec(DropFields(paths)))
    assert result(spec(AllowFields(paths)))["context"] == EVENT["context"]
    assert isinstance(result(spec(HashFields(paths)))["context"], str)


def test_only_allowed_fields_and_the_envelope_are_left() -> None:
    got = result(spec(AllowFields(("properties.plan", EMAIL))))
    assert got == {
        "type": "track",
        "event": "Signed Up",
        "messageId": "m-1",
        "userId": "u-1",
        "timestamp": "2024-01-01T00:00:00.000Z",
        "receivedAt": "2024-01-01T00:00:00.000Z",
        "integrations": {"All": True},
        "context": {"traits": {"email": "ada@example.com"}},
        "properties": {"plan": "pro"},
    }


def test_an_allow_list_leaves_the_objects_that_handlers_read() -> None:
    got = result(spec(AllowFields(("context.ip",))))
    assert got["properties"] == {}
    assert got["context"] == {"ip": "10.0.0.1"}
    assert "traits" not in got


def test_what_is_no_object_is_not_let_through_for_a_field_within_it() -> None:
    event = EVENT | {"properties": [{"plan": "pro", "secret": 1}]}
    assert "properties" not in result(spec(AllowFields(("properties.plan",))), event=event)


def test_two_allow_lists_leave_what_both_allow() -> None:
    got = result(
        spec(AllowFields(("properties.plan", "properties.price"))), spec(AllowFields(("properties.price", "custom")))
    )
    assert got["properties"] == {"price": 19.0}
    assert "custom" not in got


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada@Example.com ", " Ada@Example.com "),
        ("", ""),
        ("ü", "ü"),
        (42, "42"),
        (42.0, "42"),
        (19.5, "19.5"),
        (True, "true"),
        (["a", 1], '["a",1]'),
        ({"b": "ü", "a": None}, '{"b":"ü","a":null}'),
    ],
)
def test_a_hash_is_the_sha256_of_the_text_as_it_is(value: Any, text: str) -> None:
    got = result(spec(HashFields(("properties.x",))), event=EVENT | {"properties": {"x": value, "y": 1}})
    assert got["properties"] == {"x": hashlib.sha256(text.encode()).hexdigest(), "y": 1}


def test_null_and_absent_fields_are_not_hashed() -> None:
    got = result(spec(HashFields(("properties.gift", "properties.absent", "userId"))))
    assert got["properties"] == EVENT["properties"]
    assert got["userId"] == hashlib.sha256(b"u-1").hexdigest()


def test_a_text_with_half_a_surrogate_pair_and_a_very_deep_value_are_hashed_too() -> None:
    deep: Any = "secret"
    for _ in range(10_000):
        deep = [deep]
    event = EVENT | {"properties": {"half": "\ud800", "deep": deep}}
    got = FilterChain([spec(HashFields(("properties.half", "properties.deep")))]).apply(event, never).event
    assert got is not None
    assert all(len(value) == 64 for value in got["properties"].values())


def test_a_changed_event_shares_what_did_not_change() -> None:
    event = copy.deepcopy(EVENT)
    got = FilterChain([spec(HashFields((EMAIL,)))]).apply(event, never).event
    assert got is not None
    assert got["properties"] is event["properties"]
    assert got["context"]["traits"] == {"email": EMAIL_HASH, "name": "Ada"}


# Order


def test_samples_come_before_drops_whatever_the_order_of_the_filters() -> None:
    chain = FilterChain([spec(Drop(), name="drop"), spec(Sample(0), name="sample")])
    assert chain.apply(EVENT, lambda: 0.5).dropped_by == "sample"


def test_drops_come_before_changes_and_the_first_filter_that_drops_is_named() -> None:
    specs = [spec(HashFields((EMAIL,)), name="hash"), spec(Drop(), name="first"), spec(Drop(), name="second")]
    assert FilterChain(specs).apply(EVENT, never) == Applied(None, "first")


def test_fields_are_dropped_before_others_are_allowed_and_hashed_last() -> None:
    drop, allow, hashed = (
        DropFields(("properties.price",)),
        AllowFields(("properties.price", "properties.plan", EMAIL)),
        HashFields((EMAIL, "properties.price", "context.ip")),
    )
    one = result(spec(hashed, allow, drop))
    several = result(spec(hashed), spec(allow), spec(drop))
    assert one == several
    assert one["properties"] == {"plan": "pro"}
    assert one["context"] == {"traits": {"email": EMAIL_HASH}}


def test_a_hash_of_an_object_is_that_of_what_was_left_of_it() -> None:
    got = result(spec(HashFields(("properties",))), spec(DropFields((r"properties.a\.b", "properties.tags"))))
    assert got["properties"] == hashlib.sha256(b'{"plan":"pro","price":19.0,"gift":null}').hexdigest()


def test_conditions_of_one_owner_see_the_event_as_it_came() -> None:
    got = result(
        spec(DropFields(("properties.plan",))),
        spec(HashFields((EMAIL,)), condition="properties.plan = 'pro'"),
    )
    assert "plan" not in got["properties"]
    assert got["context"]["traits"]["email"] == EMAIL_HASH


def test_a_destination_sees_only_what_the_workspace_and_the_source_have_left() -> None:
    workspace = [spec(HashFields((EMAIL,)), name="workspace")]
    source = [spec(DropFields(("properties.plan",)), name="source")]
    destination = [
        spec(Drop(), condition="properties.plan = 'pro' or contains(context.traits.email, '@')", name="peeks"),
        spec(Drop(), condition=f"context.traits.email = '{EMAIL_HASH}'", name="destination"),
    ]
    assert FilterChain(workspace, source, destination).apply(EVENT, never).dropped_by == "destination"


def test_a_drop_of_the_workspace_comes_before_a_sample_of_the_destination() -> None:
    chain = FilterChain([spec(Drop(), name="workspace")], [], [spec(Sample(0), name="destination")])
    assert chain.apply(EVENT, never).dropped_by == "workspace"


# Samples


@given(st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_a_random_sample_keeps_what_falls_below_its_rate(rate: float, chance: float) -> None:
    applied = FilterChain([spec(Sample(rate))]).apply(EVENT, lambda: chance)
    assert (applied.event is EVENT) is (chance < rate)


@pytest.mark.parametrize("rate", [0, 0.01, 0.1, 0.25, 0.5, 0.9, 1])
@pytest.mark.parametrize("form", ["user-{}", "{}", "{}@example.com"])
def test_a_sample_by_a_field_keeps_its_share_of_10000_keys(rate: float, form: str) -> None:
    chain = FilterChain([spec(Sample(rate, "userId"))])
    kept = sum(chain.apply({"userId": form.format(key)}, never).event is not None for key in range(10_000))
    assert abs(kept / 10_000 - rate) <= 0.01


@given(st.text(min_size=1) | st.integers() | st.booleans(), st.floats(0, 1), st.floats(0, 1))
def test_a_value_is_kept_always_or_never_and_by_every_higher_rate(value: Any, one: float, other: float) -> None:
    low, high = sorted((one, other))
    kept = [
        FilterChain([spec(Sample(rate, "properties.key"), name=name)])
        .apply({"properties": {"key": value}}, never)
        .event
        is not None
        for rate, name in [(low, "a"), (low, "b"), (high, "c")]
    ]
    assert kept[0] == kept[1]
    assert kept[2] or not kept[0]


@given(st.text())
def test_a_place_lies_from_0_to_below_1(text: str) -> None:
    assert 0 <= place_of(text) < 1


def test_the_place_of_a_value_never_changes() -> None:
    """Who was kept before an upgrade is kept after it."""
    assert place_of("u-1") == int(hashlib.sha256(b"u-1").hexdigest()[:12], 16) / 2**48
    assert place_of(42) == place_of("42") == place_of(42.0)


def test_an_event_without_the_field_is_sampled_at_random() -> None:
    chain = FilterChain([spec(Sample(0.5, "userId"))])
    for event in ({}, {"userId": None}):
        assert chain.apply(event, lambda: 0.4).event is event
        assert chain.apply(event, lambda: 0.6).event is None


def test_a_list_of_more_than_100_values_is_sampled_at_random() -> None:
    """Nobody's id is so long, and to write it takes a millisecond."""
    chain = FilterChain([spec(Sample(0.5, "ids"))])
    for ids in ([1] * 100, {"a": [1] * 99}):
        assert chain.apply({"ids": ids}, lambda: 0.4).event is not None
        assert chain.apply({"ids": ids}, lambda: 0.6).event is None
    assert chain.apply({"ids": [1] * 99}, never) == chain.apply({"ids": [1] * 99}, never)


def test_a_rate_of_1_keeps_all_and_a_rate_of_0_none() -> None:
    assert FilterChain([spec(Sample(1))]).apply(EVENT, lambda: 1 - 2**-53).event is EVENT
    assert FilterChain([spec(Sample(0))]).apply(EVENT, lambda: 0.0).event is None


# Whatever comes

names = st.sampled_from(["type", "userId", "properties", "context", "traits", "x", "y"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just(1.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
events = st.dictionaries(names, values, max_size=7)
paths = st.lists(
    st.lists(st.sampled_from(["properties", "context", "x", "y", "traits"]), min_size=1, max_size=3).map(".".join),
    min_size=1,
    max_size=4,
).map(tuple)
actions = (
    st.builds(DropFields, paths)
    | st.builds(AllowFields, paths)
    | st.builds(HashFields, paths)
    | st.builds(Sample, st.floats(0, 1), st.sampled_from(["", "x", "properties.x"]))
    | st.just(Drop())
)
filters = st.builds(
    FilterSpec,
    name=st.sampled_from(["f", "g"]),
    actions=st.lists(actions, min_size=1, max_size=3, unique_by=type).map(tuple),
    condition=st.sampled_from(["all", "x = null", "properties.x = true", "typeof(x) = 'number'"]),
)


@given(st.lists(st.lists(filters, max_size=3), max_size=3), events)
def test_no_event_is_ever_changed_in_place_and_no_filter_fails(
    groups: list[list[FilterSpec]], event: dict[str, Any]
) -> None:
    before = repr(event)
    applied = FilterChain(*groups).apply(event, lambda: 0.5)
    assert repr(event) == before
    assert (applied.event is None) is bool(applied.dropped_by)


def reaches(value: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


@given(paths, events)
def test_a_dropped_field_is_gone(given_paths: tuple[str, ...], event: dict[str, Any]) -> None:
    got = FilterChain([spec(DropFields(given_paths))]).apply(event, never).event
    assert not any(reaches(got, path) for path in given_paths)


@given(paths, events)
def test_an_allow_list_lets_no_other_value_through(given_paths: tuple[str, ...], event: dict[str, Any]) -> None:
    event = event | {"properties": {"secret": 1, "x": {"secret": 2}}, "traits": {"secret": 3}}
    got = FilterChain([spec(AllowFields(given_paths))]).apply(event, never).event
    for path in ("properties.secret", "properties.x.secret", "traits.secret"):
        wanted = any(path == allowed or path.startswith(f"{allowed}.") for allowed in given_paths)
        assert reaches(got, path) is wanted
