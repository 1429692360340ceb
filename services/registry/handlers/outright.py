"""Changes that are one fact, decided by what is known, and written with all that belongs to it in one statement.

Most of what a change costs is asking Postgres ten times: to begin, for the lock, for an earlier answer, and so on. Here
it is asked once, or twice where the answer has more than the state. It refuses where the log is not where this process
knew it to be, or where the request_id was used; then, and whenever the decision is to refuse, the change is made again
the long way, under the workspace's lock, which tells a repeated request from one that is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from kit.auth.caller import current_caller
from kit.errors import OnwardError, Overloaded, Unavailable
from kit.eventstore.facts import NewFact
from kit.eventstore.store import Answered, EventStore, Place, Times
from services.registry import projections
from services.registry.domain.room import require_room
from services.registry.domain.state import State
from services.registry.handlers.causes import meta_of
from services.registry.handlers.clients import client_kept, client_of
from services.registry.handlers.repetition import Request, RequestHashes
from services.registry.handlers.states import Known, StateCache


class Positioned(Protocol):
    """A mutation's answer."""

    position: int

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


R = TypeVar("R", bound=Positioned)

# What a state makes of a request. Raises what there is to refuse.
Decide: TypeAlias = Callable[[State], Awaitable[list[NewFact]]]
# Fills in the times of an answer that was made before they were known, and leaves one alone that has them.
Stamp: TypeAlias = Callable[[R, Times], None]


@dataclass(frozen=True, slots=True)
class Outright(Generic[R]):
    """How such a change is made: the state before it decides, and the answer is made of the one after it.

    Only the statement knows the times, so what is kept for a repeated request has none: they are in the log. What else
    the state has not, and the fact leaves alone, the answer reads before the statement, which finds the log as it was.
    """

    decide: Decide
    answer: Callable[[State], Awaitable[R]]
    # None where the answer has no time that the change makes.
    stamp: Stamp[R] | None = None


class _Ready(NamedTuple, Generic[R]):
    """A change that only has to be written."""

    fact: NewFact
    version: int
    after: Known
    answer: R


class OutrightChanges:
    """Makes them, one at a time in a workspace."""

    def __init__(self, store: EventStore, hashes: RequestHashes, states: StateCache) -> None:
        self._store = store
        self._hashes = hashes
        self._states = states

    async def make(self, workspace: str, request: Request, change: Outright[R]) -> tuple[list[NewFact], R] | None:
        """The facts and the answer, when all is committed; None where nothing was done, for whatever reason."""
        async with self._store.turn(workspace):
            known = self._states.known(workspace)
            if known is None or not known.covers(current_caller()):
                return None
            try:
                ready = await _decided(workspace, change, known)
                times = await self._append(workspace, request, ready) if ready is not None else None
            except (Overloaded, Unavailable):
                raise
            except OnwardError:
                # It may be a request that was answered before, which only who holds the lock can tell.
                return None
            if ready is None or times is None:
                return None
            self._states.keep(workspace, ready.after)
        if change.stamp is not None:
            change.stamp(ready.answer, times)
        return [ready.fact], ready.answer

    async def _append(self, workspace: str, request: Request, ready: _Ready[R]) -> Times | None:
        caller = current_caller()
        also = [*projections.rows(workspace, ready.version, caller.principal, ready.fact.data)]
        if not also:
            return None
        client = client_of(caller)
        meta = meta_of(caller, client, request.request_id)
        if client:
            also.append(client_kept(client, meta, workspace, ready.after.position))
        answered = None
        if request.request_id:
            kept = ready.answer.SerializeToString(deterministic=True)
            answered = Answered(caller.principal, request.request_id, self._hashes.current(request), kept)
        place = Place(workspace, ready.after.position - 1, ready.version)
        return await self._store.append_one(place, ready.fact, meta, answered, also)


async def _decided(workspace: str, change: Outright[R], known: Known) -> _Ready[R] | None:
    facts = await change.decide(known.state)
    require_room(known.state, workspace, facts)
    if len(facts) != 1:
        return None
    (fact,) = facts
    after = known.after(known.position + 1, [fact.data])
    answer = await change.answer(after.state)
    answer.position = after.position
    return _Ready(fact, known.state.stream_version(fact.stream) + 1, after, answer)
