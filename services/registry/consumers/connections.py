"""Ends connections to NATS whose key or token is no longer good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from kit.errors import OnwardError
from kit.eventstore.facts import NewFact
from kit.nats_auth.admission import publisher_name, reader_name
from kit.nats_auth.callout import DECISION_TIMEOUT_S
from kit.nats_auth.kicker import Kicker
from kit.waiting import is_set_within
from onward.registry.v1 import facts_pb2

log = structlog.get_logger(__name__)

# What another replica revoked and did not live to kick ends within this time.
REVIEW_INTERVAL_S = 30.0
# After these, somebody who is connected may no longer be welcome.
_ENDINGS = (
    facts_pb2.WriteKeyRevoked,
    facts_pb2.TokenRevoked,
    facts_pb2.RoleRevoked,
    facts_pb2.MemberRemoved,
)


class ConnectionKeeper:
    """Compares who is connected with who may be: soon after a revocation, and from time to time. `run` it."""

    def __init__(self, kicker: Kicker, ended: Callable[[Iterable[str]], Awaitable[list[str]]]) -> None:
        """`ended` answers which of some connections' names would no longer be let in."""
        self._kicker = kicker
        self._ended = ended
        # Revoked since the last look, as admissions name them.
        self._revoked: set[str] = set()
        self._woken = asyncio.Event()

    def notice(self, facts: Sequence[NewFact]) -> None:
        """Told what was committed."""
        if any(isinstance(fact.data, _ENDINGS) for fact in facts):
            self._revoked |= _revoked(facts)
            self._woken.set()

    async def run(self) -> None:
        """Keep on until cancelled; a server that is away is asked again at the next turn."""
        while True:
            await is_set_within(self._woken, REVIEW_INTERVAL_S)
            hurried = self._woken.is_set()
            self._woken.clear()
            revoked, self._revoked = self._revoked, set()
            await self._end_logged(revoked)
            if hurried:
                # A login that was being decided when the key was revoked comes through after the first look.
                await asyncio.sleep(DECISION_TIMEOUT_S)
                await self._end_logged(revoked)

    async def _end_logged(self, revoked: Iterable[str]) -> None:
        # By name first: it takes one question, however many others are connected.
        await self._kick_all(revoked)
        try:
            await self.review()
        except OnwardError as error:
            log.warning("connections_not_reviewed", reason=error.reason, error=str(error))

    async def review(self) -> None:
        """End what should have ended. Raises Unavailable where that can't be told."""
        await self._kick_all(await self._ended(await self._kicker.users()))

    async def _kick_all(self, names: Iterable[str]) -> None:
        """One that fails does not keep the others; the next review finds it."""
        for name in names:
            try:
                await self._kicker.kick(name)
            except OnwardError as error:
                log.warning("connections_not_kicked", user=name, reason=error.reason, error=str(error))


def _revoked(facts: Sequence[NewFact]) -> set[str]:
    """The names of the connections that these facts end, as far as they say so."""
    names = set()
    for fact in facts:
        if isinstance(fact.data, facts_pb2.WriteKeyRevoked):
            names.add(publisher_name(fact.data.key))
        elif isinstance(fact.data, facts_pb2.TokenRevoked):
            names.add(reader_name(fact.data.token))
    return names
