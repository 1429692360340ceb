"""What every mutation does around its decision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message

from kit.auth.caller import Caller, current_caller, set_caller
from kit.eventstore.facts import NewFact
from kit.eventstore.store import EventStore, Unit
from kit.postgres.pool import Connection
from kit.rpc.nul import refuse_nul
from services.registry import projections
from services.registry.domain.evolve import leave_events_alone, leave_rights_alone
from services.registry.domain.room import require_room
from services.registry.domain.state import State
from services.registry.handlers.causes import meta_of
from services.registry.handlers.clients import client_of, keep_client
from services.registry.handlers.outright import Decide, Outright, OutrightChanges, Stamp
from services.registry.handlers.repetition import Ask, Request, RequestHashes
from services.registry.handlers.states import Known, StateCache


class Response(Protocol):
    """A mutation's answer."""

    position: int

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802

    def ParseFromString(self, serialized: bytes) -> int: ...  # noqa: N802


R = TypeVar("R", bound=Response)

# Waits, bounded and without raising, until the relay has published a workspace's facts up to a position.
Published = Callable[[str, int], Awaitable[None]]
# Told what was committed; must not wait.
Noticed = Callable[[Sequence[NewFact]], None]
# Told of a workspace in which rights may be others from now on.
RightsChanged = Callable[[str], None]
# The caller with the rights that it has now, under the workspace's lock; raises where it may no longer do this.
Confirm = Callable[[Connection, Caller], Awaitable[Caller]]


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """One mutation of one workspace.

    `decide` may also write rows that are no projection (secrets), in the same transaction. `answer` reads the rows
    as the facts left them. `secrets` are fields of the answer that only the first caller sees. Where there is
    `outright`, it is tried before all that.
    """

    workspace: str
    request: Request
    response: type[R]
    decide: Callable[[Unit, State], Awaitable[list[NewFact]]]
    answer: Callable[[Connection, Sequence[NewFact]], Awaitable[R]]
    secrets: tuple[str, ...] = ()
    outright: Outright[R] | None = None


def by_state(decide: Decide) -> Callable[[Unit, State], Awaitable[list[NewFact]]]:
    """The same decision as part of a `Change`."""

    async def decide_locked(_unit: Unit, state: State) -> list[NewFact]:
        return await decide(state)

    return decide_locked


class Changes:
    """Makes changes, one at a time in a workspace."""

    def __init__(
        self,
        store: EventStore,
        hashes: RequestHashes,
        confirm: Confirm,
        published: Published,
        noticed: Noticed,
        rights_changed: RightsChanged,
    ) -> None:
        self._store = store
        self._rights_changed = rights_changed
        self._noticed = noticed
        self.hashes = hashes
        self._confirm = confirm
        self._published = published
        self._states = StateCache()
        self._outright = OutrightChanges(store, hashes, self._states)

    async def make(self, change: Change[R]) -> R:
        """The answer, when all is committed; the first answer again where the request is repeated."""
        assert isinstance(change.request, Message)
        refuse_nul(change.request)
        made = None
        if change.outright is not None:
            made = await self._outright.make(change.workspace, change.request, change.outright)
        if made is None:
            made = await self._make_locked(change)
        facts, response = made
        if not leave_rights_alone(fact.data for fact in facts):
            self._rights_changed(change.workspace)
        self._noticed(facts)
        # An event that is published after this answer then meets executors that know of the change. Of a repeated
        # request's facts nothing is known here.
        if not facts or not leave_events_alone(fact.data for fact in facts):
            await self._published(change.workspace, response.position)
        return response

    async def _make_locked(self, change: Change[R]) -> tuple[list[NewFact], R]:
        """The facts, none where the request is repeated, and the answer."""
        async with self._store.writing(change.workspace) as unit:
            known = await self._states.load(unit)
            await self._confirmed(unit, known)
            remembered = await self._remembered(unit, change)
            if remembered is not None:
                return [], remembered
            facts = await change.decide(unit, known.state)
            known = await self._record(unit, known, facts, change.request.request_id)
            response = await change.answer(unit.connection, facts)
            response.position = unit.position
            await self._remember(unit, change, response)
        self._states.keep(change.workspace, known)
        return facts, response

    async def recall(self, workspace: str, request: Request, response: type[R], stamp: Stamp[R]) -> R | None:
        """The first answer to a repeated request, for mutations that do something slow before they decide."""
        if not request.request_id:
            return None
        assert isinstance(request, Message)
        refuse_nul(request)
        # Under no lock: whoever goes on is asked again under it.
        answer = await self._recalled(partial(self._store.answered, workspace), request, response)
        if answer is not None:
            # As `make` does: what was answered before is not for whoever lost the role since the call came in.
            async with self._store.writing(workspace) as unit:
                await self._confirmed(unit, await self._states.load(unit))
                stamp(answer, await unit.times(answer.position))
        return answer

    async def state(self, workspace: str) -> State:
        """The workspace as it is now, for mutations that do something slow before they decide."""
        async with self._store.writing(workspace) as unit:
            return (await self._states.load(unit)).state

    async def _confirmed(self, unit: Unit, known: Known) -> None:
        """A role that was revoked since the call came in must not have this effect."""
        caller = current_caller()
        if not caller.known_at or caller.known_at < known.access_position:
            set_caller(await self._confirm(unit.connection, caller))

    async def _remembered(self, unit: Unit, change: Change[R]) -> R | None:
        if not change.request.request_id:
            return None
        answer = await self._recalled(unit.answered, change.request, change.response)
        if answer is not None and change.outright is not None and change.outright.stamp is not None:
            change.outright.stamp(answer, await unit.times(answer.position))
        return answer

    async def _recalled(self, ask: Ask, request: Request, response: type[R]) -> R | None:
        stored = await self.hashes.answered(ask, current_caller().principal, request)
        if stored is None:
            return None
        answer = response()
        answer.ParseFromString(stored)
        return answer

    async def _record(self, unit: Unit, known: Known, facts: Sequence[NewFact], request_id: str) -> Known:
        require_room(known.state, unit.workspace, facts)
        caller = current_caller()
        client = client_of(caller)
        meta = meta_of(caller, client, request_id)
        # The state that decided must be the log's own: a difference is a fault of ours, and refused.
        streams = {fact.stream for fact in facts if known.state.tracks(fact.stream)}
        expected = {stream: known.state.stream_version(stream) for stream in streams}
        recorded = await unit.append(facts, meta, expected)
        await keep_client(unit.connection, client, meta, recorded)
        await projections.project(unit.connection, recorded)
        return known.after(unit.position, [fact.data for fact in facts])

    async def _remember(self, unit: Unit, change: Change[R], response: R) -> None:
        if not change.request.request_id:
            return
        kept = change.response()
        kept.ParseFromString(response.SerializeToString())
        assert isinstance(kept, Message)
        for field in change.secrets:
            kept.ClearField(field)
        principal, request_id = current_caller().principal, change.request.request_id
        request_hash = self.hashes.current(change.request)
        await unit.remember(principal, request_id, request_hash, kept.SerializeToString(deterministic=True))
