"""The part of Node's `crypto` that runs in Python: operations of `hostSync` (see js/crypto.js).

Arguments arrive as fields, each a little-endian uint32 length and that many bytes. What an operation raises becomes an
Error in JavaScript, so that messages are Node's.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable
from typing import Final

Operation = Callable[[bytes], bytes]

# Numbers of operations; js/crypto.js has the same.
HASH: Final = 16
HMAC: Final = 17
RANDOM: Final = 18

_LENGTH: Final = struct.Struct("<I")
# One call's worth; keys and nonces are far smaller.
RANDOM_BYTES_MAX: Final = 1 << 20

# Names that OpenSSL, and so Node, writes in another way than hashlib.
_ALIASES: Final = {
    "rsa-md5": "md5",
    "rsa-sha1": "sha1",
    "rsa-sha224": "sha224",
    "rsa-sha256": "sha256",
    "rsa-sha384": "sha384",
    "rsa-sha512": "sha512",
    "rmd160": "ripemd160",
    "ripemd": "ripemd160",
    "sha512-224": "sha512_224",
    "sha512-256": "sha512_256",
    "sha3-224": "sha3_224",
    "sha3-256": "sha3_256",
    "sha3-384": "sha3_384",
    "sha3-512": "sha3_512",
    "blake2b512": "blake2b",
    "blake2s256": "blake2s",
}
_INVALID_DIGEST: Final = "Digest method not supported"


def fields(data: bytes) -> list[bytes]:
    """Split what js/crypto.js has framed."""
    found = []
    offset = 0
    while offset < len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        found.append(data[offset : offset + length])
        offset += length
    return found


def digest_name(name: bytes) -> str:
    """hashlib's name for OpenSSL's; ValueError for one that hashlib does not know."""
    text = name.decode("utf-8", "replace").lower()
    known = _ALIASES.get(text, text)
    if known.startswith("shake") or known not in hashlib.algorithms_available:
        raise ValueError(_INVALID_DIGEST)
    return known


def hash_digest(data: bytes) -> bytes:
    """Fields: algorithm, message."""
    name, message = fields(data)
    return hashlib.new(digest_name(name), message, usedforsecurity=False).digest()


def hmac_digest(data: bytes) -> bytes:
    """Fields: algorithm, key, message."""
    name, key, message = fields(data)
    try:
        known = digest_name(name)
    except ValueError:
        raise ValueError(f"Invalid digest: {name.decode('ascii', 'replace')}") from None
    return hmac.digest(key, message, known)


def random_bytes(data: bytes) -> bytes:
    """Field: how many, as a little-endian uint32."""
    (size,) = _LENGTH.unpack(fields(data)[0])
    return os.urandom(min(size, RANDOM_BYTES_MAX))


OPS: Final[dict[int, Operation]] = {HASH: hash_digest, HMAC: hmac_digest, RANDOM: random_bytes}
