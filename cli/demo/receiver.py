"""The API that the demo's functions call: a small HTTP server on this machine that is busy now and then."""

from __future__ import annotations

import json
from collections import Counter
from typing import Self

from aiohttp import web

from cli.demo.expectations import Rules

# Nothing that the demo sends is near this.
BODY_BYTES_MAX = 256 * 1024


class Receiver:
    """Answers `POST /<destination>` by the messageId in the body, and counts what it saw. An async context manager."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tries: Counter[tuple[str, str]] = Counter()
        # By destination and status.
        self.answered: Counter[tuple[str, int]] = Counter()
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_post("/{destination}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self.address = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def requests(self, destination: str) -> int:
        return sum(count for (name, _), count in self.answered.items() if name == destination)

    async def _answer(self, request: web.Request) -> web.Response:
        destination = request.match_info["destination"]
        body = json.loads(await request.read())
        # The survey's template sends it as `key`; a chat message has none.
        message_id = body.get("messageId") or body.get("key") or ""
        tries_before = self._tries[destination, message_id]
        self._tries[destination, message_id] += 1
        status = self._rules.status(message_id, tries_before) if message_id else 200
        self.answered[destination, status] += 1
        return web.json_response(_BODIES[status], status=status)


_BODIES = {
    200: {"ok": True},
    400: {"ok": False, "error": "order total does not match its lines"},
    503: {"ok": False, "error": "busy, try again"},
}
