"""How far somebody is behind a log. What was appended a moment ago is no lag, so it is given a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from kit.status.check import Check, Probe, counted, ok, warning

# Facts take milliseconds; below a probe's own time.
PATIENCE_S = 1.0
POLL_S = 0.1

Positions = Callable[[], Awaitable[Mapping[str, int]]]


async def still_behind(
    heads: Mapping[str, int], positions: Positions, patience_s: float = PATIENCE_S, poll_s: float = POLL_S
) -> dict[str, int]:
    """Give the workspaces that do not reach these heads in time, and how many facts each lacks."""
    deadline = time.monotonic() + patience_s
    while True:
        reached = await positions()
        missing = {name: head - reached.get(name, 0) for name, head in heads.items() if reached.get(name, 0) < head}
        if not missing or time.monotonic() >= deadline:
            return missing
        await asyncio.sleep(poll_s)


def judge_lag(name: str, missing: Mapping[str, int], workspaces: int, advice: str) -> Check:
    """Judge by the workspace that lacks most."""
    if not missing:
        return ok(name, f"up to date in {counted(workspaces, 'workspace')}")
    worst = max(missing, key=lambda workspace: missing[workspace])
    more = f" ({counted(len(missing) - 1, 'other')} as well)" if len(missing) > 1 else ""
    return warning(name, f"the workspace {worst} is {counted(missing[worst], 'fact')} behind{more}", advice)


def lag_probe(name: str, heads: Positions, positions: Positions, advice: str) -> Probe:
    """Compares positions with the heads of the log."""

    async def ask() -> Sequence[Check]:
        known = await heads()
        return [judge_lag(name, await still_behind(known, positions), len(known), advice)]

    return Probe(name, ask)
