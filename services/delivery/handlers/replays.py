"""Makes, shows and ends replays and redrives. What they take up is the runner's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import structlog

from kit.auth.caller import current_caller
from kit.clock import Clock, unix_us
from kit.errors import LimitReached, OnwardError, WrongState
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.store import Unit
from kit.filters import COST_MAX
from kit.fql import FqlError, compile_condition
from kit.postgres.pool import Connection, Pool
from kit.rpc import names
from kit.rpc.names import malformed
from onward.delivery.v1 import facts_pb2 as facts
from onward.delivery.v1 import replay_service_pb2 as service
from onward.delivery.v1 import replays_pb2 as pb
from services.delivery.domain.replays import (
    ENDED,
    NUMBER_MAX,
    RATE_DEFAULT,
    group_numbers,
    parse_replay_id,
    replay_id,
    require_rate,
    require_selection,
)
from services.delivery.errors import HiddenReplay, MissingReplay
from services.delivery.handlers.acts import Acts
from services.delivery.handlers.replay_counts import ReplayCounts, Target
from services.delivery.handlers.replay_rows import queries, replay_of

log = structlog.get_logger(__name__)

# Replays of a workspace that have not ended: each costs the runner some queries a second.
ACTIVE_MAX = 50

Created = TypeVar("Created", service.CreateReplayResponse, service.RedriveDeliveriesResponse)
Asked = service.CreateReplayRequest | service.RedriveDeliveriesRequest


class Replays:
    """What people do. `refresh` brings what is known of destinations up to date, `woken` wakes the runner."""

    def __init__(
        self,
        acts: Acts,
        pool: Pool,
        counts: ReplayCounts,
        clock: Clock,
        refresh: Callable[[], Awaitable[object]],
        woken: Callable[[], None],
    ) -> None:
        self._acts = acts
        self._pool = pool
        self._counts = counts
        self._clock = clock
        self._refresh = refresh
        self._woken = woken

    async def create(self, request: service.CreateReplayRequest) -> service.CreateReplayResponse:
        """Raises InvalidArgument, WrongState, LimitReached."""
        return await self._create(request, service.CreateReplayResponse, pb.REPLAY_KIND_REPLAY)

    async def redrive(self, request: service.RedriveDeliveriesRequest) -> service.RedriveDeliveriesResponse:
        """Raises InvalidArgument, WrongState, LimitReached."""
        return await self._create(request, service.RedriveDeliveriesResponse, pb.REPLAY_KIND_REDRIVE)

    async def _create(self, request: Asked, response: type[Created], kind: int) -> Created:
        workspace, destination = names.DESTINATION.parse(request.destination, "destination")
        require_rate(request.rate_per_second)
        selection = self._selection(request.selection, kind)
        await self._look_at_registry()
        target = await self._target(workspace, destination)
        if request.validate_only:
            return response(preview=await self._counts.preview(target, selection, kind))
        await require_enabled(self._pool, target)
        preview = await self._counts.preview(target, selection, kind)

        async def act(unit: Unit, meta: Meta) -> Created:
            now_us = unix_us(self._clock)
            replay = await insert_replay(
                unit.connection, target, kind, selection, rate=request.rate_per_second or RATE_DEFAULT,
                principal=meta.principal, now_us=now_us, begins_at_us=0, preview=preview, told=True,
            )  # fmt: skip
            await unit.append([created_fact(replay)], meta)
            return response(replay=replay, preview=preview)

        answer = await self._acts.make(workspace, request, response, act)
        self._woken()
        return answer

    def _selection(self, asked: pb.ReplaySelection, kind: int) -> pb.ReplaySelection:
        """The selection with its end filled in. Raises InvalidArgument."""
        require_selection(asked, kind)
        require_condition(asked.condition)
        group_numbers(asked.error_groups)
        selection = pb.ReplaySelection()
        selection.CopyFrom(asked)
        now_us = unix_us(self._clock)
        if not asked.HasField("end_time") or asked.end_time.ToMicroseconds() > now_us:
            selection.end_time.FromMicroseconds(now_us)
        if asked.HasField("start_time") and asked.start_time.ToMicroseconds() >= selection.end_time.ToMicroseconds():
            raise malformed("selection.start_time", "must be before end_time, and in the past")
        return selection

    async def _look_at_registry(self) -> None:
        try:
            await self._refresh()
        except OnwardError as error:
            # What was known two seconds ago is nearly always still true, and what is not shows in the deliveries.
            log.warning("registry_not_read", reason=error.reason)

    async def _target(self, workspace: str, destination: str) -> Target:
        row = await self._pool.fetchrow(queries.connection, workspace, destination)
        name = names.DESTINATION.format(workspace, destination)
        if row is None:
            raise WrongState(f"{name} is not connected any more, so nothing can be run for it.")
        return Target(workspace, destination, row["source"], row["function"])

    async def cancel(self, request: service.CancelReplayRequest) -> service.CancelReplayResponse:
        """Raises MissingReplay, HiddenReplay, WrongState."""
        workspace, number = parse_name(request.name)

        async def act(unit: Unit, meta: Meta) -> service.CancelReplayResponse:
            row = await unit.connection.fetchrow(queries.lock_replay, workspace, number)
            row = shown(request.name, row, operates=True)
            if row["state"] in (*ENDED, pb.REPLAY_STATE_CANCELLING):
                raise WrongState(f"{request.name} has ended, or is about to.")
            replay = await begin_cancelling(unit, row, "cancelled", meta)
            return service.CancelReplayResponse(replay=replay)

        answer = await self._acts.make(workspace, request, service.CancelReplayResponse, act)
        self._woken()
        return answer

    async def get(self, name: str) -> pb.Replay:
        """Raises MissingReplay, HiddenReplay."""
        workspace, number = parse_name(name)
        return replay_of(shown(name, await self._pool.fetchrow(queries.get_replay, workspace, number)))

    async def list(self, workspace: str, destination: str, below: int, limit: int) -> list[pb.Replay]:
        """The newest below a number."""
        sources = current_caller().sources
        rows = await self._pool.fetch(
            queries.list_replays, workspace, destination, below, sources.all, sorted(sources.ids), limit
        )
        return [replay_of(row) for row in rows]


def parse_name(name: str) -> tuple[str, int]:
    workspace, replay = names.REPLAY.parse(name)
    return workspace, parse_replay_id(replay)


def shown(name: str, row: asyncpg.Record | None, *, operates: bool = False) -> asyncpg.Record:
    """The row, where the caller may see it, or with `operates` change it. Raises MissingReplay, HiddenReplay."""
    caller = current_caller()
    if row is None and caller.sources.all:
        raise MissingReplay(name)
    if row is None or row["source"] not in caller.sources:
        raise HiddenReplay(name)
    if operates and row["function"] not in caller.functions:
        raise HiddenReplay(name)
    return row


def require_condition(text: str) -> None:
    """Raises InvalidArgument with line and column, or where it takes too long."""
    if not text.strip():
        return
    try:
        cost = compile_condition(text).cost
    except FqlError as error:
        raise malformed("selection.condition", f"can't be read: {error}") from error
    if cost > COST_MAX:
        raise malformed("selection.condition", f"takes {cost} points for an event; {COST_MAX} are allowed")


async def require_enabled(reader: Pool | Connection, target: Target) -> None:
    """Raises WrongState."""
    row = await reader.fetchrow(queries.connection, target.workspace, target.destination)
    if row is None or not row["enabled"]:
        raise WrongState(
            f"{names.DESTINATION.format(*target[:2])} is disabled: everything would be skipped. Enable it first; that"
            " can begin with what was skipped."
        )


async def insert_replay(
    connection: Connection,
    target: Target,
    kind: int,
    selection: pb.ReplaySelection,
    *,
    rate: float,
    principal: str,
    now_us: int,
    begins_at_us: int,
    preview: pb.ReplayPreview,
    told: bool,
    ended_since_us: int = 0,
) -> pb.Replay:
    """A replay that begins. Raises LimitReached."""
    workspace = target.workspace
    # Nobody waits for the answer about one that a destination's being enabled asks for: it is made, and waits its turn.
    if told and await connection.fetchval(queries.count_active, workspace) >= ACTIVE_MAX:
        raise LimitReached(
            f"{ACTIVE_MAX} replays of the workspace have not ended. Wait for one, or cancel it.",
            metadata={"limit": "replays", "max": str(ACTIVE_MAX)},
        )
    number = await connection.fetchval(queries.next_number, workspace)
    if number > NUMBER_MAX:
        raise LimitReached(
            f"The workspace has had {NUMBER_MAX} replays, and can have no more.",
            metadata={"limit": "replay_numbers", "max": str(NUMBER_MAX)},
        )
    await connection.execute(
        queries.insert_replay, workspace, number, kind, pb.REPLAY_STATE_RUNNING, target.destination, target.source,
        target.function, selection.SerializeToString(), rate, principal, now_us, begins_at_us, told, preview.count,
        preview.is_estimate, ended_since_us,
    )  # fmt: skip
    row = await connection.fetchrow(queries.get_replay, workspace, number)
    assert row is not None
    return replay_of(row)


def stream_of(replay: str) -> str:
    """The stream of a replay's facts."""
    return f"replays/{replay}"


def created_fact(replay: pb.Replay) -> NewFact:
    """What the log tells of a replay that was made."""
    _, identifier = names.REPLAY.parse(replay.name)
    _, destination = names.DESTINATION.parse(replay.destination)
    fact = facts.ReplayCreated(
        replay=identifier,
        destination=destination,
        kind=replay.kind,
        selection=replay.selection,
        rate_per_second=replay.rate_per_second,
    )
    return NewFact(stream_of(identifier), fact)


async def begin_cancelling(unit: Unit, row: asyncpg.Record, reason: str, meta: Meta) -> pb.Replay:
    """Have it take up nothing more; the runner ends what waits."""
    key = (row["workspace"], row["number"])
    await unit.connection.execute(queries.set_state, *key, pb.REPLAY_STATE_CANCELLING, reason)
    identifier = replay_id(row["number"])
    fact = facts.ReplayCancelled(replay=identifier, destination=row["destination"], reason=reason)
    await unit.append([NewFact(stream_of(identifier), fact)], meta)
    after = await unit.connection.fetchrow(queries.get_replay, *key)
    assert after is not None
    return replay_of(after)
