"""The outgoing request as bytes: what user code may set, what is ours to set."""

import hashlib
import re
from functools import lru_cache
from typing import Final

from services.executor.runtime.egress import (
    EgressError,
    EgressLimits,
    EgressRequest,
    Headers,
    Scope,
    type_error,
)
from services.executor.runtime.egress_url import Origin

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
METHOD_CHARS_MAX: Final = 32
HEADERS_MAX: Final = 256
NAME_CHARS_MAX: Final = 256  # names in use have a fifth of it; bounds what the cache can hold
NAMES_CACHED_MAX: Final = 4096

# These frame the message, name the host or belong to the next hop: set by user code, they would smuggle
# requests.
_OURS: Final = frozenset(
    (
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
        "proxy-authorization", "te", "trailer", "upgrade", "expect", "http2-settings",
    )
)  # fmt: skip
# Headers of this prefix would speak for Onward.
_OUR_PREFIX: Final = "x-onward-"
# CONNECT opens tunnels, TRACE echoes credentials; fetch forbids both.
_FORBIDDEN_METHODS: Final = frozenset(("CONNECT", "TRACE", "TRACK"))
_CREDENTIALS: Final = frozenset(("authorization", "www-authenticate", "cookie", "cookie2"))
_KEYED_METHODS: Final = frozenset(("POST", "PATCH"))
# Node frames every other method as one with a body, which may be empty.
_BODYLESS_METHODS: Final = frozenset(("GET", "HEAD", "DELETE", "OPTIONS"))
_USER_AGENT: Final = "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"


def checked_method(method: str) -> str:
    """Upper case as node-fetch sends it; a TypeError-like error when it is no token."""
    method = method.upper()
    if len(method) > METHOD_CHARS_MAX or not _TOKEN.fullmatch(method) or method in _FORBIDDEN_METHODS:
        raise type_error("ERR_INVALID_HTTP_TOKEN", f'Method must be a valid HTTP token ["{method[:64]}"]')
    return method


def outgoing_headers(request: EgressRequest, method: str, scope: Scope, limits: EgressLimits) -> Headers:
    """The request's headers without those that are ours, and with what node-fetch adds where absent."""
    check_headers(request.headers, limits)
    headers: Headers = []
    present = set()
    for pair in request.headers:
        lower, ours = _judged_name(pair[0])
        if not ours:
            present.add(lower)
            headers.append(pair)
    if "accept" not in present and not request.plain:
        headers.append(("Accept", "*/*"))
    if "user-agent" not in present and not request.plain:
        headers.append(("User-Agent", _USER_AGENT))
    if request.compress and "accept-encoding" not in present:
        headers.append(("Accept-Encoding", "gzip,deflate"))
    if method in _KEYED_METHODS and scope.idempotency_seed is not None and "idempotency-key" not in present:
        headers.append(("Idempotency-Key", idempotency_key(scope, scope.idempotency_seed, method, request.url)))
    return headers


@lru_cache(maxsize=NAMES_CACHED_MAX)
def _judged_name(name: str) -> tuple[str, bool]:
    """The name in lower case, and whether it is ours to set; raises as node-fetch does when it is no name."""
    if len(name) > NAME_CHARS_MAX or not _TOKEN.fullmatch(name):
        raise type_error("ERR_INVALID_HTTP_TOKEN", f"{name[:64]} is not a legal HTTP header name")
    lower = name.lower()
    return lower, lower in _OURS or lower.startswith(_OUR_PREFIX)


def idempotency_key(scope: Scope, seed: str, method: str, url: str) -> str:
    """The same for the n-th such request of every attempt of a delivery; 128 bits of SHA-256."""
    number = scope.issued[method, url] = scope.issued.get((method, url), 0) + 1
    text = "\0".join((seed, method, url, str(number)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def check_headers(headers: Headers, limits: EgressLimits) -> None:
    """Raise as node-fetch does for a name or value that would break out of its line."""
    for name, value in headers:
        _judged_name(name)
        if _BAD_VALUE.search(value):
            raise type_error("ERR_INVALID_CHAR", f"{value[:64]} is not a legal HTTP header value")
    head_bytes = sum(len(name) + len(value) + 4 for name, value in headers)
    if len(headers) > HEADERS_MAX or head_bytes > limits.request_head_bytes_max:
        raise EgressError("TOO_LARGE", "max-size", f"request headers over limit: {limits.request_head_bytes_max}")


def without_credentials(headers: Headers) -> Headers:
    """What may follow a redirect to another origin."""
    return [(name, value) for name, value in headers if name.lower() not in _CREDENTIALS]


def without_body_headers(headers: Headers) -> Headers:
    """What may follow a redirect that turns the request into a GET."""
    return [(name, value) for name, value in headers if name.lower() != "idempotency-key"]


def serialise(method: str, origin: Origin, target: str, headers: Headers, body: bytes | None) -> bytes:
    """Request line, headers and body, in one write."""
    lines = [f"{method} {target} HTTP/1.1\r\nHost: {origin.host_header}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    if origin.authorization is not None and not any(name.lower() == "authorization" for name, _ in headers):
        lines.append(f"Authorization: {origin.authorization}\r\n")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}\r\n")
    elif method not in _BODYLESS_METHODS:
        lines.append("Content-Length: 0\r\n")
    lines.append("\r\n")
    head = "".join(lines).encode("latin-1")
    return head + body if body else head
