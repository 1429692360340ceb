"""How far OUTCOMES is applied."""

from __future__ import annotations

import asyncio

from kit.bus.connection import Bus
from kit.clock import Clock
from kit.errors import OnwardError, Unavailable

WAIT_S = 10.0
LOOK_S = 0.05


class AppliedOutcomes:
    """Knows from JetStream which outcomes are stored here: those that are acknowledged."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def wait_for(self, sequence: int, timeout_s: float = WAIT_S) -> None:
        """Returns when all outcomes up to a sequence are applied; raises Unavailable after `timeout_s`."""
        deadline = self._clock.monotonic() + timeout_s
        while not await self._applied(sequence):
            if self._clock.monotonic() >= deadline:
                raise Unavailable(
                    f"Outcomes up to {sequence} are not applied yet; try again.",
                    metadata={"outcomes_sequence": str(sequence)},
                    retry_after_s=1,
                )
            await asyncio.sleep(LOOK_S)

    async def wait_for_last(self, timeout_s: float) -> None:
        """Returns when all that is stored in OUTCOMES now is applied."""
        await self.wait_for(await self.last_sequence(), timeout_s)

    async def last_sequence(self) -> int:
        """The sequence of the last of OUTCOMES that is stored now."""
        return int((await self._bus.api("STREAM.INFO.OUTCOMES"))["state"]["last_seq"])

    async def _applied(self, sequence: int) -> bool:
        try:
            consumer = await self._bus.api("CONSUMER.INFO.OUTCOMES.delivery")
            if int(consumer["ack_floor"]["stream_seq"]) >= sequence:
                return True
            # A work queue drops what is acknowledged, so the first that it still has is the first to be applied.
            state = (await self._bus.api("STREAM.INFO.OUTCOMES"))["state"]
        except OnwardError as error:
            raise Unavailable("JetStream can't tell what is applied; try again.", retry_after_s=1) from error
        emptied = int(state["messages"]) == 0 and int(state["last_seq"]) >= sequence
        return emptied or int(state["first_seq"]) > sequence
