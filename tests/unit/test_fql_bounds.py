"""What a condition does not look at, so that no event and no condition keep the others waiting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.fql import compile_condition
from kit.fql.values import ITEMS_MAX, VALUES_MAX, contained, equal


def holds(text: str, **event: Any) -> bool:
    return compile_condition(text)(event)


@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("lowercase", 4096),
        ("uppercase", 4096),
        ("number", 4096),
        ("snakecase", 2048),
        ("kebabcase", 2048),
        ("titlecase", 2048),
    ],
)
def test_functions_on_text_give_null_for_longer_texts(name: str, longest: int) -> None:
    assert holds(f"{name}(a) != null", a="0.".ljust(longest, "0"))
    assert holds(f"{name}(a) = null", a="0.".ljust(longest + 1, "0"))


@pytest.mark.parametrize(("pattern", "longest"), [("'a*'", 4096), ("'?*'", 2048), ("'*[a-z]'", 2048), ("p", 2048)])
def test_match_looks_at_no_longer_texts(pattern: str, longest: int) -> None:
    assert holds(f"match(a, {pattern})", a="a" * longest, p="*a")
    assert not holds(f"match(a, {pattern})", a="a" * (longest + 1), p="*a")


def test_contains_looks_for_texts_of_up_to_256_characters() -> None:
    assert holds("contains(a, b)", a="a" * 30_000, b="a" * 256)
    assert not holds("contains(a, b)", a="a" * 30_000, b="a" * 257)


def test_what_searches_at_once_has_no_such_limit() -> None:
    long = "ア" * 10_000
    assert holds("contains(a, 'ア') and length(a) = 30000 and a = b and bool(a) and string(a) = b", a=long, b=long)


def test_a_pattern_of_the_event_has_at_most_100_characters() -> None:
    assert holds("match(a, p)", a="a" * 100, p="a" * 100)
    assert not holds("match(a, p)", a="a" * 101, p="a" * 101)


def test_lists_and_objects_of_more_than_100_values_are_equal_to_nothing() -> None:
    # The list itself is a value too.
    fits, large = ["a"] * (VALUES_MAX - 1), ["a"] * VALUES_MAX
    assert holds("a = b and a in c", a=fits, b=list(fits), c=[fits])
    assert holds("a != b and !(a in c)", a=large, b=list(large), c=[large])
    nested = {"a": {"b": ["c"] * 94}, "d": {"e": 1}}
    assert holds("a = b", a=nested, b={**nested})
    assert not holds("a = b", a=[nested, nested], b=[nested, nested])


def test_string_of_a_list_or_object_of_more_than_100_values_is_null() -> None:
    assert holds("string(a) = string(b) and string(a) != null", a=[1] * 99, b=[1] * 99)
    assert holds("string(a) = null", a={str(n): n for n in range(VALUES_MAX)})
    assert holds("string(a) = null", a=[[[1] * 40] * 2, {"b": [1] * 20}])


def test_in_looks_at_the_first_500_items_of_an_events_list() -> None:
    items = ["a"] * (ITEMS_MAX - 1)
    assert holds("'b' in a", a=[*items, "b"])
    assert not holds("'b' in a", a=[*items, "a", "b"])


def test_in_looks_at_every_item_that_a_condition_names() -> None:
    numbers = ", ".join(str(n) for n in range(1001))
    fields = ", ".join(["a"] * 1100)
    assert holds(f"n in [{numbers}]", n=1000.0)
    assert not holds(f"n in [{numbers}]", n=True)
    assert holds(f"n in [{fields}, b]", n=1, b=1)


def test_a_list_is_looked_for_until_100_values_were_compared() -> None:
    near = ["a"] * 9
    others = [["b", *near] for _ in range(100)]
    short = [["b"]] * 200
    assert holds("x in a", x=[*near, "a"], a=[*others[:8], [*near, "a"]])
    assert not holds("x in a", x=[*near, "a"], a=[*others, [*near, "a"]])
    assert holds("x in a", x=["a"], a=[*short[:40], ["a"]])
    assert not holds("x in a", x=["a"], a=[*short, ["a"]])


small = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from([0.0, 1.0, "", "a", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(small, st.lists(small, max_size=6))
def test_a_list_holds_a_value_if_one_of_its_items_equals_it(value: Any, values: list[Any]) -> None:
    assert contained(value, values) is any(equal(value, item) for item in values)


@pytest.mark.parametrize(
    ("condition", "points"),
    [
        ("all", 0),
        ("event = 'A' and properties.total > 1 and type in ['track', 'page']", 0),
        ("match(event, 'A *')", 1),
        ("match(event, 'A?') or match(event, name)", 100),
        ("not (snakecase(event) = 'a')", 50),
        ("lowercase(event) in ['a', string(name)]", 25),
        ("contains(name, 'a') and typeof(name) = 'string'", 11),
        ("name = event and event in properties.names", 10),
        (f"event = '{'a' * 2490}'", 10),
    ],
)
def test_a_condition_costs_what_its_functions_and_its_length_may_take(condition: str, points: int) -> None:
    assert compile_condition(condition).cost == points
