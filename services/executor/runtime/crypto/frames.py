"""How arguments and refusals pass between js/crypto and the operations here.

Arguments arrive as fields, each a little-endian uint32 length and that many bytes. A refusal becomes the error that
Node would throw: its text is JSON, {"name", "message", "code", "library", "reason"}, and never holds what was given.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from services.executor.runtime.host_calls import Operation, Refusal

_LENGTH: Final = struct.Struct("<I")


class Refused(Refusal):
    """What JavaScript is to throw."""

    def __init__(self, message: str, code: str = "", name: str = "Error", **extra: str) -> None:
        super().__init__(json.dumps({"name": name, "message": message, "code": code, **extra}))


def openssl_error(number: str, library: str, reason: str, code: str) -> Refused:
    """An error as Node words what OpenSSL reports."""
    return Refused(f"error:{number}:{library}::{reason}", code, library=library, reason=reason)


def operation_failed() -> Refused:
    """For whatever OpenSSL refuses without a reason that would help."""
    return Refused("Operation failed", "ERR_CRYPTO_OPERATION_FAILED")


def fields(data: bytes, count: int) -> list[memoryview]:
    """Split what js/crypto has framed into exactly `count` parts."""
    found = []
    offset = 0
    whole = memoryview(data)
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        if length > len(data) - offset:
            raise operation_failed()
        found.append(whole[offset : offset + length])
        offset += length
    return found


def uint32(field: memoryview) -> int:
    """A number that came as a field of its own."""
    (number,) = _LENGTH.unpack(field)
    return int(number)


def options(field: memoryview) -> dict[str, Any]:
    """A field of JSON: an object, whatever else is in it."""
    found = json.loads(bytes(field))
    if not isinstance(found, dict):
        raise operation_failed()
    return found


def framed(*parts: bytes) -> bytes:
    """An answer of several fields."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


__all__ = ["Operation", "Refused", "fields", "framed", "openssl_error", "operation_failed", "options", "uint32"]
