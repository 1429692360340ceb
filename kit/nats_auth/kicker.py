"""Ends connections whose key is no longer good, on every server of a cluster.

A revoked key is refused at the next login, but a connection is only asked once. So whoever revokes one kicks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
import structlog

from kit.bus.connection import Bus
from kit.errors import Unavailable
from kit.nats_auth.admission import PUBLISHERS, READERS

log = structlog.get_logger(__name__)

# How many servers there are is not known: each says its word, and silence for so long means that all have. They
# answer within a millisecond.
SILENCE_S = 0.25
# A server that is busy, and alone.
FIRST_ANSWER_TIMEOUT_S = 2.0
# Far above any cluster.
SERVERS_MAX = 256
# The server's own limit of a page.
PAGE_CONNECTIONS = 1_024
# A million connections, far above what servers allow (`max_connections`, 65,536 unless set): none may be too far back
# to be found, and an answer that never ends must not keep us for ever.
PAGES_MAX = 1_024


class Connection(NamedTuple):
    """A client, as its server knows it."""

    user: str
    server_id: str
    client_id: int


class Kicker:
    """Finds and ends connections through the system account; the bus is one of the user `auth`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def kick(self, user: str) -> int:
        """End all connections of a user (an admission's name); how many there were. Raises Unavailable.

        A login that was being decided when the key was revoked may come through after this: kick again when
        `callout.DECISION_TIMEOUT_S` has passed, or compare `users()` with the good keys from time to time, which
        also finds what a crash between revoking and kicking has left.
        """
        ended = 0
        for _ in range(PAGES_MAX):
            page = await self._connections({"user": user})
            now_ended = sum([await self._end(connection) for connection in page])
            ended += now_ended
            if len(page) < PAGE_CONNECTIONS or not now_ended:
                break
        if ended:
            log.info("connections_kicked", user=user, count=ended)
        return ended

    async def users(self) -> Mapping[str, int]:
        """Who is connected with a key, and how many times. Raises Unavailable."""
        found: Counter[str] = Counter()
        for account in (PUBLISHERS, READERS):
            for page_number in range(PAGES_MAX):
                page = await self._connections({"acc": account, "offset": page_number * PAGE_CONNECTIONS})
                found.update(connection.user for connection in page)
                if len(page) < PAGE_CONNECTIONS:
                    break
        return found

    async def _end(self, connection: Connection) -> bool:
        """Whether it was there to be ended; its owner may have left meanwhile."""
        question = orjson.dumps({"cid": connection.client_id})
        reply = await self._bus.request(f"$SYS.REQ.SERVER.{connection.server_id}.KICK", question)
        return "error" not in orjson.loads(reply.data)

    async def _connections(self, wanted: Mapping[str, Any]) -> list[Connection]:
        """A page of connections of each server."""
        question = orjson.dumps({"auth": True, "limit": PAGE_CONNECTIONS, **wanted})
        return [
            Connection(one.get("authorized_user", ""), answer["server"]["id"], one["cid"])
            for answer in await self._ask_all("$SYS.REQ.SERVER.PING.CONNZ", question)
            for one in answer.get("data", {}).get("connections", [])
        ]

    async def _ask_all(self, subject: str, question: bytes) -> list[dict[str, Any]]:
        """The answers of all servers; raises Unavailable where none comes."""
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        inbox = self._bus.new_inbox()
        subscription = await self._bus.subscribe(inbox, lambda _subject, _reply, _head, data: answers.put_nowait(data))
        try:
            self._bus.send(subject, question, inbox)
            found = [_decoded(await _next(answers, FIRST_ANSWER_TIMEOUT_S))]
            with suppress(TimeoutError):
                while len(found) < SERVERS_MAX:
                    found.append(_decoded(await _next(answers, SILENCE_S)))
        except TimeoutError:
            raise Unavailable("NATS does not say who is connected; try again.", retry_after_s=1) from None
        finally:
            await self._bus.unsubscribe(subscription)
        return found


async def _next(answers: asyncio.Queue[bytes], timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        return await answers.get()


def _decoded(data: bytes) -> dict[str, Any]:
    """An answer; an empty one says that nobody listens there."""
    answer = orjson.loads(data) if data else {}
    if "server" not in answer:
        raise Unavailable("NATS does not say who is connected: is this user one of the system account?")
    return dict(answer)
