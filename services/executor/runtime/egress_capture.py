"""What a trace shows of an outgoing request: bounded, and free of secrets."""

import base64
import re
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse, Headers
from services.executor.runtime.redaction import REDACTED, Redactor, is_sensitive_header

BODY_BYTES_MAX: Final = 16 << 10
HEADERS_MAX: Final = 100
HEADER_VALUE_CHARS_MAX: Final = 1024
URL_CHARS_MAX: Final = 2048
# As long as one that is sent may be; of a longer one nothing is shown.
METHOD_CHARS_MAX: Final = 32
# What is cut before secrets are masked is cut at twice the cap, so that one which straddles the cap is whole.
FAR: Final = 2
# Together not longer than a single part may be.
_SHORT_CHARS: Final = FAR * min(HEADER_VALUE_CHARS_MAX, URL_CHARS_MAX)
_CUT: Final = "... [cut]"
_USERINFO: Final = re.compile(r"(?<=://)[^/?#]*@")
_NOTHING: Final = Redactor(())

Captured = dict[str, Any]


def captured(
    request: EgressRequest,
    response: EgressResponse | None,
    error: EgressError | None,
    *,
    started_at: datetime,
    duration_ms: float,
    awaited: bool = True,
    redactor: Redactor = _NOTHING,
) -> Captured:
    """One request as traces keep it: JSON-ready, bodies cut at 16 KiB and marked.

    Bodies are text where they are UTF-8, else base64 with `"base64": true`. What `kept` has cut may end with the
    head of a secret, which is masked like a whole one.
    """
    sent = response.request_headers if response is not None else request.headers
    record: Captured = {
        "method": redactor.name(request.method.upper()) if len(request.method) <= METHOD_CHARS_MAX else _CUT,
        "url": _url(request.url, redactor),
        "headers": _headers(sent, redactor),
        "body": _body(request.body or b"", redactor),
        "started_at": started_at.isoformat(),
        "duration_ms": round(duration_ms, 3),
        "awaited": awaited,
    }
    if response is not None:
        record["response"] = _response(response, redactor)
    if error is not None:
        message = _shown(_USERINFO.sub("", error.message), redactor, URL_CHARS_MAX)
        record["error"] = {"code": error.code, "type": error.type, "message": message}
    return record


def _response(response: EgressResponse, redactor: Redactor) -> Captured:
    return {
        "status": response.status,
        "reason": _shown(response.reason, redactor, HEADER_VALUE_CHARS_MAX),
        "url": _url(response.url, redactor),
        "redirected": response.redirected,
        "headers": _headers(response.headers, redactor),
        "body": _body(response.body, redactor),
    }


def kept(request: EgressRequest) -> EgressRequest:
    """As much of a request as `captured` looks at: it waits in memory until its attempt ends."""
    if len(request.method) <= METHOD_CHARS_MAX and _is_short(request.headers, len(request.url), request.body):
        return request
    return replace(
        request,
        method=request.method[: METHOD_CHARS_MAX + 1],
        url=request.url[: FAR * URL_CHARS_MAX],
        headers=_kept_headers(request.headers),
        body=(request.body or b"")[: FAR * BODY_BYTES_MAX],
    )


def kept_response(response: EgressResponse) -> EgressResponse:
    """The same of an answer."""
    others = len(response.url) + len(response.reason)
    if _is_short(response.headers, others, response.body) and _is_short(response.request_headers):
        return response
    return replace(
        response,
        url=response.url[: FAR * URL_CHARS_MAX],
        reason=response.reason[: FAR * HEADER_VALUE_CHARS_MAX],
        headers=_kept_headers(response.headers),
        request_headers=_kept_headers(response.request_headers),
        body=response.body[: FAR * BODY_BYTES_MAX],
    )


def _is_short(headers: Headers, others_chars: int = 0, body: bytes | None = None) -> bool:
    """Whether nothing of this would be cut, as is usual: finding that out costs less than a copy."""
    chars = others_chars + sum([len(name) + len(value) for name, value in headers])
    return chars <= _SHORT_CHARS and len(headers) <= HEADERS_MAX and len(body or b"") <= FAR * BODY_BYTES_MAX


def _kept_headers(headers: Headers) -> Headers:
    far = FAR * HEADER_VALUE_CHARS_MAX
    # Whatever came before it, a wait that was asked for is kept.
    asked = [header for header in headers[HEADERS_MAX:] if header[0].lower() == "retry-after"]
    return [(name[:far], value[:far]) for name, value in headers[:HEADERS_MAX] + asked]


def _shown(text: str, redactor: Redactor, chars_max: int) -> str:
    if len(text) < FAR * chars_max:
        return _cut(redactor.text(text), chars_max)
    return redactor.cut_text(text[: FAR * chars_max])[:chars_max] + _CUT


def _url(url: str, redactor: Redactor) -> str:
    return _shown(_USERINFO.sub("", url), redactor, URL_CHARS_MAX)


def _headers(headers: Headers, redactor: Redactor) -> list[list[str]]:
    return [
        [
            redactor.name(name)[:HEADER_VALUE_CHARS_MAX],
            REDACTED if is_sensitive_header(name) else _shown(value, redactor, HEADER_VALUE_CHARS_MAX),
        ]
        for name, value in headers[:HEADERS_MAX]
    ]


def _body(body: bytes, redactor: Redactor) -> Captured:
    far = body[: FAR * BODY_BYTES_MAX]
    cut = len(far) == FAR * BODY_BYTES_MAX
    visible = redactor.data(far, cut=cut)
    cut = cut or len(visible) > BODY_BYTES_MAX
    visible = visible[:BODY_BYTES_MAX]
    record: Captured = {"bytes": len(body), "cut": cut}
    text = _as_text(visible, cut=cut)
    if text is None:
        return record | {"base64": True, "text": base64.b64encode(visible).decode("ascii")}
    return record | {"text": text}


def _as_text(data: bytes, *, cut: bool) -> str | None:
    """UTF-8 text, allowing for a character that the cut has split."""

    for trimmed in range(4 if cut else 1):
        try:
            return data[: len(data) - trimmed].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[:chars_max] + _CUT
