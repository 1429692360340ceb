"""Requests of user code on their way through the broker, and what is captured of them."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kit.clock import Clock
from services.executor.handlers.work import Item
from services.executor.runtime.broker import Broker
from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse, Scope
from services.executor.runtime.pool import HostRequest, Worker

# Statuses whose Retry-After is honoured.
_WAITING_STATUSES = frozenset({429, 503})
# A Retry-After of more than the whole horizon of retries says nothing more.
RETRY_AFTER_MAX_MS = 4 * 3600 * 1000


@dataclass(slots=True)
class Exchange:
    """One outgoing request with what came back."""

    request: EgressRequest
    started_at: datetime
    duration_ms: float = 0.0
    response: EgressResponse | None = None
    error: EgressError | None = None
    awaited: bool = True


class Egress:
    """Answers the host requests of workers. `run()` must be running: it owns the requests under way."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    def begin(self, worker: Worker, request: HostRequest, item: Item, scope: Scope) -> None:
        """Begin a request; the worker gets the answer when there is one, unless it is gone by then."""
        if request.kind != "fetch":
            worker.answer(request.request_id, error=_refusal(f"unknown request {request.kind!r}"))
            return
        try:
            wanted = _decode(request.payload)
        except (KeyError, TypeError, ValueError, binascii.Error):
            worker.answer(request.request_id, error=_refusal("malformed request"))
            return
        exchange = Exchange(wanted, started_at=self._clock.now())
        item.exchanges.append(exchange)
        if self._group is not None:
            self._group.create_task(self._fetch(worker, request.request_id, exchange, scope))

    async def _fetch(self, worker: Worker, request_id: int, exchange: Exchange, scope: Scope) -> None:
        begun = self._clock.monotonic()
        try:
            exchange.response = await self._broker.fetch(exchange.request, scope)
        except EgressError as error:
            exchange.error = error
        exchange.duration_ms = (self._clock.monotonic() - begun) * 1000
        failed = exchange.error
        if failed is not None:
            worker.answer(request_id, error={"code": failed.code, "type": failed.type, "message": str(failed)})
        elif exchange.response is not None:
            worker.answer(request_id, result=_encode(exchange.response))


def _refusal(message: str) -> dict[str, str]:
    return {"code": "ERR_INVALID_ARG", "type": "system", "message": message}


def _decode(payload: dict[str, Any]) -> EgressRequest:
    body = payload.get("body")
    optional = {name: payload[name] for name in ("redirect", "follow", "timeout_ms", "size", "compress")
                if payload.get(name) is not None}  # fmt: skip
    return EgressRequest(
        method=str(payload["method"]),
        url=str(payload["url"]),
        headers=[(str(name), str(value)) for name, value in payload.get("headers", [])],
        body=base64.b64decode(body) if body is not None else None,
        **optional,
    )


def _encode(response: EgressResponse) -> dict[str, Any]:
    return {
        "status": response.status,
        "statusText": response.reason,
        "url": response.url,
        "redirected": response.redirected,
        "headers": [list(pair) for pair in response.headers],
        "body": base64.b64encode(response.body).decode(),
    }


def saw_http_error(item: Item) -> bool:
    """Tell whether an answer of 400 or more was seen."""
    return any(one.response is not None and one.response.status >= 400 for one in item.exchanges)


def retry_after_ms(item: Item, clock: Clock) -> int:
    """Give the longest wait that a captured 429 or 503 asked for, in milliseconds; 0 where none did."""
    longest = 0
    for one in item.exchanges:
        if one.response is None or one.response.status not in _WAITING_STATUSES:
            continue
        for name, value in one.response.headers:
            if name.lower() == "retry-after":
                longest = max(longest, _wait_ms(value.strip(), clock))
    return min(longest, RETRY_AFTER_MAX_MS)


def _wait_ms(value: str, clock: Clock) -> int:
    if value.isdigit() and len(value) < 8:
        return int(value) * 1000
    try:
        moment = parsedate_to_datetime(value)
        return max(0, int((moment - clock.now()).total_seconds() * 1000))
    except (TypeError, ValueError):
        return 0
