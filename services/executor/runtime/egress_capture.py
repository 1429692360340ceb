"""What a trace shows of an outgoing request: bounded, and free of secrets."""

import base64
import re
from datetime import datetime
from typing import Any, Final

from services.executor.runtime.egress import EgressError, EgressRequest, EgressResponse, Headers
from services.executor.runtime.redaction import Redactor

BODY_BYTES_MAX: Final = 16 << 10
HEADERS_MAX: Final = 100
HEADER_VALUE_CHARS_MAX: Final = 1024
URL_CHARS_MAX: Final = 2048
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

    Bodies are text where they are UTF-8, else base64 with `"base64": true`. Secrets are removed before
    anything is cut, so that no half of one remains at the end.
    """
    sent = response.request_headers if response is not None else request.headers
    record: Captured = {
        "method": request.method.upper()[:32],
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
        message = _cut(redactor.text(_USERINFO.sub("", error.message)), URL_CHARS_MAX)
        record["error"] = {"code": error.code, "type": error.type, "message": message}
    return record


def _response(response: EgressResponse, redactor: Redactor) -> Captured:
    return {
        "status": response.status,
        "reason": _cut(redactor.text(response.reason), HEADER_VALUE_CHARS_MAX),
        "url": _url(response.url, redactor),
        "redirected": response.redirected,
        "headers": _headers(response.headers, redactor),
        "body": _body(response.body, redactor),
    }


def _url(url: str, redactor: Redactor) -> str:
    return _cut(redactor.text(_USERINFO.sub("", url)), URL_CHARS_MAX)


def _headers(headers: Headers, redactor: Redactor) -> list[list[str]]:
    kept = redactor.headers(headers[:HEADERS_MAX])
    return [[name[:HEADER_VALUE_CHARS_MAX], _cut(value, HEADER_VALUE_CHARS_MAX)] for name, value in kept]


def _body(body: bytes, redactor: Redactor) -> Captured:
    # Far enough past the cut that a secret which straddles it is still recognised.
    visible = redactor.data(body[: BODY_BYTES_MAX * 2])
    cut = len(visible) > BODY_BYTES_MAX
    visible = visible[:BODY_BYTES_MAX]
    record: Captured = {"bytes": len(body), "cut": cut or len(body) > BODY_BYTES_MAX * 2}
    text = _as_text(visible, cut=record["cut"])
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
