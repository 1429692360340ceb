"""Keys from passwords and other keys: PBKDF2, scrypt and HKDF.

hashlib lets go of Python's lock while it works, so the worker's own watchdog ends what takes too long.
"""

from __future__ import annotations

import hashlib
from typing import Final

from services.executor.runtime.crypto.digests import DIGESTS, constructor, hmac_of
from services.executor.runtime.crypto.frames import Refused, fields, options

# More than this can't be allocated in a worker anyway.
DERIVED_BYTES_MAX: Final = 16 << 20
_SCRYPT_PR_MAX: Final = (1 << 30) - 1
_INT_MAX: Final = 2**31 - 1


def _failed() -> Refused:
    return Refused("Deriving bits failed")


def pbkdf2(data: bytes) -> bytes:
    """Fields: options {hash, iterations, length}, password, salt."""
    settings, password, salt = fields(data, 3)
    chosen = options(settings)
    name, iterations, length = chosen["hash"], int(chosen["iterations"]), int(chosen["length"])
    if name not in DIGESTS or not 0 < length <= DERIVED_BYTES_MAX:
        raise _failed()
    try:
        return hashlib.pbkdf2_hmac(name, password, salt, iterations, length)
    except ValueError:
        return _pbkdf2_of(name, bytes(password), bytes(salt), iterations, length)


def _pbkdf2_of(name: str, password: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """For digests that hashlib's OpenSSL lacks (RFC 8018, 5.2)."""
    derived = b""
    for block in range(1, length // constructor(name)().digest_size + 2):
        last = hmac_of(name, password, salt + block.to_bytes(4, "big"))
        mixed = int.from_bytes(last, "big")
        for _ in range(iterations - 1):
            last = hmac_of(name, password, last)
            mixed ^= int.from_bytes(last, "big")
        derived += mixed.to_bytes(len(last), "big")
    return derived[:length]


def hkdf(data: bytes) -> bytes:
    """Fields: options {hash, length}, key, salt, info (RFC 5869)."""
    settings, key, salt, info = fields(data, 4)
    chosen = options(settings)
    name, length = chosen["hash"], int(chosen["length"])
    if name not in DIGESTS or length <= 0:
        raise _failed()
    size = constructor(name)().digest_size
    if length > 255 * size:
        raise Refused("Invalid key length", "ERR_CRYPTO_INVALID_KEYLEN", "RangeError")
    pseudorandom = hmac_of(name, bytes(salt) or bytes(size), bytes(key))
    derived = last = b""
    for block in range(1, -(-length // size) + 1):
        last = hmac_of(name, pseudorandom, last + bytes(info) + bytes([block]))
        derived += last
    return derived[:length]


def _invalid_scrypt() -> Refused:
    message = "Invalid scrypt params: error:030000AC:digital envelope routines::memory limit exceeded"
    return Refused(message, "ERR_CRYPTO_INVALID_SCRYPT_PARAMS", "RangeError")


def scrypt(data: bytes) -> bytes:
    """Fields: options {N, r, p, maxmem, length}, password, salt."""
    settings, password, salt = fields(data, 3)
    chosen = options(settings)
    n, r, p, limit, length = (int(chosen[name]) for name in ("N", "r", "p", "maxmem", "length"))
    if n < 2 or n & (n - 1) or r < 1 or p < 1 or p > _SCRYPT_PR_MAX // r:
        raise _invalid_scrypt()
    # OpenSSL's own sum: p blocks, the table of N, and room for two more.
    needed = 128 * r * p + 32 * r * (n + 2) * 4
    if needed > limit or (16 * r <= 63 and n >= 1 << (16 * r)):
        raise _invalid_scrypt()
    if not 0 <= length <= DERIVED_BYTES_MAX:
        raise _failed()
    try:
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=min(limit, _INT_MAX), dklen=max(length, 1))[
            :length
        ]
    except (ValueError, OverflowError):
        raise _invalid_scrypt() from None
