"""Waiting for what happens soon, without a fixed sleep."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(fn: Callable[[], Awaitable[T]], timeout_s: float = 10.0, interval_s: float = 0.02) -> T: ...


@overload
async def eventually(fn: Callable[[], T], timeout_s: float = 10.0, interval_s: float = 0.02) -> T: ...


async def eventually(fn: Callable[[], T | Awaitable[T]], timeout_s: float = 10.0, interval_s: float = 0.02) -> T:
    """Call `fn` until it returns something true, and return that.

    A false result (None included: end a function of assertions with `return True`) and an AssertionError
    are tried again; any other error is raised at once. After `timeout_s`, an AssertionError tells the last
    failure.
    """
    deadline = time.monotonic() + timeout_s
    tries = 0
    while True:
        tries += 1
        failure: BaseException | None = None
        try:
            result = await _call(fn, deadline)
            if result:
                return result
            said = f"it returned {result!r}"
        except AssertionError as error:
            failure, said = error, f"it failed with: {error}"
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s ({tries} tries): {said}") from failure
        await asyncio.sleep(interval_s)


async def _call(fn: Callable[[], T | Awaitable[T]], deadline: float) -> T:
    result = fn()
    if not inspect.isawaitable(result):
        return result
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            return await result
    except TimeoutError as error:
        if time.monotonic() >= deadline:
            raise AssertionError("the last call did not return in time") from error
        raise
