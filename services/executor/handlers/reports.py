"""Tells the registry how far this executor has applied the log, so that people see when a deployment has arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress

import structlog

from kit.errors import OnwardError
from kit.waiting import is_set_within
from onward.registry.v1 import internal_service_pb2 as pb
from services.executor.projections import View

# The registry forgets whoever is silent for 15 s: two of these may be lost.
HEARTBEAT_S = 5.0
# Changes that come together are told together: at most four reports a second, and none that is later than that.
COALESCE_S = 0.25
RETRY_S = 1.0
# Nobody waits for a report for longer.
TIMEOUT_S = 2.0
# As the proto says.
POSITIONS_MAX = 10_000

log = structlog.get_logger()

Report = Callable[[pb.ReportExecutorRequest, float], Awaitable[pb.ReportExecutorResponse]]


class Reporter:
    """Reports at every change and as a heartbeat. `run()` it once the view is complete."""

    def __init__(self, view: View, report: Report, executor: str) -> None:
        self._view = view
        self._report = report
        self._executor = executor
        self._moved: set[str] = set()
        self._wake = asyncio.Event()
        self._complete = True
        view.on_position = self._on_position

    def _on_position(self, workspace: str) -> None:
        self._moved.add(workspace)
        self._wake.set()

    async def run(self) -> None:
        """Report until cancelled; what could not be told is told with the next report."""
        while True:
            self._wake.clear()
            told = await self._tell()
            await asyncio.sleep(COALESCE_S if told else RETRY_S)
            await is_set_within(self._wake, HEARTBEAT_S)

    async def leave(self) -> None:
        """Say that this executor stops, where the registry can be told; otherwise its silence tells."""
        request = pb.ReportExecutorRequest(executor=self._executor, leaving=True)
        with suppress(OnwardError):
            await self._report(request, TIMEOUT_S)

    async def _tell(self) -> bool:
        moved, self._moved = self._moved, set()
        complete, self._complete = self._complete, False
        try:
            for request in self._requests(self._view.workspaces() if complete else moved, complete=complete):
                if (await self._report(request, TIMEOUT_S)).want_complete:
                    self._complete = True
                    self._wake.set()
                    break
        except OnwardError as error:
            log.warning("position_not_reported", reason=error.reason)
            self._moved |= moved
            self._complete = self._complete or complete
            self._wake.set()
            return False
        return True

    def _requests(self, workspaces: Iterable[str], *, complete: bool) -> Iterator[pb.ReportExecutorRequest]:
        """Give the reports; only the first one makes the registry forget what it knew."""
        named = sorted(workspaces)
        for start in range(0, max(1, len(named)), POSITIONS_MAX):
            part = named[start : start + POSITIONS_MAX]
            yield pb.ReportExecutorRequest(
                executor=self._executor,
                positions={workspace: self._view.position(workspace) for workspace in part},
                complete=complete and start == 0,
            )
