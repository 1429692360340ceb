"""Answers to repeated requests, which are not kept for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from kit.clock import Clock
from kit.errors import Unavailable
from kit.eventstore.store import EventStore

log = structlog.get_logger(__name__)

# Nobody repeats a request after so long; until then its answer is kept.
ANSWERS_KEPT = timedelta(days=7)
FORGET_INTERVAL_S = 3600.0


async def forget_answers(store: EventStore, clock: Clock) -> None:
    """Drop old answers every hour until cancelled."""
    while True:
        try:
            await store.forget_answers(clock.now() - ANSWERS_KEPT)
        except Unavailable:
            log.warning("answers_not_forgotten", retry_in_s=FORGET_INTERVAL_S)
        await asyncio.sleep(FORGET_INTERVAL_S)
