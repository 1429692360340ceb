"""Looks after how destinations are, in the replica that leads."""

from __future__ import annotations

import asyncpg
import structlog

from kit.errors import OnwardError
from services.delivery.handlers.alerts import Announcer
from services.delivery.handlers.health import HealthJudge
from services.delivery.handlers.leading import POLL_S, Wake

log = structlog.get_logger(__name__)


class HealthWatch:
    """Judges windows when they are over, and announces what was recorded. `sender` hears that webhooks may wait."""

    def __init__(self, judge: HealthJudge, announcer: Announcer, sender: Wake) -> None:
        self._judge = judge
        self._announcer = announcer
        self._sender = sender
        self._wake = Wake()

    def wake(self) -> None:
        """The time has moved, or something was recorded."""
        self._wake.set()
        self._sender.set()

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again with the next look."""
        while True:
            self._wake.clear()
            for look in (self._judge.look, self._announcer.look):
                try:
                    await look()
                except (OnwardError, asyncpg.PostgresError) as failure:
                    log.warning("health_not_judged", failure=repr(failure), retry_in_s=POLL_S)
            self._sender.set()
            await self._wake.sleep(POLL_S)
