"""What every mutation of the tracker does around its decision: repeated requests, facts, the answer's position.

Order of locks: first the log's head of the workspace (by `make`), then the deliveries of the workspace. Whoever holds
the latter, as the applying of outcomes does, must not append to the log in the same transaction: do it in another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from kit.auth.caller import current_caller
from kit.eventstore.facts import Meta, NewFact
from kit.eventstore.store import APPEND_FACTS_MAX, EventStore, Unit
from kit.rpc.nul import refuse_nul
from kit.telemetry.trace import traceparent

SERVICE_PRINCIPAL = "service:delivery"


class Response(Protocol):
    """A mutation's answer."""

    position: int

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802

    def ParseFromString(self, serialized: bytes) -> int: ...  # noqa: N802


class Request(Protocol):
    """A mutation's request; it holds no secret."""

    request_id: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


R = TypeVar("R", bound=Response)

# Waits, bounded and without raising, until the relay has published a workspace's facts up to a position.
Published = Callable[[str, int], Awaitable[None]]
# Makes the change within the unit's transaction, facts included, and gives the answer; its position is filled in.
Act = Callable[[Unit, Meta], Awaitable[R]]


class Acts:
    """Makes changes that people ask for, one at a time in a workspace."""

    def __init__(self, store: EventStore, published: Published) -> None:
        self._store = store
        self._published = published

    async def make(self, workspace: str, request: Request, response: type[R], act: Act[R]) -> R:
        """The answer, when all is committed; the first answer again where the request is repeated."""
        assert isinstance(request, Message)
        refuse_nul(request)
        answer = await self._make(workspace, request, response, act)
        await self._published(workspace, answer.position)
        return answer

    async def _make(self, workspace: str, request: Request, response: type[R], act: Act[R]) -> R:
        principal, request_id, request_hash = current_caller().principal, request.request_id, _hash(request)
        async with self._store.writing(workspace) as unit:
            stored = await unit.answered(principal, request_id, request_hash) if request_id else None
            if stored is not None:
                answer = response()
                answer.ParseFromString(stored)
                return answer
            answer = await act(unit, meta_of_caller(request_id))
            answer.position = unit.position
            if request_id:
                kept = answer.SerializeToString(deterministic=True)
                await unit.remember(principal, request_id, request_hash, kept)
        return answer


def meta_of_caller(request_id: str) -> Meta:
    """What facts tell of the call that is being served."""
    caller = current_caller()
    return Meta(caller.principal, credential=caller.credential, request_id=request_id, traceparent=traceparent())


def meta_of_service() -> Meta:
    """The same of what nobody called for."""
    return Meta(SERVICE_PRINCIPAL, traceparent=traceparent())


async def append_of_service(unit: Unit, stream: str, told: Sequence[Message]) -> None:
    """Record what nobody called for, however many facts it is."""
    for start in range(0, len(told), APPEND_FACTS_MAX):
        part = [NewFact(stream, one) for one in told[start : start + APPEND_FACTS_MAX]]
        await unit.append(part, meta_of_service())


def _hash(request: Request) -> str:
    assert isinstance(request, Message)
    named = request.DESCRIPTOR.full_name.encode() + b"\0" + request.SerializeToString(deterministic=True)
    return hashlib.sha256(named).hexdigest()
