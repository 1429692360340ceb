"""Shapes of errors, windows and points of series: what numbers are made of."""

from __future__ import annotations

import re
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.delivery.v1 import numbers_pb2 as pb
from onward.executor.v1 import outcomes_pb2
from services.delivery.domain.latency import bucket_ms, percentiles_us
from services.delivery.domain.shapes import (
    SHAPE_LENGTH_MAX,
    error_shape,
    group_name,
    group_number,
    message_shape,
    overflow_number,
    parse_group_name,
)
from services.delivery.domain.windows import POINTS_MAX, Window, grid_of
from services.delivery.errors import TooManyPoints

WINDOWS = st.tuples(st.integers(0, 40_000_000), st.integers(1, 3_000)).map(lambda one: Window(one[0], sum(one)))
WORDS = st.text("abcdefghijklmnop ", min_size=1, max_size=30).map(lambda text: " ".join(text.split()) or "a")
TEXTS = st.text(
    st.characters(blacklist_characters='"\n\r', blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=100
)


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ("Request failed with status 503", "Request failed with status <number>"),
        ("connect ECONNREFUSED 127.0.0.1:8080", "connect ECONNREFUSED <number>"),
        ("user u17 is unknown", "user <id> is unknown"),
        ("customer cus_9s6XKzkNRiz8i3 isn't there, can't go on", "customer <id> isn't there, can't go on"),
        ("no ada@example.com in list", "no <email> in list"),
        ("Cannot read properties of null (reading 'email')", "Cannot read properties of null (reading <string>)"),
        ('{"error": "quota", "left": 5, "user_17": 3}', '{"error": <string>, "left": <number>, <string>: <number>}'),
        ("at 2026-03-01T12:00:00.123Z", "at <time>"),
        ("hash 5e884898da280471 differs", "hash <hex> differs"),
        ("order 018f0000-0001-7000-8000-000000000001 exists", "order <uuid> exists"),
        ("two\n  lines", "two lines"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_differs_from_one_error_to_the_next_is_a_placeholder(message: str, shape: str) -> None:
    assert message_shape(message) == shape


@given(WORDS, st.integers(), st.integers(), WORDS)
def test_numbers_make_no_difference(before: str, one: int, other: int, after: str) -> None:
    assert message_shape(f"{before} {abs(one)} {after}") == message_shape(f"{before} {abs(other)} {after}")


@given(WORDS, TEXTS, TEXTS)
def test_quoted_texts_make_no_difference(before: str, one: str, other: str) -> None:
    assert message_shape(f'{before} "{one}" ended') == message_shape(f'{before} "{other}" ended')


@given(WORDS, st.uuids(), st.uuids())
def test_uuids_make_no_difference(before: str, one: UUID, other: UUID) -> None:
    assert message_shape(f"{before} {one}, ended") == message_shape(f"{before} {other}, ended")


@given(WORDS, st.from_regex(r"[a-z][a-z0-9.]{0,20}[a-z]@[a-z]{1,10}\.(com|org|co)", fullmatch=True))
def test_addresses_of_people_are_not_in_a_shape(before: str, email: str) -> None:
    assert message_shape(f"{before} {email} ended") == f"{before} <email> ended"


@given(st.text(max_size=2000))
def test_a_shape_is_short_and_has_no_digit(message: str) -> None:
    shape = message_shape(message)
    assert len(shape) <= SHAPE_LENGTH_MAX
    assert not re.search(r"\d", shape)


@given(st.sampled_from(["'", '"', "a", "1", "a.", "a@", "-", "0x", "`", "{", '"a'])
       .flatmap(lambda part: st.integers(1, 5000).map(lambda times: part * times)))  # fmt: skip
def test_no_message_takes_long(message: str) -> None:
    """Hypothesis' own deadline is 200 ms; it is a tenth of a millisecond for a usual one."""
    message_shape(message)


def test_a_group_is_of_one_destination_type_status_name_and_shape() -> None:
    bad, retry = outcomes_pb2.ERROR_TYPE_BAD_REQUEST, outcomes_pb2.ERROR_TYPE_RETRY
    one = error_shape(bad, "Error", 404, "no user 17")
    assert group_number("crm", one) == group_number("crm", error_shape(bad, "Error", 404, "no user 18"))
    others = [
        group_number("mail", one),
        group_number("crm", error_shape(retry, "Error", 404, "no user 17")),
        group_number("crm", error_shape(bad, "Error", 410, "no user 17")),
        group_number("crm", error_shape(bad, "TypeError", 404, "no user 17")),
        group_number("crm", error_shape(bad, "Error", 404, "no group 17")),
        overflow_number("crm", bad),
        overflow_number("crm", retry),
    ]
    assert len({group_number("crm", one), *others}) == len(others) + 1


@given(st.integers(1, 2**63 - 1))
def test_the_id_of_a_group_is_read_as_it_is_written(number: int) -> None:
    assert parse_group_name(group_name(number)) == number


@pytest.mark.parametrize("text", ["e", "e12", "x0123456789abcdef", "e8000000000000000", "e0123456789abcdeg"])
def test_what_is_no_id_of_a_group_is_none(text: str) -> None:
    assert parse_group_name(text) is None
    assert group_name(0) == ""


@given(WINDOWS)
def test_a_window_is_its_hours_and_the_minutes_that_they_lack_less_those_that_they_have_too_many(
    window: Window,
) -> None:
    counted: Counter[int] = Counter()
    for first, last, sign in window.minutes:
        counted.update(dict.fromkeys(range(first, last), sign))
    for first, last, _ in window.hours:
        counted.update(range(first * 60, last * 60))
    assert {minute: count for minute, count in counted.items() if count} == dict.fromkeys(range(*window), 1)
    assert sum(last - first for first, last, _ in window.minutes) <= 60


@given(WINDOWS)
def test_the_window_before_ends_where_the_window_begins_and_is_as_long(window: Window) -> None:
    before = window.before
    assert before.last == window.first
    assert before.last - before.first == min(window.last - window.first, window.first)


@given(WINDOWS)
def test_points_cover_a_window_in_whole_intervals(window: Window) -> None:
    grid = grid_of(window, pb.SERIES_INTERVAL_UNSPECIFIED)
    points = list(grid.points())
    assert 0 < len(points) == len(grid) <= POINTS_MAX
    assert all(point % grid.step == 0 for point in points)
    assert points[0] <= window.first < points[0] + grid.step
    assert points[-1] < window.last <= points[-1] + grid.step


@pytest.mark.parametrize(
    ("minutes", "interval"),
    [
        (60, pb.SERIES_INTERVAL_MINUTE),
        (181, pb.SERIES_INTERVAL_FIVE_MINUTES),
        (721, pb.SERIES_INTERVAL_HOUR),
        (30 * 1440, pb.SERIES_INTERVAL_DAY),
    ],
)
def test_a_longer_span_has_longer_points(minutes: int, interval: pb.SeriesInterval.ValueType) -> None:
    assert grid_of(Window(0, minutes), pb.SERIES_INTERVAL_UNSPECIFIED).interval == interval
    assert grid_of(Window(0, 60), interval).interval == interval


def test_more_points_than_anybody_draws_are_refused_with_what_to_do() -> None:
    with pytest.raises(TooManyPoints, match="a longer interval"):
        grid_of(Window(0, POINTS_MAX + 1), pb.SERIES_INTERVAL_MINUTE)


def test_a_bucket_counts_as_what_a_percentile_in_it_is() -> None:
    assert percentiles_us({80: 3}, [0.5]) == [bucket_ms(80) * 1000]
