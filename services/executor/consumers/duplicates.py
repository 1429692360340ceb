"""Events that repeat a messageId of their source: found before anything is run for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from kit.errors import DeadlineExceeded, OnwardError, Unavailable

# What was handed out lately may not be recorded yet: twenty seconds at full speed, some 20 MB.
REMEMBERED_MAX = 100_000
# For so long a messageId counts once; the tracker compares in the same way.
WINDOW_US = 24 * 3600 * 1_000_000
# As many as the tracker answers for at once.
ASKED_MAX = 1000
# A tracker that did not answer is asked once more so often, until it does.
PROBE_S = 1.0

log = structlog.get_logger()


class Published(NamedTuple):
    """An event as far as repetitions are concerned."""

    source: str
    message_id: str
    stream_sequence: int
    place: int
    received_at_us: int


# Gives the positions of those that repeat another one, as far as the tracker knows.
FindDuplicates = Callable[[str, Sequence[Published]], Awaitable[Sequence[int]]]


class Repetitions:
    """Knows what this executor has handed out lately, and asks the tracker about the rest.

    Two executors that are given one messageId within the moment that it takes to record an outcome both run it: at
    least once is the promise. JetStream keeps those apart that are published with a `Nats-Msg-Id`.
    """

    def __init__(self, find: FindDuplicates) -> None:
        self._find = find
        self._lately: dict[tuple[str, str, str], Published] = {}

    async def among(self, workspace: str, events: Sequence[Published]) -> set[tuple[int, int]]:
        """Give the places, sequence and index, of those of these events that are repetitions."""
        found: set[tuple[int, int]] = set()
        asked = [one for one in events if not self._repeats(workspace, one, found)]
        for start in range(0, len(asked), ASKED_MAX):
            part = asked[start : start + ASKED_MAX]
            found.update((part[one].stream_sequence, part[one].place) for one in await self._find(workspace, part))
        return found

    def _repeats(self, workspace: str, event: Published, found: set[tuple[int, int]]) -> bool:
        """Whether it is known here to be a repetition; else it is remembered as the first of its id."""
        key = (workspace, event.source, event.message_id)
        first = self._lately.setdefault(key, event)
        if first[2:] == event[2:]:
            if len(self._lately) > REMEMBERED_MAX:
                del self._lately[next(iter(self._lately))]
            return False
        if abs(event.received_at_us - first.received_at_us) < WINDOW_US:
            found.add((event.stream_sequence, event.place))
            return True
        self._lately[key] = event
        return False


class WhileAnswered:
    """Asks the tracker while it answers. When it does not, events are run without it: rather twice than late.

    Then the question that failed is asked again, for nobody, until it is answered: a tracker that hangs, or is too
    slow, holds up events once, not for ever.
    """

    def __init__(self, find: FindDuplicates) -> None:
        self._find = find
        self._unanswered: tuple[str, Sequence[Published]] | None = None
        self._failed = asyncio.Event()

    async def find(self, workspace: str, events: Sequence[Published]) -> Sequence[int]:
        """Do as `find` does; know of no repetitions where the tracker does not answer."""
        if self._unanswered is not None:
            return ()
        try:
            return await self._find(workspace, events)
        except (Unavailable, DeadlineExceeded) as error:
            log.info("duplicates_not_known", reason=error.reason)
            self._unanswered = workspace, events
            self._failed.set()
        except OnwardError as error:
            # It says nothing of other questions.
            log.warning("duplicates_refused", workspace=workspace, reason=error.reason)
        return ()

    async def run(self) -> None:
        """Find out when a tracker that did not answer does again."""
        while True:
            await self._failed.wait()
            self._failed.clear()
            while self._unanswered is not None:
                await asyncio.sleep(PROBE_S)
                try:
                    await self._find(*self._unanswered)
                except (Unavailable, DeadlineExceeded):
                    continue
                except OnwardError as error:
                    log.warning("duplicates_refused", workspace=self._unanswered[0], reason=error.reason)
                self._unanswered = None
                log.info("duplicates_known_again")
