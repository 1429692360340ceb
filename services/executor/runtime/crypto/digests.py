"""Digests, HMACs and random bytes. Names are hashlib's; js/crypto/tables.js maps Node's to them."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives import hashes

from services.executor.runtime.crypto.frames import Refused, fields, uint32
from services.executor.runtime.crypto.ripemd160 import Ripemd160

# One call's worth; js/crypto/random.js asks again for more.
RANDOM_BYTES_MAX: Final = 1 << 20
# An extendable digest of more would only fill the worker's memory.
OUTPUT_BYTES_MAX: Final = 16 << 20

Constructor = Callable[..., Any]

_EXTENDABLE: Final[dict[str, Constructor]] = {"shake_128": hashlib.shake_128, "shake_256": hashlib.shake_256}


class _Md5Sha1:
    """The digest of TLS 1.0: both, one after the other."""

    digest_size = 36
    block_size = 64
    name = "md5-sha1"

    def __init__(self, data: bytes | memoryview = b"") -> None:
        self._parts = hashlib.md5(data, usedforsecurity=False), hashlib.sha1(data, usedforsecurity=False)

    def update(self, data: bytes | memoryview) -> None:
        for part in self._parts:
            part.update(data)

    def digest(self) -> bytes:
        return b"".join(part.digest() for part in self._parts)


class _Foreign:
    """A digest of the `cryptography` package, for a hashlib whose OpenSSL lacks it."""

    def __init__(self, algorithm: type[hashes.HashAlgorithm], data: bytes | memoryview = b"") -> None:
        self._hash = hashes.Hash(algorithm())
        self.digest_size = algorithm().digest_size
        self.block_size = getattr(algorithm(), "block_size", 64)
        self._hash.update(bytes(data))

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(bytes(data))

    def digest(self) -> bytes:
        return self._hash.finalize()


def _secure(name: str) -> Constructor:
    plain: Constructor = getattr(hashlib, name)
    return lambda data=b"": plain(data, usedforsecurity=False)


def _from_openssl(name: str, fallback: Constructor) -> Constructor:
    """hashlib's own where its OpenSSL has it: which of them are there differs between builds of Python."""
    try:
        hashlib.new(name, b"", usedforsecurity=False)
    except ValueError:
        return fallback
    return lambda data=b"": hashlib.new(name, data, usedforsecurity=False)


_ALWAYS: Final = (
    "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_224", "sha3_256", "sha3_384", "sha3_512", "blake2b",
    "blake2s",
)  # fmt: skip
DIGESTS: Final[dict[str, Constructor]] = {
    **{name: _secure(name) for name in _ALWAYS},
    "sha512_224": _from_openssl("sha512_224", lambda data=b"": _Foreign(hashes.SHA512_224, data)),
    "sha512_256": _from_openssl("sha512_256", lambda data=b"": _Foreign(hashes.SHA512_256, data)),
    "sm3": _from_openssl("sm3", lambda data=b"": _Foreign(hashes.SM3, data)),
    "ripemd160": _from_openssl("ripemd160", Ripemd160),
    "md5-sha1": _Md5Sha1,
}


def constructor(name: str) -> Constructor:
    """The digest of that name; Refused for one that is none, or that is extendable."""
    found = DIGESTS.get(name)
    if found is None:
        raise Refused("Digest method not supported", "ERR_CRYPTO_INVALID_DIGEST")
    return found


def digest_of(name: str, message: bytes | memoryview) -> bytes:
    """A digest of fixed length."""
    result: bytes = constructor(name)(message).digest()
    return result


def hmac_of(name: str, key: bytes, message: bytes) -> bytes:
    """The HMAC of any digest that is not extendable."""
    digest = constructor(name)
    return hmac.digest(key, message, name if name in _ALWAYS else digest)


def hash_digest(data: bytes) -> bytes:
    """Fields: algorithm, output length in bytes (0 where the algorithm has its own), message."""
    name, length, message = fields(data, 3)
    algorithm = str(name, "ascii")
    extendable = _EXTENDABLE.get(algorithm)
    if extendable is None:
        return digest_of(algorithm, message)
    wanted = uint32(length)
    if wanted > OUTPUT_BYTES_MAX:
        raise Refused("Unsupported state or unable to allocate memory", "ERR_OPERATION_FAILED")
    result: bytes = extendable(message, usedforsecurity=False).digest(wanted)
    return result


def hmac_digest(data: bytes) -> bytes:
    """Fields: algorithm, key, message."""
    name, key, message = fields(data, 3)
    return hmac_of(str(name, "ascii"), bytes(key), bytes(message))


def random_bytes(data: bytes) -> bytes:
    """Field: how many, as a little-endian uint32."""
    return os.urandom(min(uint32(fields(data, 1)[0]), RANDOM_BYTES_MAX))
