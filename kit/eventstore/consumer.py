"""Applies another service's facts: each once, in the order of its workspace, whatever the bus repeats or loses.

Positions in a workspace are contiguous, so a consumer that remembers the last one it has applied knows what
is a repetition and where something is missing; what is missing is read from the owner. The position is
recorded in the transaction of the effect.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from typing import Protocol, TypeAlias

import structlog

from kit.errors import Unavailable
from kit.eventstore.facts import Fact
from kit.eventstore.postgres import queries
from kit.eventstore.progress import PublishedPositions
from kit.postgres.pool import Connection, Pool

log = structlog.get_logger(__name__)

# Far more than a transaction of so many takes. A COPY whose connection is lost while it waits to write never ends by
# itself.
APPLY_TIMEOUT_S = 30.0
# Facts of one transaction: few enough to hold no lock for long, enough to make the commit cheap.
RUN_FACTS_MAX = 500


class ReadFacts(Protocol):
    """Facts of the owning service after a position, as its ReadFacts answers; empty only at the head of its log."""

    async def __call__(self, service: str, workspace: str, after_position: int, limit: int) -> Sequence[Fact]: ...


class MissingFactsError(Unavailable):
    """A fact arrived whose predecessors the owner does not show; nothing was applied, let it be delivered again."""


class FactApplier(ABC):
    """What holds wherever the effects are kept; one for each consumer and owning service."""

    def __init__(self, service: str, read_facts: ReadFacts) -> None:
        self._service = service
        self._read_facts = read_facts
        self._progress = PublishedPositions()

    async def deliver(self, facts: Iterable[Fact]) -> None:
        """Apply a pull's facts; when this returns all of them are applied, now or earlier, and may be acknowledged.

        Raises MissingFactsError or `Unavailable` where a gap can't be filled, and whatever `apply` raises.
        What was applied before stays; all of them may be delivered again.
        """
        by_place = sorted(facts, key=lambda fact: (fact.workspace, fact.position))
        for workspace, arrived in groupby(by_place, key=lambda fact: fact.workspace):
            await self._apply_arrived(workspace, list(arrived))

    async def catch_up(self, workspace: str) -> int:
        """Apply everything that the owner has; answers the position reached."""
        position = await self.position(workspace)
        while facts := await self._read_facts(self._service, workspace, position, RUN_FACTS_MAX):
            position = await self._apply_run(workspace, self._continuing(workspace, position, facts))
            self._progress.reach(workspace, position)
        return position

    async def wait_applied(self, workspace: str, position: int, timeout_s: float) -> bool:
        """Wait until facts up to a position are applied here; False where they are not in time."""
        if self._progress.reached(workspace, position):
            return True
        # Applied by another replica, or before this process started.
        self._progress.reach(workspace, await self.position(workspace))
        return await self._progress.wait(workspace, position, timeout_s)

    @abstractmethod
    async def position(self, workspace: str) -> int:
        """The last position that is applied."""

    @abstractmethod
    async def _apply_run(self, workspace: str, facts: Sequence[Fact]) -> int:
        """Apply those facts of a contiguous run that continue what is applied; answers the position after it."""

    async def _apply_arrived(self, workspace: str, arrived: Sequence[Fact]) -> None:
        position = await self.position(workspace)
        while run := _run_after(position, arrived):
            if run[0].position > position + 1:
                run = await self._fill(workspace, position, run[0].position)
            position = await self._apply_run(workspace, run[:RUN_FACTS_MAX])
            self._progress.reach(workspace, position)

    async def _fill(self, workspace: str, position: int, before: int) -> Sequence[Fact]:
        log.info("facts_missing", service=self._service, workspace=workspace, after=position, before=before)
        facts = await self._read_facts(self._service, workspace, position, min(RUN_FACTS_MAX, before - position - 1))
        if not facts:
            raise MissingFactsError(
                f"Facts of {self._service}/{workspace} after {position} are missing up to {before}; try again later."
            )
        return self._continuing(workspace, position, facts)

    def _continuing(self, workspace: str, position: int, facts: Sequence[Fact]) -> Sequence[Fact]:
        for expected, fact in enumerate(facts, start=position + 1):
            if (fact.workspace, fact.position) != (workspace, expected):
                raise MissingFactsError(
                    f"{self._service} answered {fact.workspace}/{fact.position} in place of {workspace}/{expected}."
                )
        return facts


# Applies a contiguous run of one workspace's facts.
ApplyRun: TypeAlias = Callable[[Connection, Sequence[Fact]], Awaitable[None]]


def each(apply: Callable[[Connection, Fact], Awaitable[None]]) -> ApplyRun:
    """For effects that are made fact by fact."""

    async def apply_run(connection: Connection, facts: Sequence[Fact]) -> None:
        for fact in facts:
            await apply(connection, fact)

    return apply_run


class PostgresFactApplier(FactApplier):
    """Applies facts to tables; effect and position commit together.

    `apply(connection, facts)` runs in a transaction that holds the consumer's lock on the workspace: several
    replicas take turns. It gets up to RUN_FACTS_MAX facts and must do nothing but use the connection.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        consumer: str,
        service: str,
        apply: ApplyRun,
        read_facts: ReadFacts,
    ) -> None:
        super().__init__(service, read_facts)
        self._pool = pool
        self._consumer = consumer
        self._apply = apply

    async def position(self, workspace: str) -> int:
        """See `FactApplier.position`."""
        return await self._pool.fetchval(queries.consumer_position, self._consumer, self._service, workspace) or 0

    async def _apply_run(self, workspace: str, facts: Sequence[Fact]) -> int:
        try:
            async with asyncio.timeout(APPLY_TIMEOUT_S):
                return await self._apply_locked(workspace, facts)
        except TimeoutError as error:
            raise Unavailable("Postgres has not stored facts in time; they come again.") from error

    async def _apply_locked(self, workspace: str, facts: Sequence[Fact]) -> int:
        key = (self._consumer, self._service, workspace)
        async with self._pool.transaction() as connection:
            await connection.execute(queries.create_consumer_position, *key)
            position: int = await connection.fetchval(queries.lock_consumer_position, *key)
            run = _run_after(position, facts)
            if run and run[0].position == position + 1:
                await self._apply(connection, run)
                position = run[-1].position
            await connection.execute(queries.record_consumer_position, *key, position)
        return position


class MemoryFactApplier(FactApplier):
    """Applies facts to what lives in memory, and so starts from zero with its process: `catch_up` first.

    `apply(fact)` must not await, so that readers never see half a fact.
    """

    def __init__(self, *, service: str, apply: Callable[[Fact], None], read_facts: ReadFacts) -> None:
        super().__init__(service, read_facts)
        self._apply = apply
        self._positions: dict[str, int] = {}

    @property
    def positions(self) -> dict[str, int]:
        """The last position applied of each workspace."""
        return dict(self._positions)

    async def position(self, workspace: str) -> int:
        """See `FactApplier.position`."""
        return self._positions.get(workspace, 0)

    async def _apply_run(self, workspace: str, facts: Sequence[Fact]) -> int:
        for fact in facts:
            if fact.position == self._positions.get(workspace, 0) + 1:
                self._apply(fact)
                self._positions[workspace] = fact.position
        return self._positions.get(workspace, 0)


def _run_after(position: int, facts: Sequence[Fact]) -> Sequence[Fact]:
    """The first contiguous run of what comes after a position; `facts` are in order and may repeat."""
    run: list[Fact] = []
    for fact in facts:
        if fact.position <= position or (run and fact.position == run[-1].position):
            continue
        if run and fact.position != run[-1].position + 1:
            break
        run.append(fact)
    return run
