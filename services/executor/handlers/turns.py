"""Who may keep the event loop busy, and for how long, before everybody else is asked again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from kit.clock import Clock

# Filters take microseconds, unless somebody made them slow. Then what goes on beside them, such as other lanes and
# requests of functions, waits for so long, and for the one event or condition that was begun last.
TURN_S = 0.01

Step = Callable[[], None]
T = TypeVar("T")


class Turns:
    """Runs steps for a while in each turn of the loop, one of each workspace after another.

    So a workspace that has many slow lanes slows down itself, and others by no more than one turn each time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # The workspace that was served last is the last one.
        self._waiting: dict[str, deque[Step]] = {}
        self._scheduled = False
        self._ends = 0.0

    @property
    def over(self) -> bool:
        """Whether a step must come to its end, and ask again for what is left."""
        return self._clock.monotonic() >= self._ends

    def ask(self, workspace: str, step: Step) -> None:
        """Have a step run soon, behind those that wait already."""
        self._waiting.setdefault(workspace, deque()).append(step)
        self._schedule()

    async def run(self, workspace: str, work: Callable[[], T]) -> T:
        """Do some work as a step, and give or raise what comes of it."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.ask(workspace, partial(_do, work, done))
        return await done

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._ends = self._clock.monotonic() + TURN_S
        try:
            while self._waiting:
                self._next()()
                if self.over:
                    break
        finally:
            # Even if a step failed: the others are not to blame.
            if self._waiting:
                self._schedule()

    def _next(self) -> Step:
        workspace = next(iter(self._waiting))
        steps = self._waiting.pop(workspace)
        step = steps.popleft()
        if steps:
            self._waiting[workspace] = steps
        return step


def _do(work: Callable[[], T], done: asyncio.Future[T]) -> None:
    if done.done():
        # Nobody waits any more.
        return
    try:
        done.set_result(work())
    except Exception as error:  # noqa: BLE001 - it is raised where the work was asked for
        done.set_exception(error)
