"""Room in a workspace's stream.

EVENTS keeps events for days after they were handled, so that they can be replayed, and refuses new ones
when it is full. Left alone, a busy workspace would fill it with handled events and then be refused. So
whoever runs this from time to time lets the oldest *handled* events go early; unhandled ones always stay.
"""

from __future__ import annotations

import structlog

from kit.bus.connection import Bus
from kit.bus.streams import EXECUTOR, events_stream_name

log = structlog.get_logger(__name__)

# At 20,000 events of 1 KB a second, the last fifth of 4 GiB lasts for 40 seconds: call this every few seconds.
FULL_SHARE = 0.8
# So much of what is handled goes at a time, to purge seldom and keep most of the history.
PURGE_SHARE = 0.25


async def make_room(bus: Bus, workspace: str) -> int:
    """Drops the oldest handled events of a stream that is nearly full; returns how many it dropped."""
    stream = events_stream_name(workspace)
    info = await bus.api(f"STREAM.INFO.{stream}")
    state, max_bytes = info["state"], info["config"]["max_bytes"]
    if max_bytes <= 0 or state["bytes"] < FULL_SHARE * max_bytes:
        return 0
    consumer = await bus.api(f"CONSUMER.INFO.{stream}.{EXECUTOR.name}")
    wanted = state["first_seq"] + int(state["messages"] * PURGE_SHARE)
    # All up to the floor is acknowledged; the purge takes what is below the given sequence.
    before = min(wanted, consumer["ack_floor"]["stream_seq"] + 1)
    if before <= state["first_seq"]:
        log.warning("bus_stream_full_of_unhandled", stream=stream, bytes=state["bytes"], max_bytes=max_bytes)
        return 0
    purged: int = (await bus.api(f"STREAM.PURGE.{stream}", {"seq": before}))["purged"]
    log.info("bus_stream_trimmed", stream=stream, purged=purged)
    return purged
