"""An API on loopback that remembers what it was sent, by Idempotency-Key."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import orjson
from aiohttp import web

# What a function that delivers to it looks like.
POST = """
async function onTrack(event, settings) {
    const response = await fetch(settings.endpoint, {
        method: 'POST',
        headers: {'content-type': 'application/json'},
        body: JSON.stringify({messageId: event.messageId, event: event.event}),
    });
    if (response.status >= 500) throw new RetryError('busy: ' + response.status);
    if (!response.ok) throw new Error('refused: ' + response.status);
}
"""


@dataclass(slots=True)
class Receipts:
    """What came of one messageId."""

    keys: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)


class Receiver:
    """Answers 200; use it as an async context manager.

    `status` chooses another answer by messageId and the number of requests with it so far; `before_answer` runs once
    the request is read; `answers` holds answers back while it is cleared.
    """

    def __init__(
        self,
        status: Callable[[str, int], int] = lambda _id, _seen: 200,
        before_answer: Callable[[str, int], None] = lambda _id, _seen: None,
    ) -> None:
        self._status = status
        self._before_answer = before_answer
        self.received: defaultdict[str, Receipts] = defaultdict(Receipts)
        self.answers = asyncio.Event()
        self.answers.set()
        self.answered = 0
        application = web.Application()
        application.router.add_post("/", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        self.address = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.answers.set()
        await self._runner.cleanup()

    @property
    def requests(self) -> int:
        return sum(sum(one.keys.values()) for one in self.received.values())

    async def _answer(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        message_id = body["messageId"]
        receipts = self.received[message_id]
        seen = sum(receipts.keys.values())
        receipts.keys[request.headers["Idempotency-Key"]] += 1
        receipts.events.append(body["event"])
        self._before_answer(message_id, seen)
        await self.answers.wait()
        response = web.Response(status=self._status(message_id, seen))
        await response.prepare(request)
        await response.write_eof()
        self.answered += 1
        return response
