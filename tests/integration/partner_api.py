"""An API that answers by a list: what each method and target gives, one answer after the other."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.integration.recording_receiver import Receiver, Recorded, read_request

# [status, body, headers?]; a text goes as it is, anything else as JSON. Status 0: no answer ever.
Answer = list[Any]


@dataclass
class PartnerApi(Receiver):
    """What is asked more often than there are answers gets the last one again; what is not listed gets a 404."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    _given: dict[str, int] = field(default_factory=dict)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await read_request(reader)
        self.requests.append(request)
        status, body, *headers = self._next(request)
        if status == 0:
            await asyncio.Event().wait()
        writer.write(_response(request, status, body, headers[0] if headers else {}))
        return request.header("connection") != "close"

    def _next(self, request: Recorded) -> Answer:
        key = f"{request.method} {request.target}"
        listed = self.answers.get(key)
        if listed is None:
            return [404, f"nothing is listed for {key}"]
        place = self._given.get(key, 0)
        self._given[key] = place + 1
        return listed[min(place, len(listed) - 1)]


def _response(request: Recorded, status: int, body: Any, headers: dict[str, str]) -> bytes:
    is_text = isinstance(body, str)
    data = body.encode("latin-1") if is_text else json.dumps(body).encode()
    kind = "text/plain" if is_text else "application/json"
    lines = {"Content-Type": kind, "Content-Length": str(len(data)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    has_body = status not in (204, 304) and request.method != "HEAD"
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + (data if has_body else b"")
