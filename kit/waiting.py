"""Waiting for an event of this process, so long and no longer."""

import asyncio
from contextlib import suppress


async def is_set_within(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait until it is set, for `timeout_s` at most, None for ever; answers whether it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
    return event.is_set()
