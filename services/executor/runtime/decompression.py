"""Response bodies decompressed under a bound on output, members and time on the event loop."""

import asyncio
import zlib
from typing import Final

from services.executor.runtime.egress import Headers, body_error, too_large

# Real answers have one member; a million empty ones cost quadratic time in naive decoders.
MEMBERS_MAX: Final = 1024
# Up to here decompression takes well under a millisecond; beyond, a thread does it.
INLINE_BYTES_MAX: Final = 16 << 10
_GZIP: Final = 16 + zlib.MAX_WBITS
_WINDOW_MIN: Final = 1 << 10
_WINDOW_MAX: Final = 1 << 18


def content_coding(headers: Headers) -> str | None:
    """`gzip`, `deflate`, or None for what is passed on as it came."""
    for name, value in headers:
        if name.lower() == "content-encoding":
            coding = value.removeprefix("x-")  # node-fetch knows them in lower case only
            return coding if coding in ("gzip", "deflate") else None
    return None


async def decompress(body: bytes, coding: str, url: str, size_max: int) -> bytes:
    """Decompress as node-fetch does: a truncated end is no error in gzip, a corrupt body is one."""
    if len(body) <= INLINE_BYTES_MAX:
        return _decompress(body, coding, url, size_max)
    return await asyncio.to_thread(_decompress, body, coding, url, size_max)


def _decompress(body: bytes, coding: str, url: str, size_max: int) -> bytes:
    if not body:
        return b""
    try:
        if coding == "gzip":
            return _gunzip(body, url, size_max)
        # Some servers send deflate without the zlib header that the standard asks for.
        wbits = zlib.MAX_WBITS if body[0] & 0x0F == 8 else -zlib.MAX_WBITS
        return _inflate(zlib.decompressobj(wbits), body, url, size_max)
    except zlib.error as error:
        reason = str(error).rpartition(": ")[2]
        raise body_error(url, "Z_DATA_ERROR", reason, network=False) from error


def _member(decoder: "zlib._Decompress", data: bytes, url: str, size_max: int) -> bytes:
    output = decoder.decompress(data, size_max + 1)
    if len(output) > size_max:
        raise too_large(url, size_max)
    return output


def _inflate(decoder: "zlib._Decompress", body: bytes, url: str, size_max: int) -> bytes:
    output = _member(decoder, body, url, size_max)
    if not decoder.eof:
        raise body_error(url, "Z_BUF_ERROR", "unexpected end of file", network=False)
    return output


def _gunzip(body: bytes, url: str, size_max: int) -> bytes:
    """All members, read through a window: a decoder copies what follows its member, which must stay small."""
    parts: list[bytes] = []
    position, left, members = 0, size_max, 0
    while position < len(body):
        members += 1
        if members > MEMBERS_MAX:
            raise body_error(url, "Z_DATA_ERROR", f"more than {MEMBERS_MAX} gzip members", network=False)
        if members > 1 and not body.startswith(b"\x1f\x8b", position):
            break  # zeros or other padding after the last member, which gunzip ignores
        decoder, window = zlib.decompressobj(_GZIP), _WINDOW_MIN
        while not decoder.eof and position < len(body):
            data = body[position : position + window]
            output = _member(decoder, data, url, left)
            position += len(data) - len(decoder.unused_data)
            window = min(window * 2, _WINDOW_MAX)
            left -= len(output)
            parts.append(output)
    return b"".join(parts)
