"""A destination that is enabled from an earlier time on is given what it was skipped for: by a replay."""

from __future__ import annotations

import structlog

from kit.errors import LimitReached
from kit.eventstore.facts import Fact
from kit.postgres.pool import Connection
from onward.delivery.v1 import delivery_service_pb2 as delivery_pb
from onward.delivery.v1 import replays_pb2 as pb
from onward.registry.v1 import facts_pb2, resources_pb2
from services.delivery.domain.replays import RATE_DEFAULT, SKIPPED_MARGIN_US
from services.delivery.domain.schedule import MINUTE_US, RETRY_OFFSETS_S, SECOND_US
from services.delivery.handlers.replay_counts import Target
from services.delivery.handlers.replay_rows import queries
from services.delivery.handlers.replays import insert_replay
from services.delivery.projections.connections import fact_us, parsed

log = structlog.get_logger(__name__)

# Retries that came due meanwhile were skipped as well; their events were received at most so long before.
HORIZON_US = round(RETRY_OFFSETS_S[-1] * SECOND_US)


async def replay_skipped(connection: Connection, fact: Fact, now_us: int) -> None:
    """Make the replay, if the fact asks for one; the log tells of it when the runner has seen it."""
    enabled = parsed(fact, facts_pb2.DestinationEnabled())
    if enabled.start in (resources_pb2.ENABLE_START_UNSPECIFIED, resources_pb2.ENABLE_START_NOW):
        return
    row = await connection.fetchrow(queries.connection, fact.workspace, enabled.destination)
    if row is None:
        return
    # By the registry's clock, and what was skipped by an executor's, which may be behind.
    since_us = max(0, row["disabled_at_us"] - SKIPPED_MARGIN_US)
    if enabled.start == resources_pb2.ENABLE_START_TIME:
        since_us = enabled.start_time.ToMicroseconds()
    target = Target(fact.workspace, enabled.destination, row["source"], row["function"])
    # What was skipped is known by its deliveries, not by the clock: an event that came at the very moment is either of
    # them, or was attempted.
    margin_us = SKIPPED_MARGIN_US
    selection = pb.ReplaySelection(states=[delivery_pb.DELIVERY_STATE_SKIPPED])
    selection.start_time.FromMicroseconds(max(0, since_us - HORIZON_US))
    selection.end_time.FromMicroseconds(fact_us(fact) + margin_us)
    preview = await _preview(connection, target, since_us, now_us)
    try:
        replay = await insert_replay(
            connection, target, pb.REPLAY_KIND_REPLAY, selection, rate=RATE_DEFAULT, principal=fact.meta.principal,
            now_us=now_us, begins_at_us=now_us + margin_us, preview=preview, told=False, ended_since_us=since_us,
        )  # fmt: skip
    except LimitReached as error:
        # The destination is enabled; what it was skipped for can be replayed by hand later.
        log.warning("skipped_not_replayed", **target._asdict(), reason=str(error))
    else:
        log.info("skipped_replayed", replay=replay.name, destination=enabled.destination)


async def _preview(connection: Connection, target: Target, since_us: int, now_us: int) -> pb.ReplayPreview:
    """By the sums of minutes: the runner looks at each."""
    count = await connection.fetchval(queries.skipped_since, *target[:2], since_us // MINUTE_US, now_us // MINUTE_US)
    return pb.ReplayPreview(count=count, is_estimate=True)
