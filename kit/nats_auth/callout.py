"""Answers the server's question whether a client may connect (NATS auth callout).

The server holds the services' own users itself and asks about everybody else. Several replicas may answer: one of
them gets each question. While none does, nobody but the services gets in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from kit.bus.connection import Bus, Subscription
from kit.clock import Clock, SystemClock
from kit.errors import InvalidArgument, OnwardError
from kit.nats_auth.admission import Admission, Presented, Refusal
from kit.nats_auth.claims import REQUEST_BYTES_MAX, answer, read_request
from kit.nats_auth.nkeys import issuer_of_seed

log = structlog.get_logger(__name__)

SUBJECT = "$SYS.REQ.USER.AUTH"
QUEUE = "onward-registry"
# The server's `authorization.timeout`: how long a client may take to say who it is, the question included. Clients
# wait no longer themselves, and after 2 s the server's first PING comes where nats-py expects the verdict.
AUTH_TIMEOUT_S = 2.0
# Below it, so that a slow answer is a refusal with a reason instead of silence.
DECISION_TIMEOUT_S = 1.5
# Each takes a connection to the database for a millisecond or two.
DECISIONS_MAX = 16
# All publishers come back at once after a restart of the server. What can't be decided in time tries again.
WAITING_MAX = 2_048

# Decides; must not raise for a bad key. An OnwardError (the database is away) refuses, and says why in the log.
Authenticate = Callable[[Presented], Awaitable[Admission | Refusal]]


class _Question(NamedTuple):
    reply: str
    data: bytes
    deadline: float


class CalloutResponder:
    """Answers through a connection as the user `auth`, with the key that the server trusts: `start`, then `run`."""

    def __init__(
        self,
        bus: Bus,
        issuer_seed: str,
        authenticate: Authenticate,
        *,
        clock: Clock | None = None,
        decision_timeout_s: float = DECISION_TIMEOUT_S,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._bus = bus
        self._issuer = issuer_of_seed(issuer_seed)
        self._authenticate = authenticate
        self._clock = clock or SystemClock()
        self._decision_timeout_s = decision_timeout_s
        self._waiting: asyncio.Queue[_Question] = asyncio.Queue(waiting_max)
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Be asked from now on."""
        self._subscription = await self._bus.subscribe(SUBJECT, self._receive, queue=QUEUE)
        await self._bus.flush()

    async def run(self) -> None:
        """Answer until cancelled."""
        assert self._subscription is not None, "not started"
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(DECISIONS_MAX):
                    group.create_task(self._work())
        finally:
            await self._bus.unsubscribe(self._subscription)

    def _receive(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        deadline = asyncio.get_running_loop().time() + self._decision_timeout_s
        question = _Question(reply.decode("utf-8", "replace"), data, deadline)
        if self._waiting.full() or len(data) > REQUEST_BYTES_MAX:
            log.warning("callout_overloaded", waiting=self._waiting.qsize(), request_bytes=len(data))
            self._refuse_unread(question)
        else:
            self._waiting.put_nowait(question)

    def _refuse_unread(self, question: _Question) -> None:
        """An answer without a word refuses; a signed one needs the request read."""
        if question.reply:
            self._bus.send(question.reply)

    async def _work(self) -> None:
        while True:
            question = await self._waiting.get()
            try:
                await self._answer(question)
            except OnwardError as error:
                # The server gives up by itself, and the client tries again.
                log.warning("callout_unanswered", reason=error.reason, error=str(error))

    async def _answer(self, question: _Question) -> None:
        try:
            request = read_request(question.data, self._issuer.public)
        except InvalidArgument as error:
            log.warning("callout_malformed", error=str(error))
            return self._refuse_unread(question)
        decision = await self._decide(request.presented, question.deadline)
        if isinstance(decision, Refusal):
            log.info("callout_refused", host=request.presented.host, reason=decision.reason)
        else:
            log.info("callout_admitted", host=request.presented.host, user=decision.name)
        self._bus.send(question.reply, answer(self._issuer, self._clock, request, decision))
        return None

    async def _decide(self, presented: Presented, deadline: float) -> Admission | Refusal:
        if not presented.secret:
            return Refusal("no key was presented")
        try:
            async with asyncio.timeout_at(deadline):
                return await self._authenticate(presented)
        except TimeoutError:
            return Refusal("the key could not be checked in time")
        except OnwardError as error:
            log.warning("callout_undecided", reason=error.reason, error=str(error))
            return Refusal("the key could not be checked")
        except Exception:
            # One client's fault, or a fault of ours that it brings out, must not keep the others out.
            log.exception("callout_failed")
            return Refusal("the key could not be checked")
