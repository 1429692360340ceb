"""When a destination is unhealthy, given windows of attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.status.check import OK, WARNING
from services.delivery.domain.health import (
    WINDOWS_SHOWN,
    Health,
    Kind,
    Rules,
    Window,
    judge,
    kind_of,
    last_ended,
)
from services.delivery.handlers.checks import judge_health

RULES = Rules()
FAILING, THIN, CLEAN, IDLE = (10, 5), (9, 9), (10, 4), (0, 0)
# A destination that was judged before, and was well.
WELL = Health(judged=99)


def windows(*numbers: tuple[int, int], first: int = 100, **fields: bool) -> list[Window]:
    """Windows of so many attempts and failures each, one after the other."""
    return [Window(first + at, *one, **fields) for at, one in enumerate(numbers)]


def after(*numbers: tuple[int, int], health: Health = WELL) -> Health:
    return judge(health, windows(*numbers), 99 + len(numbers), RULES)


@pytest.mark.parametrize(
    ("attempts", "failures", "kind"),
    [
        (0, 0, Kind.IDLE),
        (1, 0, Kind.CLEAN),
        (9, 9, Kind.THIN),
        (10, 5, Kind.FAILING),
        (10, 4, Kind.CLEAN),
        (1000, 500, Kind.FAILING),
        (1000, 499, Kind.CLEAN),
    ],
)
def test_ten_attempts_of_which_half_fail_make_a_failing_window(attempts: int, failures: int, kind: Kind) -> None:
    assert kind_of(Window(1, attempts, failures), RULES) is kind


def test_a_window_in_which_a_breaker_was_open_is_failing_with_any_number_of_attempts() -> None:
    assert kind_of(Window(1, 2, 1, held_back=True), RULES) is Kind.FAILING
    assert kind_of(Window(1, 2, 0, held_back=True), RULES) is Kind.CLEAN
    assert kind_of(Window(1, held_back=True), RULES) is Kind.IDLE


def test_three_failing_windows_running_are_unhealthy_since_the_first() -> None:
    assert not after(FAILING, FAILING).unhealthy
    health = after(CLEAN, FAILING, FAILING, FAILING)
    assert (health.unhealthy, health.since) == (True, 101)


@pytest.mark.parametrize("between", [IDLE, THIN, CLEAN])
def test_whatever_comes_between_failing_windows_begins_their_count_anew(between: tuple[int, int]) -> None:
    assert not after(FAILING, FAILING, between, FAILING, FAILING).unhealthy
    assert after(FAILING, between, FAILING, FAILING, FAILING).since == 102


def test_two_clean_windows_are_healthy_since_the_first_however_long_they_are_apart() -> None:
    sick = after(FAILING, FAILING, FAILING)
    health = judge(sick, [Window(103, 5, 0), Window(110, 1, 0)], 110, RULES)
    assert (health.unhealthy, health.since) == (False, 103)


@pytest.mark.parametrize("between", [THIN, FAILING, (1, 1)])
def test_a_window_that_is_not_clean_begins_the_count_of_clean_ones_anew(between: tuple[int, int]) -> None:
    sick = after(FAILING, FAILING, FAILING)
    assert judge(sick, windows(CLEAN, between, CLEAN, first=103), 105, RULES).unhealthy
    assert judge(sick, windows(CLEAN, between, CLEAN, CLEAN, first=103), 106, RULES).since == 105


def test_what_was_unhealthy_stays_so_while_nothing_is_attempted() -> None:
    sick = after(FAILING, FAILING, FAILING)
    assert judge(sick, [], 10_000, RULES).unhealthy


def test_invalid_settings_alone_for_an_hour_are_unhealthy_however_few() -> None:
    first, last = Window(100, 1, 1, 1), Window(111, 1, 1, 1)
    assert not judge(WELL, [first, Window(110, 1, 1, 1)], 110, RULES).unhealthy
    health = judge(WELL, [first, last], 111, RULES)
    assert (health.unhealthy, health.since) == (True, 100)


def test_any_other_attempt_begins_the_hour_of_invalid_settings_anew() -> None:
    hour = [Window(100, 1, 1, 1), Window(105, 2, 2, 1), Window(111, 1, 1, 1)]
    assert not judge(WELL, hour, 111, RULES).unhealthy


def test_one_invalid_setting_an_hour_ago_says_nothing_by_itself() -> None:
    assert not judge(judge(WELL, [Window(100, 1, 1, 1)], 100, RULES), [], 120, RULES).unhealthy


def test_the_last_window_that_is_over_is_the_one_before_the_one_that_runs() -> None:
    assert last_ended(300_000_000 * 7) == 6
    assert last_ended(300_000_000 * 7 - 1) == 5


def test_a_clock_that_was_far_ahead_does_not_keep_a_destination_from_being_judged() -> None:
    ahead = replace(after(FAILING, FAILING, FAILING), judged=10_000)
    assert not judge(ahead, windows(CLEAN, CLEAN), 101, RULES).unhealthy
    # A little ahead: what was judged is not judged again.
    near = replace(WELL, judged=100 + WINDOWS_SHOWN)
    assert judge(near, windows(FAILING, FAILING, FAILING), 102, RULES) == near


NUMBERS = st.lists(st.sampled_from([FAILING, THIN, CLEAN, IDLE, (3, 0), (40, 40)]), max_size=30)


@given(NUMBERS, st.lists(st.integers(min_value=0, max_value=30), max_size=5))
def test_whoever_stops_and_looks_again_comes_to_the_same(numbers: list[tuple[int, int]], stops: list[int]) -> None:
    every = [one for one in windows(*numbers) if one.attempts]
    at_once = judge(WELL, every, 99 + len(numbers), RULES)
    health = WELL
    for stop in [*sorted(min(one, len(numbers)) for one in stops), len(numbers)]:
        health = judge(health, every, 99 + stop, RULES)
    assert health == at_once


@given(NUMBERS)
def test_looking_twice_changes_nothing(numbers: list[tuple[int, int]]) -> None:
    every, until = windows(*numbers), 99 + len(numbers)
    once = judge(WELL, every, until, RULES)
    assert judge(once, every, until, RULES) == once


@given(NUMBERS)
def test_it_is_unhealthy_only_by_what_the_rules_say(numbers: list[tuple[int, int]]) -> None:
    health = WELL
    kinds: list[Kind] = []
    for window in windows(*numbers):
        before = health.unhealthy
        health = judge(health, [window], window.number, RULES)
        kinds.append(kind_of(window, RULES))
        if health.unhealthy and not before:
            assert kinds[-3:] == [Kind.FAILING] * 3
        if before and not health.unhealthy:
            assert [one for one in kinds if one is not Kind.IDLE][-2:] == [Kind.CLEAN] * 2


def test_the_operator_is_told_of_unhealthy_destinations_a_few_by_name() -> None:
    assert judge_health([]).level == OK
    found = judge_health([{"workspace": "acme", "destination": f"d{number}"} for number in range(5)])
    assert found.level == WARNING
    assert found.message == "5 destinations: acme/d0, acme/d1, acme/d2, ..."
