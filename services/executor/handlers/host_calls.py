"""What an attempt called: its outgoing requests by host, for those who look at a partner's API as one thing."""

from __future__ import annotations

from typing import NamedTuple

from services.executor.handlers.work import Begun
from services.executor.runtime.egress import EgressError
from services.executor.runtime.egress_url import split_url
from services.executor.runtime.redaction import Redactor

# Requests that the broker did not let out, or could not make of what it was given, have called nobody.
_DENIED = "EGRESS_DENIED"
_NOT_MADE = "type-error"


class HostCall(NamedTuple):
    """One request that went out."""

    host: str
    # Of the answer; 0 where there was none.
    status: int
    # There was none, and it was waited for.
    failed: bool
    latency_us: int
    request_bytes: int
    response_bytes: int


def host_calls(begun: Begun, redactor: Redactor) -> list[HostCall]:
    """The requests of an attempt that has ended; those under way count as nobody waits for them."""
    calls: list[HostCall] = []
    for exchange in begun.exchanges:
        error = exchange.error
        if error is not None and (error.code == _DENIED or error.type == _NOT_MADE):
            continue
        try:
            host = split_url(exchange.request.url)[0].host
        except EgressError:
            continue
        calls.append(
            HostCall(
                # A host may be made of a setting.
                redactor.name(host),
                exchange.response.status if exchange.response is not None else 0,
                error is not None,
                int(exchange.duration_ms * 1000),
                exchange.request_bytes,
                exchange.response_bytes,
            )
        )
    return calls
