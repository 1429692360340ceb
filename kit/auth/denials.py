"""Refusals on their way into the trail: counted, bounded, and never in the way of the call that was refused."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from kit.auth.demand import Demand
from kit.auth.names import workspace_in
from kit.auth.tokens import looks_like_jwt, parse_token, parse_write_key
from kit.clock import Clock, SystemClock
from kit.errors import DeadlineExceeded, InvalidToken, OnwardError, Overloaded, Unavailable
from onward.common.v1 import access_pb2

log = structlog.get_logger(__name__)

# Like refusals within this time are one record, with their number. Who is refused sees why at once; who reads the
# trail need not know it sooner.
WINDOW_S = 60.0
# Different refusals of one window, about 1 kB each. Those beyond are told by their number.
KEYS_MAX = 1_000
# Strangers may name any workspace, so that also what is told by number alone needs a bound.
OVERFLOWS_MAX = 100
# What waits for the sink: two windows' worth.
PENDING_MAX = 2_000
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

# Other errors are no refusals: they say nothing about what somebody may do.
REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"})
# Stands for the id of a token that an identity provider made; those have none.
OIDC = "oidc"
# Begins what stands for the id of a source's write key.
WRITE_KEY_PREFIX = "key:"
# The error may come right when tried again.
_PASSING = (Unavailable, DeadlineExceeded, Overloaded)


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
    the caller presented, known or not. `method` is empty where the refusals are of many kinds. Address and agent are
    those of the first, and not verified.
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

    @property
    def key(self) -> tuple[object, ...]:
        """Refusals with the same key are alike."""
        return (self.method, self.resource, self.permission, self.reason, self.token_id)


# Records refusals, or raises an `OnwardError`. What it has recorded may be handed to it again, after an outage.
Sink = Callable[[Sequence[Refusal]], Awaitable[None]]


@dataclass(slots=True)
class _Window:
    """What became of refusals of one key since the first of them was handed on."""

    ends_at: float
    first: Refusal
    further: int = 0
    further_since: datetime | None = None
    last_time: datetime | None = None

    def add(self, now: datetime) -> None:
        self.further += 1
        self.further_since = self.further_since or now
        self.last_time = now

    def rest(self) -> Refusal | None:
        """Those that followed the first; None where there were none."""
        if self.further_since is None or self.last_time is None:
            return None
        return replace(self.first, count=self.further, first_time=self.further_since, last_time=self.last_time)


class DenialLog:
    """Hands refusals to the sink: the first of its kind at once, repetitions when the window ends.

    `run` it as long as the server answers; then `drain` it.
    """

    def __init__(self, sink: Sink, clock: Clock | None = None, *, window_s: float = WINDOW_S) -> None:
        self._sink = sink
        self._clock = clock or SystemClock()
        self._window_s = window_s
        # In the order in which they end.
        self._windows: OrderedDict[tuple[object, ...], _Window] = OrderedDict()
        self._overflows = 0
        self._pending: deque[Refusal] = deque()
        self._lost = 0
        self._woken = asyncio.Event()

    def note(self, call: Presented, demand: Demand, error: OnwardError) -> None:
        """Take a refusal into account. Neither waits nor raises: the caller is to get the error and nothing else."""
        if error.code not in REFUSALS:
            return
        try:
            self._add(_refusal(call, demand, error, self._clock.now()))
        except Exception:
            log.exception("denial_lost", method=call.method)

    async def run(self) -> None:
        """Hand on until cancelled."""
        while True:
            await self._wait()
            try:
                await self.flush()
            except _PASSING as error:
                log.warning("denials_deferred", entries=len(self._pending), error=str(error), retry_in_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                self._woken.set()

    async def flush(self) -> None:
        """Hand on what waits, and the repetitions of windows that have ended. Raises what may be tried again."""
        self._close_windows(self._clock.monotonic())
        if self._lost:
            lost, self._lost = self._lost, 0
            log.error("denials_lost", refusals=lost, reason="the sink was away for too long")
        while self._pending:
            await self._send([self._pending[n] for n in range(min(BATCH_MAX, len(self._pending)))])

    async def drain(self, timeout_s: float = DRAIN_S) -> None:
        """Hand on everything now, open windows included; what can't be within the time is lost and logged."""
        self._close_windows(float("inf"))
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except (TimeoutError, *_PASSING) as error:
            reason = str(error) or f"not recorded within {timeout_s:g} s"
            log.warning("denials_lost", refusals=sum(one.count for one in self._pending), reason=reason)

    async def _send(self, batch: Sequence[Refusal]) -> None:
        try:
            await self._sink(batch)
        except _PASSING:
            raise
        except Exception:
            # Handed on again, they would only keep the others out.
            log.exception("denials_lost", refusals=sum(one.count for one in batch))
        for _ in batch:
            self._pending.popleft()

    async def _wait(self) -> None:
        """Until something is to be handed on."""
        ends_at = next((window.ends_at for window in self._windows.values()), None)
        delay_s = None if ends_at is None else max(0.0, ends_at - self._clock.monotonic())
        try:
            async with asyncio.timeout(delay_s):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    def _add(self, refusal: Refusal) -> None:
        window = self._windows.get(refusal.key)
        if window is None and len(self._windows) - self._overflows >= KEYS_MAX:
            refusal = self._overflow(refusal)
            window = self._windows.get(refusal.key)
        if window is None:
            self._windows[refusal.key] = _Window(self._clock.monotonic() + self._window_s, refusal)
            self._hand_on(refusal)
        elif window.ends_at <= self._clock.monotonic():
            self._close_windows(self._clock.monotonic())
            self._add(refusal)
        else:
            window.add(refusal.last_time)

    def _overflow(self, refusal: Refusal) -> Refusal:
        """What stands for all that there is no room for: one for each workspace, and one for the workspaces."""
        workspace = workspace_in(refusal.resource)
        told = _of_many_kinds(refusal, f"workspaces/{workspace}" if workspace else "")
        if told.key in self._windows:
            return told
        if self._overflows >= OVERFLOWS_MAX:
            told = _of_many_kinds(refusal, "")
        if told.key not in self._windows:
            self._overflows += 1
        return told

    def _close_windows(self, now: float) -> None:
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.ends_at > now:
                return
            del self._windows[key]
            self._overflows -= not window.first.method
            rest = window.rest()
            if rest is not None:
                self._hand_on(rest)

    def _hand_on(self, refusal: Refusal) -> None:
        if len(self._pending) >= PENDING_MAX:
            self._lost += refusal.count
            return
        self._pending.append(refusal)
        self._woken.set()


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


def _refusal(call: Presented, demand: Demand, error: OnwardError, now: datetime) -> Refusal:
    permission, resource = _missing(demand, error)
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
    )


def _missing(demand: Demand, error: OnwardError) -> tuple[int, str]:
    """What the error says was missing, where it says so; else the first of what was demanded."""
    number = access_pb2.Permission.DESCRIPTOR.values_by_name.get(f"PERMISSION_{error.metadata.get('permission', '')}")
    permission = number.number if number else demand.permission
    resource = error.metadata.get("resource", "")
    return permission, resource if (permission, resource) in demand.pairs else demand.resource


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
    )
