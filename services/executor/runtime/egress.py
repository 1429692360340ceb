"""What passes between user code and the egress broker: requests, responses, limits and errors.

Errors carry the codes, types and words of Node and node-fetch 2, because functions compare them.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from services.executor.runtime.addresses import Network

MIB: Final = 1 << 20
HEAD_CHARS_MAX: Final = 128 << 10  # URL and headers; the broker's own bounds are lower
COUNT_MAX: Final = 1 << 53  # the largest whole number of JavaScript; every real limit is lower

Headers = list[tuple[str, str]]
Phase = Literal["request", "body"]


@dataclass(frozen=True, slots=True)
class EgressLimits:
    """Bounds of everything that one request can cost; operators may change them."""

    request_body_bytes_max: int = 5 * MIB
    response_body_bytes_max: int = 5 * MIB  # compressed and decompressed, each
    # Node refuses more than 16 KiB of header by default; twice that leaves room for cookies that are
    # dropped anyway.
    response_head_bytes_max: int = 32 << 10
    response_headers_max: int = 256
    request_head_bytes_max: int = 64 << 10
    # Every informational answer (1xx) before the real one; servers send one or two.
    informational_max: int = 8
    redirects_max: int = 5
    # The longest wall time that a function may have (60 s): no answer is of use after it.
    total_ms: int = 60_000
    connect_ms: int = 10_000
    # One address that swallows packets must not use up the time of the next one.
    connect_fallback_ms: int = 1_000
    addresses_tried_max: int = 4
    per_host: int = 64  # requests at once to one host and port, for each workspace
    # The same for all workspaces together: a host that everybody uses and that hangs holds this many connections.
    per_host_of_all: int = 512
    per_destination: int = 50
    # Of everybody, to every host: eight such hosts, and far below the descriptors that a process may have.
    requests_max: int = 4_096
    # Of one workspace, whatever its hosts: seven others have room beside it.
    per_workspace: int = 512
    idle_ms: int = 15_000
    idle_per_host_max: int = 64
    idle_max: int = 1_024


@dataclass(frozen=True, slots=True)
class EgressRequest:
    """One call of fetch, or a `plain` one of Node's http client, to whose headers nothing is added.

    `timeout_ms` and `size` are node-fetch's options, 0 means none.
    """

    method: str
    url: str
    headers: Headers = field(default_factory=list)
    body: bytes | None = None
    redirect: str = "follow"
    follow: int = 5
    timeout_ms: int = 0
    size: int = 0
    compress: bool = True
    plain: bool = False

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Read what a worker sent. A worker may be compromised, so that every type is checked, even though
        values are checked later; raises a TypeError-like EgressError."""
        try:
            headers = [(_text(name), _text(value)) for name, value in payload["headers"]]
            body = payload.get("body")
            if sum(len(name) + len(value) for name, value in headers) + len(payload["url"]) > HEAD_CHARS_MAX:
                raise EgressError("TOO_LARGE", "max-size", f"the head of a request is over limit: {HEAD_CHARS_MAX}")
            return cls(
                method=_text(payload["method"]),
                url=_text(payload["url"]),
                headers=headers,
                body=None if body is None else base64.b64decode(_text(body), validate=True),
                redirect=_text(payload.get("redirect") or "follow"),
                follow=_count(payload.get("follow", 5)),
                timeout_ms=_count(payload.get("timeout_ms")),
                size=_count(payload.get("size")),
                compress=bool(payload.get("compress", True)),
                plain=bool(payload.get("plain", False)),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise type_error("ERR_INVALID_ARG_TYPE", "the request is malformed") from error


@dataclass(frozen=True, slots=True)
class Scope:
    """On whose behalf requests are made: one scope for each attempt.

    `idempotency_seed` is the delivery's, the same on every attempt; None sends no Idempotency-Key. `issued`
    counts equal requests of this attempt, so that two POSTs to one URL get two keys, and the same two on
    the next attempt.
    """

    workspace: str
    destination: str
    allowed_ranges: tuple[Network, ...] = ()
    idempotency_seed: str | None = None
    issued: dict[tuple[str, str], int] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EgressResponse:
    """An answer, its body decompressed; `request_headers` are those really sent on the last hop."""

    status: int
    reason: str
    url: str
    redirected: bool
    headers: Headers
    body: bytes
    request_headers: Headers
    elapsed_ms: float
    wire_bytes: int  # received body bytes, before decompression

    def as_answer(self) -> dict[str, object]:
        """What the JavaScript side receives."""
        return {
            "status": self.status,
            "statusText": self.reason,
            "url": self.url,
            "redirected": self.redirected,
            "headers": self.headers,
            "body": base64.b64encode(self.body).decode("ascii"),
        }


class EgressError(Exception):
    """A request that failed.

    `type` is node-fetch's (`system`, `request-timeout`, `max-size`, ...) or `type-error`, for which fetch
    throws a TypeError. `message` is the reason alone when type is `system` and phase is `request`
    (node-fetch puts `request to URL failed, reason: ` before it), the whole text otherwise. `network` says
    that retrying may help.
    """

    def __init__(
        self,
        code: str | None,
        type_: str,
        message: str,
        *,
        network: bool = False,
        phase: Phase = "request",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.type = type_
        self.message = message
        self.network = network
        self.phase: Phase = phase
        # Set by the broker: the URL of the hop that failed, the time that it was given, and the head of an answer
        # whose body failed.
        self.url: str | None = None
        self.timeout_ms: int | None = None
        self.response: EgressResponse | None = None

    @property
    def text(self) -> str:
        """The whole message of node-fetch's error."""
        if self.type == "system" and self.phase == "request":
            return f"request to {self.url} failed, reason: {self.message}"
        return self.message

    def as_rejection(self) -> dict[str, object]:
        """What the JavaScript side receives."""
        return {
            "code": self.code,
            "type": self.type,
            "message": self.message,
            "text": self.text,
            "url": self.url,
            "timeout_ms": self.timeout_ms,
            "network": self.network,
            "phase": self.phase,
            "response": None if self.response is None else self.response.as_answer(),
        }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {type(value).__name__}")
    return value


def _count(value: object) -> int:
    """Numbers of JavaScript are whole here; none, negative and NaN mean none."""
    if value is None:
        return 0
    if isinstance(value, str):
        # As timers and comparisons of JavaScript take it.
        value = float(value)
    if not isinstance(value, int | float):
        raise TypeError(f"expected a number, not {type(value).__name__}")
    return max(0, int(min(value, COUNT_MAX)))


def system_error(code: str, message: str) -> EgressError:
    """A failure of the network, worded as Node does."""
    return EgressError(code, "system", message, network=True)


def aborted() -> EgressError:
    """The user's AbortSignal ended the request; fetch has rejected already."""
    return EgressError(None, "aborted", "The user aborted a request.")


def cut_off() -> EgressError:
    """The attempt was cut while it waited: nobody is there to take an answer."""
    return EgressError(None, "cut-off", "the attempt ended before an answer came")


def body_error(url: str, code: str, message: str, *, network: bool = True) -> EgressError:
    """A failure after the status line: fetch resolved, reading the body rejects."""
    text = f"Invalid response body while trying to fetch {url}: {message}"
    return EgressError(code, "system", text, network=network, phase="body")


def denied() -> EgressError:
    """One text for every reason, so that user code can't map the network behind the broker by its answers."""
    return EgressError("EGRESS_DENIED", "system", "connections to this address are not allowed")


def type_error(code: str, message: str) -> EgressError:
    """A request that node-fetch refuses to make."""
    return EgressError(code, "type-error", message)


def too_large(url: str, limit: int, *, code: str | None = "TOO_LARGE") -> EgressError:
    return EgressError(code, "max-size", f"content size at {url} over limit: {limit}", phase="body")
