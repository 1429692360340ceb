"""What health and alerts are tested with: windows of attempts, and the facts that the tracker records."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

from kit.clock import FakeClock
from kit.testing.eventually import eventually
from onward.delivery.v1 import health_pb2
from onward.executor.v1 import outcomes_pb2 as pb
from tests.integration.delivery_world import START, START_US, World, attempt, batch

WINDOW_US = 300_000_000
WINDOW_S = 300
# A window is judged so long after its end.
GRACE_S = 10
ACME = "workspaces/acme"

_sequences = itertools.count(1)


def attempts(window: int, delivered: int = 0, failed: int = 0, **fields: Any) -> list[pb.Attempt]:
    """Attempts that ended within a window, counted from the start of the test's time."""
    ended_at_us = START_US + window * WINDOW_US + 60_000_000
    failure: dict[str, Any] = {
        "result": pb.RESULT_FAILED,
        "error_type": pb.ERROR_TYPE_BAD_REQUEST,
        "detail": pb.AttemptDetail(event=b'{"secret":"of a person"}', error_message="no such user: ada@example.com 17"),
    }
    failure |= fields
    good = [attempt(next(_sequences), ended_at_us=ended_at_us) for _ in range(delivered)]
    bad = [attempt(next(_sequences), ended_at_us=ended_at_us, **failure) for _ in range(failed)]
    return good + bad


async def pass_window(world: World, window: int, delivered: int = 0, failed: int = 0, **fields: Any) -> None:
    """Have a window's attempts reported, and have it judged."""
    header = {name: fields.pop(name) for name in ("destination", "source") if name in fields}
    if delivered or failed:
        await world.report(batch(*attempts(window, delivered, failed, **fields), **header))
    await end_window(world, window)


async def end_window(world: World, window: int) -> None:
    """Move the clock to where a window is judged, and wait until it is."""
    assert isinstance(world.clock, FakeClock)
    due = START + timedelta(seconds=(window + 1) * WINDOW_S + GRACE_S)
    world.advance(max(0.0, (due - world.clock.now()).total_seconds()))
    await judged(world, window)


async def judged(world: World, window: int) -> None:
    """Wait until a window is judged, counted from the start of the test's time."""
    number = START_US // WINDOW_US + window

    async def so_far() -> bool:
        rows = await world.rows("SELECT judged FROM health_progress")
        return bool(rows) and rows[0]["judged"] >= number

    await eventually(so_far)


async def recorded(world: World, *types: str) -> list[dict[str, Any]]:
    """The tracker's facts of these types, in order, with their type."""
    rows = await world.rows("SELECT type, data FROM facts WHERE type = ANY($1::text[]) ORDER BY position", list(types))
    return [{"type": row["type"], **json.loads(row["data"])} for row in rows]


async def health_of(world: World, destination: str = "crm", viewer: Any = None) -> health_pb2.DestinationHealth:
    request = health_pb2.GetHealthRequest(parent=f"{ACME}/destinations/{destination}")
    answer = await (viewer or world.viewer).GetHealth(request)
    (found,) = answer.destinations
    return health_pb2.DestinationHealth.FromString(found.SerializeToString())
