"""Facts on their way into the trail: from the bus when they happen, from their owner's log when they were missed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import structlog

from kit.bus.acks import ack, nak, terminate
from kit.bus.connection import Bus
from kit.bus.message import Message
from kit.errors import OnwardError, Unavailable
from kit.eventstore import envelope
from kit.eventstore.consumer import FactApplier
from kit.eventstore.facts import Fact
from kit.eventstore.owner_log import OwnerLog

log = structlog.get_logger(__name__)

# How long a fact that the bus has lost may be missing, while nothing else happens in its workspace.
COMPARE_INTERVAL_S = 30.0
# An owner that restarts is back within a second; one that is away needs no more than a try in 5 s.
RETRY_DELAY_MIN_S = 0.2
RETRY_DELAY_MAX_S = 5.0
# Facts that could not be recorded come again after this.
FAILED_FACTS_DELAY_S = 1.0

Positions = Callable[[], Awaitable[Mapping[str, int]]]
# Compares facts of a service and a workspace that are recorded already with what is recorded of them.
Compare = Callable[[str, str, Sequence[Fact]], Awaitable[None]]
Arrived = list[tuple[Message, Fact]]


class Recorder(NamedTuple):
    """What records the facts of one service, and compares those that come again."""

    applier: FactApplier
    compare: Compare


class FactsIntake:
    """Records what the bus brings, and acknowledges what is recorded.

    `recorders` has one for each service that owns a log. Facts of others are given up: whoever adds a service adds
    its log, and the trail then begins with its first fact.
    """

    def __init__(self, bus: Bus, recorders: Mapping[str, Recorder], recorded: Callable[[], None]) -> None:
        self._bus = bus
        self._recorders = recorders
        self._recorded = recorded

    async def on_batch(self, messages: Sequence[Message]) -> None:
        """Handle a pull's messages, each workspace by itself: what is wrong in one holds up no other."""
        arrived: dict[tuple[str, str], Arrived] = defaultdict(list)
        for message in messages:
            try:
                service, fact = self._read(message)
            except envelope.MalformedFactError as error:
                log.error("fact_refused", subject=message.subject, reason=str(error))  # noqa: TRY400  # says it all
                terminate(self._bus, [message])
            else:
                arrived[service, fact.workspace].append((message, fact))
        for (service, workspace), pairs in arrived.items():
            await self._record(service, workspace, pairs)
        self._recorded()

    def _read(self, message: Message) -> envelope.OwnedFact:
        owned = envelope.from_message(message.data, message.headers)
        if owned.service not in self._recorders:
            raise envelope.MalformedFactError(f"{owned.service} owns no log")
        # Subjects are what the bus allows a service to publish to; a header may say anything.
        if message.subject != envelope.subject(owned.service, owned.fact):
            raise envelope.MalformedFactError("the header names another subject")
        return owned

    async def _record(self, service: str, workspace: str, pairs: Arrived) -> None:
        messages, facts = [message for message, _ in pairs], [fact for _, fact in pairs]
        applier, compare = self._recorders[service]
        try:
            position = await applier.position(workspace)
            if again := [fact for fact in facts if fact.position <= position]:
                await compare(service, workspace, again)
            await applier.deliver(facts)
        except OnwardError as error:
            log.warning("facts_deferred", service=service, workspace=workspace, error=str(error))
            nak(self._bus, messages, FAILED_FACTS_DELAY_S)
        except Exception:
            # A fault of ours. They stay in their owner's log, from where LogFollower tries again and again; here they
            # would only keep others out.
            log.exception("facts_not_recorded", service=service, workspace=workspace)
            terminate(self._bus, messages)
        else:
            ack(self._bus, messages)


class LogFollower:
    """Compares the trail with an owner's log, at the start and then regularly, and records what is missing.

    `positions` answers how far the trail is; `compared` is called whenever it was found, or made, complete.
    """

    def __init__(
        self,
        owner: OwnerLog,
        applier: FactApplier,
        positions: Positions,
        compared: Callable[[], Awaitable[None]],
        interval_s: float = COMPARE_INTERVAL_S,
    ) -> None:
        self.service = owner.service
        self._owner = owner
        self._applier = applier
        self._positions = positions
        self._compared = compared
        self._interval_s = interval_s

    async def run(self) -> None:
        """Compare until cancelled; whatever fails is tried again."""
        delay_s = RETRY_DELAY_MIN_S
        while True:
            try:
                await self.compare()
            except OnwardError as error:
                log.warning("trail_incomplete", service=self.service, error=str(error), retry_in_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_DELAY_MAX_S)
            else:
                delay_s = RETRY_DELAY_MIN_S
                await self._compared()
                await asyncio.sleep(self._interval_s)

    async def compare(self) -> None:
        """Record what the log has beyond the trail. Raises `Unavailable` when that could not be done everywhere."""
        # In this order: facts that are recorded meanwhile must not look as if the log had lost them.
        positions = await self._positions()
        heads = await self._owner.heads()
        behind = [workspace for workspace, head in sorted(heads.items()) if positions.get(workspace, 0) < head]
        failed = [workspace for workspace in behind if not await self._caught_up(workspace)]
        for workspace, position in positions.items():
            head = heads.get(workspace, 0)
            if position > head:
                place = {"service": self.service, "workspace": workspace}
                log.error("log_shorter_than_trail", **place, trail=position, log=head)
        if failed:
            raise Unavailable(f"{len(failed)} workspaces are not complete, {failed[0]} among them.")

    async def _caught_up(self, workspace: str) -> bool:
        try:
            await self._applier.catch_up(workspace)
        except OnwardError as error:
            log.warning("catching_up_failed", service=self.service, workspace=workspace, error=str(error))
            return False
        except Exception:
            # A fault of ours in one workspace must not keep the others from being recorded.
            log.exception("catching_up_failed", service=self.service, workspace=workspace)
            return False
        return True
