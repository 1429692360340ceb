"""Tests of the helper that every other test waits with."""

import asyncio

import pytest

from kit.testing.eventually import eventually


async def test_it_returns_the_first_true_value() -> None:
    values = iter([0, None, "", 7])
    assert await eventually(lambda: next(values), interval_s=0) == 7


async def test_it_calls_coroutine_functions_as_well() -> None:
    values = iter([False, True])

    async def ready() -> bool:
        return next(values)

    assert await eventually(ready, interval_s=0)


async def test_a_failed_assertion_is_tried_again() -> None:
    tries = 0

    def third_time() -> bool:
        nonlocal tries
        tries += 1
        assert tries == 3, "too early"
        return True

    assert await eventually(third_time, interval_s=0)


async def test_on_timeout_it_tells_the_last_failure() -> None:
    def never() -> bool:
        raise AssertionError("two rows are missing")

    with pytest.raises(AssertionError, match="two rows are missing") as caught:
        await eventually(never, timeout_s=0, interval_s=0)
    assert isinstance(caught.value.__cause__, AssertionError)


async def test_on_timeout_it_tells_the_last_value() -> None:
    with pytest.raises(AssertionError, match="it returned None"):
        await eventually(lambda: None, timeout_s=0, interval_s=0)


async def test_a_call_that_hangs_is_cut_at_the_deadline() -> None:
    with pytest.raises(AssertionError, match="did not return in time"):
        await eventually(asyncio.Event().wait, timeout_s=0)


async def test_any_other_error_is_raised_at_once() -> None:
    calls: list[None] = []

    def broken() -> bool:
        calls.append(None)
        raise KeyError("typo")

    with pytest.raises(KeyError):
        await eventually(broken)
    assert len(calls) == 1
