"""Deciding whether a token may do something to a resource."""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from kit.auth.caller import Caller
from kit.auth.demand import NOTHING, Demand, Subset
from kit.clock import Clock, SystemClock
from kit.errors import DeadlineExceeded, Internal, Unavailable

log = structlog.get_logger(__name__)

# The longest that a revoked token may still work outside the registry.
LEASE_S_MAX = 1.0
# About 3 MB; callers beyond that many are asked about again, which costs time and not safety.
LEASES_MAX = 10_000


class Authorizer(Protocol):
    """Knows tokens and roles. The registry decides by itself, the other services ask it."""

    async def authorize(self, token: str, demand: Demand) -> Caller:
        """Who the token is, if it may; otherwise `InvalidToken`, `PermissionDenied` or `NotFound`.

        The demand's resource is "" where the request's name is malformed: the token is to be judged before the
        resource. Somebody from outside the workspace is told `NotFound`, whether or not the resource exists.
        Raises `Unavailable` when nobody can tell: the call is then refused.
        """


@dataclass(frozen=True, slots=True)
class Grant:
    """The registry's yes: who it is, and for how long that may be relied on."""

    principal: str
    lease_s: float
    credential: str = ""
    functions: Subset = NOTHING
    sources: Subset = NOTHING


# Asks the registry about a token and what it wants.
Ask = Callable[[str, Demand], Awaitable[Grant]]


class RegistryAuthorizer:
    """Asks the registry, and remembers each yes for at most a second. A no is never remembered.

    Who goes through the deliveries of a destination, or the records of a trail, is asked about once a second.
    """

    def __init__(self, ask: Ask, clock: Clock | None = None, leases_max: int = LEASES_MAX) -> None:
        self._ask = ask
        self._clock = clock or SystemClock()
        self._leases_max = leases_max
        self._leases: OrderedDict[tuple[bytes, Demand], tuple[float, Caller]] = OrderedDict()

    async def authorize(self, token: str, demand: Demand) -> Caller:
        """See `Authorizer`."""
        # The token itself is not kept in memory.
        key = (hashlib.sha256(token.encode()).digest(), demand.scope)
        asked_at = self._clock.monotonic()
        until, caller = self._leases.get(key, (0.0, None))
        if caller is not None and asked_at < until:
            return replace(caller, demand=demand)
        grant = await self._grant(token, demand)
        caller = Caller(
            grant.principal,
            demand.workspace,
            frozenset(permission for permission, _ in demand.pairs),
            credential=grant.credential,
            functions=grant.functions,
            sources=grant.sources,
            demand=demand,
        )
        # From before the question: the decision may be as old as that.
        self._remember(key, asked_at + min(grant.lease_s, LEASE_S_MAX), caller)
        return caller

    async def _grant(self, token: str, demand: Demand) -> Grant:
        try:
            return await self._ask(token, demand)
        except (Unavailable, DeadlineExceeded, Internal) as error:
            log.warning("authorization_unavailable", failure=error.reason)
            raise Unavailable(
                "The registry can't be asked whether this is allowed, so it is refused; try again.", retry_after_s=1
            ) from error

    def _remember(self, key: tuple[bytes, Demand], until: float, caller: Caller) -> None:
        self._leases[key] = (until, caller)
        self._leases.move_to_end(key)
        while len(self._leases) > self._leases_max:
            self._leases.popitem(last=False)
