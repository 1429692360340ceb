"""Refusals on their way into the trail: counted, bounded, and never in the way of the call that was refused."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Protocol

import structlog

from kit.auth.caller import ANONYMOUS
from kit.auth.demand import Demand
from kit.auth.names import workspace_in
from kit.auth.tokens import looks_like_jwt, parse_token, parse_write_key
from kit.clock import Clock, SystemClock
from kit.errors import DeadlineExceeded, InvalidToken, OnwardError, Overloaded, Unavailable
from kit.waiting import is_set_within
from onward.common.v1 import access_pb2

log = structlog.get_logger(__name__)

# Like refusals within this time are one record, with their number. Who is refused sees why at once; who reads the
# trail need not know it sooner.
WINDOW_S = 60.0
# Of those beyond a proof's `KEYS_MAX` only the number is told, by workspace; strangers may name any, so that beyond
# this part of it there is one number for all others.
OVERFLOWS_PART = 10
# What waits for the sink: two windows' worth.
PENDING_WINDOWS = 2
# As many as one RecordDenial takes.
BATCH_MAX = 200
# The sink is a database, or a registry that restarts.
RETRY_S = 1.0
# At the stop; what is not recorded by then is counted as lost.
DRAIN_S = 2.0
# What callers say about themselves is not to fill the trail.
METHOD_LENGTH_MAX = 256
RESOURCE_LENGTH_MAX = 512
CLIENT_LENGTH_MAX = 256
REASON_LENGTH_MAX = 64
PRINCIPAL_LENGTH_MAX = 128

# Other errors are no refusals: they say nothing about what somebody may do.
REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"})
# Stands for the id of a token that an identity provider made; those have none.
OIDC = "oidc"
# Begins what stands for the id of a source's write key.
WRITE_KEY_PREFIX = "key:"
# Begins the principal of who is known by his token alone.
TOKEN_PREFIX = "token:"  # noqa: S105  # no password
# The error may come right when tried again.
_PASSING = (Unavailable, DeadlineExceeded, Overloaded)


class Proof(Enum):
    """How much was proven of who was refused. Each has bounds of its own: strangers must not push others out."""

    # A member of the workspace that was asked for, a service, or the operator.
    MEMBER = "member"
    # The holder of another workspace's token.
    OUTSIDER = "outsider"
    NOTHING = "nothing"


# Different refusals of one window, about 1 kB each.
KEYS_MAX: Mapping[Proof, int] = {Proof.MEMBER: 1_000, Proof.OUTSIDER: 200, Proof.NOTHING: 100}


class Presented(Protocol):
    """What a refusal needs to know of a call, as kit.rpc.call.Call has it."""

    @property
    def method(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def client_address(self) -> str: ...
    @property
    def user_agent(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Like refusals, counted. No secret is in it: of a token only the id.

    `permission` is a number of `onward.common.v1.Permission`. `token_id` is what the function `token_id` makes of what
    the caller presented, known or not. `principal` is who he proved to be, if he did: a member of the workspace that
    was asked for, "operator", or "token:<id>" where he is of another workspace. `method` is empty where the refusals
    are of many kinds. Address and agent are those of the first, and not verified.
    """

    method: str
    resource: str
    permission: int
    reason: str
    token_id: str
    count: int
    first_time: datetime
    last_time: datetime
    client_address: str = ""
    user_agent: str = ""
    principal: str = ""

    @property
    def proof(self) -> Proof:
        if not self.principal:
            return Proof.NOTHING
        return Proof.OUTSIDER if self.principal.startswith(TOKEN_PREFIX) else Proof.MEMBER

    @property
    def key(self) -> tuple[object, ...]:
        """Refusals with the same key are alike."""
        kind = (self.method, self.permission, self.reason)
        if self.proof is Proof.NOTHING:
            # Anybody can make up any number of ids.
            return (*kind, workspace_in(self.resource))
        return (*kind, self.resource, self.token_id, self.principal)

    def merged(self, other: Refusal) -> Refusal:
        """Both, where `other` is a later one that is alike: what they have not in common is left out."""
        same = self.resource == other.resource
        return replace(
            self,
            resource=self.resource if same else _workspace_name(self.resource),
            token_id=self.token_id if self.token_id == other.token_id else "",
            count=self.count + other.count,
            last_time=other.last_time,
        )


# Records refusals, or raises an `OnwardError`. What it has recorded may be handed to it again, after an outage.
Sink = Callable[[Sequence[Refusal]], Awaitable[None]]


@dataclass(slots=True)
class _Window:
    """What became of refusals of one key since the first of them was handed on."""

    ends_at: float
    overflows: bool
    rest: Refusal | None = None

    def add(self, refusal: Refusal) -> None:
        self.rest = refusal if self.rest is None else self.rest.merged(refusal)


class _Share:
    """Refusals of one proof: windows, and what is to be handed on, within its own bounds."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._overflows_max = keys_max // OVERFLOWS_PART
        self._pending_max = keys_max * PENDING_WINDOWS
        # In the order in which they end.
        self._windows: OrderedDict[tuple[object, ...], _Window] = OrderedDict()
        self._overflows = 0
        self.pending: deque[Refusal] = deque()
        self.lost = 0

    @property
    def ends_at(self) -> float | None:
        """When the next window ends."""
        return next((window.ends_at for window in self._windows.values()), None)

    def add(self, refusal: Refusal, now: float, ends_at: float) -> None:
        self.close_windows(now)
        overflows = refusal.key not in self._windows and len(self._windows) - self._overflows >= self._keys_max
        if overflows:
            refusal = self._overflow(refusal)
        window = self._windows.get(refusal.key)
        if window is not None:
            window.add(refusal)
            return
        self._overflows += overflows
        self._windows[refusal.key] = _Window(ends_at, overflows)
        self._hand_on(refusal)

    def close_windows(self, now: float) -> None:
        """Hand on what windows that ended have counted."""
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.ends_at > now:
                return
            del self._windows[key]
            self._overflows -= window.overflows
            if window.rest is not None:
                self._hand_on(window.rest)

    def _overflow(self, refusal: Refusal) -> Refusal:
        """What stands for all that there is no room for: one for each workspace, and one for the workspaces."""
        told = _of_many_kinds(refusal, _workspace_name(refusal.resource))
        if told.key in self._windows or self._overflows < self._overflows_max:
            return told
        return _of_many_kinds(refusal, "")

    def _hand_on(self, refusal: Refusal) -> None:
        if len(self.pending) >= self._pending_max:
            self.lost += refusal.count
            return
        self.pending.append(refusal)


class DenialLog:
    """Hands refusals to the sink: the first of its kind at once, repetitions when the window ends.

    `run` it as long as the server answers; then `drain` it.
    """

    def __init__(self, sink: Sink, clock: Clock | None = None, *, window_s: float = WINDOW_S) -> None:
        self._sink = sink
        self._clock = clock or SystemClock()
        self._window_s = window_s
        # Members come first.
        self._shares = {proof: _Share(KEYS_MAX[proof]) for proof in Proof}
        self._woken = asyncio.Event()

    def note(self, call: Presented, demand: Demand, error: OnwardError, principal: str = "") -> None:
        """Take a refusal into account. Neither waits nor raises: the caller is to get the error and nothing else.

        `principal` is who was let in before he was refused.
        """
        if error.code not in REFUSALS:
            return
        try:
            self._add(_refusal(call, demand, error, principal, self._clock.now()))
        except Exception:
            log.exception("denial_lost", method=call.method)

    async def run(self) -> None:
        """Hand on until cancelled."""
        while True:
            await self._wait()
            try:
                await self.flush()
            except _PASSING as error:
                log.warning("denials_deferred", entries=len(self._waiting()), error=str(error), retry_in_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                self._woken.set()

    async def flush(self) -> None:
        """Hand on what waits, and the repetitions of windows that have ended. Raises what may be tried again."""
        self._close_windows(self._clock.monotonic())
        self._tell_lost()
        for share in self._shares.values():
            while share.pending:
                await self._send(share)

    async def drain(self, timeout_s: float = DRAIN_S) -> None:
        """Hand on everything now, open windows included; what can't be within the time is lost and logged."""
        self._close_windows(float("inf"))
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except (TimeoutError, *_PASSING) as error:
            reason = str(error) or f"not recorded within {timeout_s:g} s"
            log.warning("denials_lost", refusals=sum(one.count for one in self._waiting()), reason=reason)

    def _waiting(self) -> list[Refusal]:
        return [one for share in self._shares.values() for one in share.pending]

    def _tell_lost(self) -> None:
        for proof, share in self._shares.items():
            if share.lost:
                lost, share.lost = share.lost, 0
                reason = "the sink was away for too long"
                log.error("denials_lost", refusals=lost, proven=proof.value, reason=reason)

    async def _send(self, share: _Share) -> None:
        batch = [share.pending[n] for n in range(min(BATCH_MAX, len(share.pending)))]
        try:
            await self._sink(batch)
        except _PASSING:
            raise
        except Exception:
            # Handed on again, they would only keep the others out.
            log.exception("denials_lost", refusals=sum(one.count for one in batch))
        for _ in batch:
            share.pending.popleft()

    async def _wait(self) -> None:
        """Until something is to be handed on."""
        ends_at = min((share.ends_at for share in self._shares.values() if share.ends_at is not None), default=None)
        delay_s = None if ends_at is None else max(0.0, ends_at - self._clock.monotonic())
        await is_set_within(self._woken, delay_s)
        self._woken.clear()

    def _add(self, refusal: Refusal) -> None:
        now, share = self._clock.monotonic(), self._shares[refusal.proof]
        share.add(refusal, now, now + self._window_s)
        if share.pending:
            self._woken.set()

    def _close_windows(self, now: float) -> None:
        for share in self._shares.values():
            share.close_windows(now)


def token_id(token: str) -> str:
    """What may be told of a token: its id, whether or not it is known; of a write key "key:" and its id."""
    if looks_like_jwt(token):
        return OIDC
    with suppress(InvalidToken):
        return parse_token(token).id
    with suppress(InvalidToken):
        return f"{WRITE_KEY_PREFIX}{parse_write_key(token).id}"
    return ""


def told(text: str, length_max: int) -> str:
    """Text of a caller's that goes into the trail."""
    return text[:length_max].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _refusal(call: Presented, demand: Demand, error: OnwardError, principal: str, now: datetime) -> Refusal:
    permission, resource = _missing(demand, error)
    principal = error.principal or principal
    return Refusal(
        method=told(call.method, METHOD_LENGTH_MAX),
        resource=told(resource, RESOURCE_LENGTH_MAX),
        permission=permission,
        reason=error.reason,
        token_id=token_id(call.token),
        count=1,
        first_time=now,
        last_time=now,
        client_address=told(call.client_address, CLIENT_LENGTH_MAX),
        user_agent=told(call.user_agent, CLIENT_LENGTH_MAX),
        principal=principal if principal != ANONYMOUS.principal else "",
    )


def _missing(demand: Demand, error: OnwardError) -> tuple[int, str]:
    """What the error says was missing, where it says so; else the first of what was demanded."""
    number = access_pb2.Permission.DESCRIPTOR.values_by_name.get(f"PERMISSION_{error.metadata.get('permission', '')}")
    permission = number.number if number else demand.permission
    resource = error.metadata.get("resource", "")
    return permission, resource if (permission, resource) in demand.pairs else demand.resource


def _workspace_name(resource: str) -> str:
    workspace = workspace_in(resource)
    return f"workspaces/{workspace}" if workspace else ""


def _of_many_kinds(refusal: Refusal, resource: str) -> Refusal:
    return replace(
        refusal,
        method="",
        resource=resource,
        permission=access_pb2.PERMISSION_UNSPECIFIED,
        reason="",
        token_id="",
        client_address="",
        user_agent="",
        principal="",
    )
