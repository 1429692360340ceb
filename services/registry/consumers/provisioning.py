"""What follows from the registry's own log: each workspace gets its stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from kit.bus.streams import FACTS, StreamDeclaration, events_stream
from kit.clock import Clock
from kit.errors import DeadlineExceeded, OnwardError, Unavailable
from kit.eventstore.facts import SYSTEM_WORKSPACE
from kit.eventstore.progress import PublishedPositions
from kit.eventstore.store import EventStore
from kit.waiting import is_set_within

log = structlog.get_logger(__name__)

# A workspace that another replica made, and did not live to provision, waits this long at most.
LOOK_INTERVAL_S = 5.0
# How long a stream's settings may differ from the declared ones before they are restored.
REVIEW_INTERVAL_S = 300.0
# A server that restarts is back within a tenth of a second; one that is away needs no more than a try in 5 s.
RETRY_DELAY_MIN_S = 0.1
RETRY_DELAY_MAX_S = 5.0

# Makes the server agree with declarations, as `kit.bus.streams.provision` does.
Provision = Callable[[Sequence[StreamDeclaration]], Awaitable[object]]


class StreamProvisioner:
    """Provisions FACTS and the events of every workspace in the log; `run` it once in each replica."""

    def __init__(self, store: EventStore, provision: Provision, clock: Clock) -> None:
        self._store = store
        self._provision = provision
        self._clock = clock
        # Position 1 of a workspace stands for "its stream is there".
        self._provisioned = PublishedPositions()
        self._done: set[str] = set()
        self._facts_done = False
        self._wake = asyncio.Event()
        self._reviewed_at = clock.monotonic()

    async def wait_provisioned(self, workspace: str, timeout_s: float) -> bool:
        """Provision a workspace that was just made, now; False where that takes longer, which is no failure."""
        self._wake.set()
        return await self._provisioned.wait(workspace, 1, timeout_s)

    async def run(self) -> None:
        """Provision until cancelled; whatever fails is tried again."""
        delay_s = RETRY_DELAY_MIN_S
        while True:
            self._wake.clear()
            try:
                await self._look()
            except OnwardError as error:
                log.warning("provisioning_failed", reason=error.reason, error=str(error), retry_in_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_DELAY_MAX_S)
                continue
            delay_s = RETRY_DELAY_MIN_S
            await is_set_within(self._wake, LOOK_INTERVAL_S)

    async def _look(self) -> None:
        self._forget_when_due()
        if not self._facts_done:
            await self._provision([FACTS])
            self._facts_done = True
        refusal: OnwardError | None = None
        for workspace, _position in await self._store.workspaces():
            if workspace not in self._done and workspace != SYSTEM_WORKSPACE:
                # A stream that the server refuses (no storage left for it) must not hold up those after it.
                refusal = await self._provision_events(workspace) or refusal
        if refusal is not None:
            raise refusal

    async def _provision_events(self, workspace: str) -> OnwardError | None:
        try:
            await self._provision([events_stream(workspace)])
        except (Unavailable, DeadlineExceeded):
            # The server is away: the others would only wait for it as well.
            raise
        except OnwardError as error:
            log.warning("stream_refused", workspace=workspace, reason=error.reason, error=str(error))
            return error
        self._done.add(workspace)
        self._provisioned.reach(workspace, 1)
        return None

    def _forget_when_due(self) -> None:
        """What was provisioned long ago is looked at again: somebody may have changed it."""
        now = self._clock.monotonic()
        if now - self._reviewed_at >= REVIEW_INTERVAL_S:
            self._reviewed_at = now
            self._done.clear()
            self._facts_done = False
