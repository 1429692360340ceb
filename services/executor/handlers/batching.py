"""The batch that a lane fills for `onBatch`: what joins it, and what waits too long to be held here."""

from __future__ import annotations

from services.executor.domain import errors
from services.executor.domain.gathering import TOGETHER_S, Batching, Gathering
from services.executor.handlers import detail as details
from services.executor.handlers.attempts import run_of
from services.executor.handlers.generations import Generation, Services
from services.executor.handlers.work import Batch, Begun, Item

# Batches that one worker runs at once: enough to hide an API's latency; each may be 500 events and 2 MiB.
BATCHES_MAX = 4
SECOND_US = 1_000_000


class Batcher:
    """Fills the batches of one lane."""

    def __init__(self, services: Services) -> None:
        self._clock = services.clock
        self._outcomes = services.outcomes

    def add(self, gathering: Gathering[Item], item: Item) -> None:
        """Let an item that has passed the filters join the batch."""
        now = self._clock.monotonic()
        item.waits_until = self._waits_until(gathering.batching, item, now)
        if item.waits_until > now:
            item.waits = True
            item.ticket.wait()
        gathering.add(item, len(item.event), now=now, until=item.waits_until, events_max=item.batch_max)

    def _waits_until(self, batching: Batching, item: Item, now: float) -> float:
        """When an item starts whatever has come: an event waits from its arrival on, a retry from when it was due."""
        if item.gathered:
            return now + TOGETHER_S
        if not batching.wait_s:
            return now
        if item.retries_used:
            return batching.waits_until(now, now - item.queued_at)
        return batching.waits_until(now, self._clock.now().timestamp() - item.received_at_us / SECOND_US)

    def begin(self, generation: Generation, batches_max: int) -> Begun | None:
        """Take what was gathered, to start it; None where the worker has no room for it. One event is no batch."""
        gathering = generation.gathering
        if gathering is None or generation.alone or generation.batches >= batches_max:
            return None
        items = _taken(gathering)
        return items[0] if len(items) == 1 else Batch(sorted(items, key=_place))

    def starts(self, generation: Generation) -> bool:
        """Whether a batch should start now, room or not."""
        return generation.gathering is not None and generation.gathering.starts(self._clock.monotonic())

    def wait_s(self, gathering: Gathering[Item]) -> float:
        """How long nothing is to be done unless something comes; infinite where nothing waits."""
        return max(0.0, gathering.wakes_at - self._clock.monotonic())

    def put_off(self, generation: Generation) -> None:
        """Give the tracker what waits for longer than it may be held here; it gathers on."""
        gathering, now = generation.gathering, self._clock.monotonic()
        if gathering is None or not gathering.leaves(now):
            return
        run, now_us = run_of(generation.program), self._clock.now().timestamp() * SECOND_US
        for item in _taken(gathering):
            self._outcomes.record(
                item,
                errors.GATHERING,
                run,
                details.event_only(item),
                batch_events_max=gathering.batching.events_max,
                batch_until_us=int(now_us + (item.waits_until - now) * SECOND_US),
            )


def _place(item: Item) -> tuple[int, int]:
    """As the events came, so that the same ones make the same batch."""
    return item.sequence, item.index


def taken_back(generation: Generation) -> list[Item]:
    """What a generation was gathering when it ended, to be queued once more."""
    if generation.gathering is None:
        return []
    items = _taken(generation.gathering)
    for item in items:
        item.filtered = None
    return items


def _taken(gathering: Gathering[Item]) -> list[Item]:
    """Take what was gathered: from here on it is to be waited for like all else."""
    items = gathering.take()
    for item in items:
        if item.waits:
            item.waits = False
            item.ticket.go_on()
    return items
