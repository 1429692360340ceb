"""Shared secrets: Diffie-Hellman over curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519

from services.executor.runtime.crypto.curves import curve_of
from services.executor.runtime.crypto.frames import Refused, fields, framed, operation_failed, options
from services.executor.runtime.crypto.keys import PRIVATE, loaded, loaded_public

_HYBRID_EVEN: Final = 6


def agree(data: bytes) -> bytes:
    """Fields: options {kind}, own PKCS #8, the other's DER. Both keys are of one type."""
    settings, own, other = fields(data, 3)
    private = loaded(PRIVATE, own)
    public = loaded_public(options(settings)["kind"], other)
    try:
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return private.exchange(ec.ECDH(), public)
        if isinstance(private, x25519.X25519PrivateKey | x448.X448PrivateKey):
            return private.exchange(public)
    except (ValueError, TypeError):
        pass
    raise Refused("diffieHellman failed", "ERR_CRYPTO_OPERATION_FAILED")


def point_of(public: ec.EllipticCurvePublicKey, form: str) -> bytes:
    """A point in one of X9.62's three forms."""
    formats = serialization.PublicFormat
    chosen = formats.CompressedPoint if form == "compressed" else formats.UncompressedPoint
    encoded = public.public_bytes(serialization.Encoding.X962, chosen)
    if form == "hybrid":
        return bytes([_HYBRID_EVEN | encoded[-1] & 1]) + encoded[1:]
    return encoded


def _point(curve: ec.EllipticCurve, encoded: bytes) -> ec.EllipticCurvePublicKey:
    if encoded and encoded[0] in (_HYBRID_EVEN, _HYBRID_EVEN | 1):
        encoded = b"\x04" + encoded[1:]
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, encoded)


def _own(curve: ec.EllipticCurve, scalar: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        return ec.derive_private_key(int.from_bytes(scalar, "big"), curve)
    except ValueError:
        message = "Private key is not valid for specified curve."
        raise Refused(message, "ERR_CRYPTO_INVALID_KEYTYPE", "RangeError") from None


def _new(curve: ec.EllipticCurve, _: dict[str, Any], __: bytes, ___: bytes) -> bytes:
    key = ec.generate_private_key(curve)
    scalar = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    return framed(scalar, point_of(key.public_key(), "uncompressed"))


def _public(curve: ec.EllipticCurve, _: dict[str, Any], scalar: bytes, __: bytes) -> bytes:
    return point_of(_own(curve, scalar).public_key(), "uncompressed")


def _secret(curve: ec.EllipticCurve, _: dict[str, Any], scalar: bytes, other: bytes) -> bytes:
    try:
        public = _point(curve, other)
    except ValueError:
        message = "Public key is not valid for specified curve"
        raise Refused(message, "ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY") from None
    return _own(curve, scalar).exchange(ec.ECDH(), public)


def _converted(curve: ec.EllipticCurve, chosen: dict[str, Any], _: bytes, other: bytes) -> bytes:
    try:
        return point_of(_point(curve, other), str(chosen["format"]))
    except ValueError:
        raise Refused("Failed to convert Buffer to EC_POINT", "ERR_CRYPTO_OPERATION_FAILED") from None


_METHODS: Final[dict[str, Callable[[ec.EllipticCurve, dict[str, Any], bytes, bytes], bytes]]] = {
    "curve": lambda *_: b"",
    "new": _new,
    "public": _public,
    "secret": _secret,
    "convert": _converted,
}


def ecdh(data: bytes) -> bytes:
    """Fields: options {method, curve, format}, own scalar, the other's point."""
    settings, scalar, other = fields(data, 3)
    chosen = options(settings)
    method = _METHODS.get(chosen["method"])
    if method is None:
        raise operation_failed()
    return method(curve_of(chosen["curve"]), chosen, bytes(scalar), bytes(other))
