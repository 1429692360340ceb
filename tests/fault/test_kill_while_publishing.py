"""kill -9 of each part while 20,000 events are published: nothing that was acknowledged is lost or done twice."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from kit.testing.eventually import eventually
from tests.fault.events import PLAIN, ids, make_events
from tests.fault.ledger import INTERNAL, check_deliveries, check_trail, settled
from tests.fault.system import Publishing, Route, System

pytestmark = [pytest.mark.fault, pytest.mark.asyncio(loop_scope="module")]

EVENTS = 20_000
# Slow enough that the kills fall into the middle: the whole takes about 2.5 s.
RATE = 8_000
# How often the configuration is changed meanwhile.
CHANGE_INTERVAL_S = 0.1


async def _change_until(over: asyncio.Event, system: System, route: Route) -> int:
    """Change the configuration all the while, so that facts are under way as well; returns how often."""
    count = 0
    while not over.is_set():
        count += 1
        await system.create_source(f"{route.source}-{count}")
        await asyncio.sleep(CHANGE_INTERVAL_S)
    return count


async def _published(system: System, publishing: Publishing, route: Route) -> int:
    """Wait until all is acknowledged, changing the configuration meanwhile; returns the number of changes."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        changes = group.create_task(_change_until(over, system, route))
        said = await publishing.acknowledged()
        over.set()
    # What was stored when an acknowledgement got lost is found to be stored already.
    assert said["published"] + said["duplicates"] == EVENTS, said
    return changes.result()


async def _check(system: System, route: Route, message_ids: list[str]) -> None:
    rows = await check_deliveries(system, route, message_ids)
    assert not [row for row in rows if row.retries_used], "a crash has used up a retry"
    # Whatever is not the end of a delivery is an attempt that a crash has cost.
    assert not [row for row in rows if not row.terminal and row.error_type != INTERNAL]
    await check_trail(system)


@pytest.mark.parametrize("part", ["executor", "delivery", "audit", "registry", "nats", "postgres"])
async def test_kill_9_during_publishing_loses_and_repeats_no_acknowledged_event(system: System, part: str) -> None:
    """A1, A6, B3."""
    route = await system.route(PLAIN)
    events = make_events(route, EVENTS)
    publishing = await system.publish(route, events, rate=RATE)
    async with asyncio.TaskGroup() as group:
        published = group.create_task(_published(system, publishing, route))
        await system.reached(route, EVENTS // 5)
        await system.kill_and_wait(part)
        # Once more when it works at full speed again.
        await settled(system, route, EVENTS // 2)
        await system.kill_and_wait(part)
    assert published.result() > 0
    await _check(system, route, ids(events))


async def test_an_immediate_stop_of_postgres_during_publishing_loses_nothing(system: System) -> None:
    """B14: what `pg_ctl stop -m immediate` does."""
    route = await system.route(PLAIN)
    events = make_events(route, EVENTS)
    publishing = await system.publish(route, events, rate=RATE)
    async with asyncio.TaskGroup() as group:
        group.create_task(_published(system, publishing, route))
        await system.reached(route, EVENTS // 4)
        await system.kill_and_wait("postgres", signal.SIGQUIT)
    await _check(system, route, ids(events))


async def test_killing_workers_during_publishing_loses_and_repeats_no_event(system: System) -> None:
    """A6: the sandboxed processes, one after the other, as they come."""
    route = await system.route(PLAIN)
    events = make_events(route, EVENTS)
    publishing = await system.publish(route, events, rate=RATE)
    async with asyncio.TaskGroup() as group:
        group.create_task(_published(system, publishing, route))
        for share in (0.2, 0.4, 0.6):
            await system.reached(route, int(EVENTS * share))
            for worker in await eventually(system.workers):
                os.kill(worker, signal.SIGKILL)
    await _check(system, route, ids(events))
