"""Elliptic curves under the names that OpenSSL, and so Node, has for them."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from services.executor.runtime.crypto.frames import Refused

_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "brainpoolP256r1": ec.BrainpoolP256R1,
    "brainpoolP384r1": ec.BrainpoolP384R1,
    "brainpoolP512r1": ec.BrainpoolP512R1,
    "prime192v1": ec.SECP192R1,
    "prime256v1": ec.SECP256R1,
    "secp224r1": ec.SECP224R1,
    "secp256k1": ec.SECP256K1,
    "secp384r1": ec.SECP384R1,
    "secp521r1": ec.SECP521R1,
}
# `cryptography`'s name of a curve to OpenSSL's.
NAMES: Final[dict[str, str]] = {str(curve.name): name for name, curve in _CURVES.items()}
_BY_ANY_NAME: Final[dict[str, type[ec.EllipticCurve]]] = {
    **{name.lower(): curve for name, curve in _CURVES.items()},
    "p-192": ec.SECP192R1, "p-224": ec.SECP224R1, "p-256": ec.SECP256R1, "p-384": ec.SECP384R1, "p-521": ec.SECP521R1,
}  # fmt: skip


def curve_of(name: str) -> ec.EllipticCurve:
    """By OpenSSL's name, or NIST's."""
    known = _BY_ANY_NAME.get(name.lower())
    if known is None:
        raise Refused("Invalid EC curve name", "ERR_CRYPTO_INVALID_CURVE", "TypeError")
    return known()
