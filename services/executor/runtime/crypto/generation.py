"""New key pairs. Secret keys are random bytes, which JavaScript takes itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519

from services.executor.runtime.crypto.curves import curve_of
from services.executor.runtime.crypto.frames import Refused, fields, framed, options
from services.executor.runtime.crypto.keys import PRIVATE, PUBLIC, described

# `cryptography` makes none below; signatures with less are no better than none.
RSA_BITS_MIN: Final = 1024
# More takes minutes, and nobody's API wants it.
RSA_BITS_MAX: Final = 16384


def _rsa(chosen: dict[str, Any]) -> Any:
    bits, exponent = int(chosen["modulusLength"]), int(chosen["publicExponent"])
    if bits < RSA_BITS_MIN:
        raise Refused("error:1C8000AB:Provider routines::key size too small")
    if bits > RSA_BITS_MAX:
        raise Refused("error:020000A4:rsa routines::modulus too large")
    if exponent not in (3, 65537):
        raise Refused("error:020000B2:rsa routines::pub exponent out of range")
    return rsa.generate_private_key(exponent, bits)


def _dsa(chosen: dict[str, Any]) -> Any:
    bits = int(chosen["modulusLength"])
    if bits not in (1024, 2048, 3072, 4096):
        raise Refused("error:05000070:dsa routines::bad ffc parameters")
    return dsa.generate_private_key(bits)


_GENERATORS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "rsa": _rsa,
    "dsa": _dsa,
    "ec": lambda chosen: ec.generate_private_key(curve_of(chosen["namedCurve"])),
    "ed25519": lambda _: ed25519.Ed25519PrivateKey.generate(),
    "ed448": lambda _: ed448.Ed448PrivateKey.generate(),
    "x25519": lambda _: x25519.X25519PrivateKey.generate(),
    "x448": lambda _: x448.X448PrivateKey.generate(),
}


def key_generate(data: bytes) -> bytes:
    """Field: options {type, modulusLength, publicExponent, namedCurve}. Answers the public and the private key."""
    chosen = options(fields(data, 1)[0])
    key = _GENERATORS[chosen["type"]](chosen)
    return framed(described(key.public_key(), PUBLIC), described(key, PRIVATE))
