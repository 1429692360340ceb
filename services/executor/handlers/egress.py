"""Requests of user code on their way through the broker, and what is captured of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import structlog

from kit.clock import Clock
from services.executor.runtime.broker import Broker
from services.executor.runtime.egress import (
    EgressError,
    EgressRequest,
    EgressResponse,
    Scope,
    aborted,
    cut_off,
    system_error,
    type_error,
)
from services.executor.runtime.egress_capture import kept, kept_response
from services.executor.runtime.pool import HostRequest, Outcome, Worker

# Statuses whose Retry-After is honoured.
_WAITING_STATUSES = frozenset({429, 503})
# A Retry-After of more than the whole horizon of retries says nothing more.
RETRY_AFTER_MAX_MS = 4 * 3600 * 1000
# How long requests go on that a handler has not waited for: any usual API has taken them by then, and one that hangs
# must not keep connections from others.
FORSAKEN_S = 10.0
# Kinds of errors of attempts that were cut, whatever they waited for.
_CUT_KINDS = frozenset({"Timeout", "OutOfMemory", "Internal"})

# Of an attempt; host.js counts as well and stops there, unless its worker is compromised.
FETCHES_MAX = 50

log = structlog.get_logger()


@dataclass(slots=True)
class Exchange:
    """One outgoing request with what came back."""

    request: EgressRequest
    started_at: datetime
    duration_ms: float = 0.0
    response: EgressResponse | None = None
    error: EgressError | None = None
    awaited: bool = True
    # What user code calls it when it aborts it, and what carries it while it is under way.
    number: object = None
    task: asyncio.Task[None] | None = None
    aborted: bool = False
    # Of the whole bodies; only their beginnings are kept.
    request_bytes: int = 0
    response_bytes: int = 0


class Requester(Protocol):
    """Whatever makes requests: a delivery's item, or a run by hand."""

    exchanges: list[Exchange]


class Egress:
    """Answers the host requests of workers. `run()` must be running: it owns the requests under way."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None
        # Is told of every request that ended.
        self.observe: Callable[[Exchange], None] | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    def begin(self, worker: Worker, request: HostRequest, item: Requester, scope: Scope) -> None:
        """Begin a request; the worker gets the answer when there is one, unless it is gone by then."""
        if request.kind == "abort":
            abort(item, _number(request))
            worker.answer(request.request_id, result=None)
            return
        try:
            if request.kind != "fetch":
                raise type_error("ERR_INVALID_ARG_VALUE", f"there is no host request {request.kind!r}")
            if len(item.exchanges) >= FETCHES_MAX:
                raise EgressError("LIMIT", "limit", f"an attempt may make {FETCHES_MAX} requests")
            wanted = EgressRequest.from_payload(request.payload)
        except EgressError as error:
            worker.answer(request.request_id, error=error.as_rejection())
            return
        exchange = Exchange(wanted, started_at=self._clock.now(), request_bytes=len(wanted.body or b""))
        exchange.number = _number(request)
        item.exchanges.append(exchange)
        if self._group is not None:
            exchange.task = self._group.create_task(self._fetch(worker, request.request_id, exchange, scope))

    async def _fetch(self, worker: Worker, request_id: int, exchange: Exchange, scope: Scope) -> None:
        begun = self._clock.monotonic()
        response: EgressResponse | None = None
        try:
            response = await self._broker.fetch(exchange.request, scope)
        except EgressError as error:
            exchange.error, exchange.response = error, error.response
        except asyncio.CancelledError:
            if not exchange.aborted:
                raise
            exchange.error = exchange.error or aborted()
        except Exception:
            # A fault of ours in one request must not end the others: this one fails as a network failure.
            log.exception("request_failed_inside", destination=scope.destination)
            exchange.error = system_error("ECONNABORTED", "the request could not be made")
        exchange.task = None
        exchange.duration_ms = (self._clock.monotonic() - begun) * 1000
        if exchange.error is not None:
            worker.answer(request_id, error=exchange.error.as_rejection())
        elif response is not None:
            worker.answer(request_id, result=response.as_answer())
            exchange.response_bytes = len(response.body)
            exchange.response = kept_response(response)
        exchange.request = kept(exchange.request)
        if self.observe is not None:
            self.observe(exchange)


def _number(request: HostRequest) -> object:
    """Give the number that user code's side counts requests by; a compromised worker may send anything."""
    return request.payload.get("id") if isinstance(request.payload, dict) else None


def abort(item: Requester, number: object) -> None:
    """End the request that user code called by this number; the server may have seen it."""
    for exchange in item.exchanges:
        if number is not None and exchange.number == number:
            _end(exchange)


def _end(exchange: Exchange) -> None:
    if exchange.task is not None:
        exchange.aborted = True
        exchange.task.cancel()


def forsake(item: Requester, outcome: Outcome) -> None:
    """Say what becomes of requests under way when their attempt ends.

    A handler that has settled did not wait for them: they are sent, their answers dropped. An attempt that was cut
    waits for nothing any more: they end, sent or not, since its retry sends them again.
    """
    cut = outcome.error is not None and outcome.error.kind in _CUT_KINDS
    for exchange in item.exchanges:
        if exchange.response is not None or exchange.error is not None:
            continue
        if cut:
            exchange.error = cut_off()
            _end(exchange)
        else:
            exchange.awaited = False
            if exchange.task is not None:
                asyncio.get_running_loop().call_later(FORSAKEN_S, _end, exchange)


def http_error_status(item: Requester) -> int:
    """Give the last answer's status of 400 or more; 0 where none was seen."""
    statuses = [one.response.status for one in item.exchanges if one.response is not None]
    return next((status for status in reversed(statuses) if status >= 400), 0)


def retry_after_ms(item: Requester, clock: Clock) -> int:
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
    if value.isascii() and value.isdigit() and len(value) < 8:
        return int(value) * 1000
    try:
        moment = parsedate_to_datetime(value)
        return max(0, int((moment - clock.now()).total_seconds() * 1000))
    except (TypeError, ValueError):
        return 0
