"""JSON Web Keys (RFC 7517, 7518 and 8037), as far as Node reads and writes them."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519

from services.executor.runtime.crypto.frames import Refused

_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
}
_CURVE_NAMES: Final = {curve().name: name for name, curve in _CURVES.items()}
_OKP: Final[dict[str, tuple[Any, Any]]] = {
    "Ed25519": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
    "Ed448": (ed448.Ed448PrivateKey, ed448.Ed448PublicKey),
    "X25519": (x25519.X25519PrivateKey, x25519.X25519PublicKey),
    "X448": (x448.X448PrivateKey, x448.X448PublicKey),
}


def _invalid(message: str) -> Refused:
    return Refused(message, "ERR_CRYPTO_INVALID_JWK", "TypeError")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int = 0) -> str:
    return _encoded(value.to_bytes(size or (value.bit_length() + 7) // 8 or 1, "big"))


class _Members:
    """The members of a JWK of one type: texts in base64url."""

    def __init__(self, found: dict[str, Any], kind: str) -> None:
        self._found = found
        self._kind = kind

    def bytes_of(self, name: str) -> bytes:
        value = self._found.get(name)
        if not isinstance(value, str):
            raise self.invalid()
        try:
            return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except (ValueError, binascii.Error):
            raise self.invalid() from None

    def number(self, name: str) -> int:
        return int.from_bytes(self.bytes_of(name), "big")

    def invalid(self) -> Refused:
        return _invalid(f"Invalid JWK {self._kind} key")


def read(text: bytes, *, private: bool) -> Any:
    """The key of a JWK; a public key may be asked of one that holds the private too."""
    found = json.loads(text)
    kty = found.get("kty")
    readers = {"RSA": _read_rsa, "EC": _read_ec, "OKP": _read_okp}
    if kty not in readers:
        raise _invalid(f"{kty} is not a supported JWK key type")
    members = _Members(found, kty)
    try:
        return readers[kty](members, found, private=private)
    except ValueError:
        raise members.invalid() from None


def _read_rsa(members: _Members, found: dict[str, Any], *, private: bool) -> Any:
    public = rsa.RSAPublicNumbers(members.number("e"), members.number("n"))
    if not private:
        return public.public_key()
    if "d" not in found:
        raise _invalid("JWK does not contain private key material")
    p, q, d, dp, dq, qi = (members.number(name) for name in ("p", "q", "d", "dp", "dq", "qi"))
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key(unsafe_skip_rsa_key_validation=True)


def _read_ec(members: _Members, found: dict[str, Any], *, private: bool) -> Any:
    name = found.get("crv")
    if not isinstance(name, str):
        raise members.invalid()
    if name not in _CURVES:
        raise Refused("Invalid EC curve name", "ERR_CRYPTO_INVALID_CURVE", "TypeError")
    public = ec.EllipticCurvePublicNumbers(members.number("x"), members.number("y"), _CURVES[name]())
    key = public.public_key()
    if not private:
        return key
    if "d" not in found:
        raise _invalid("JWK does not contain private key material")
    return ec.EllipticCurvePrivateNumbers(members.number("d"), public).private_key()


def _read_okp(members: _Members, found: dict[str, Any], *, private: bool) -> Any:
    known = _OKP.get(str(found.get("crv")))
    if known is None:
        raise members.invalid()
    public = known[1].from_public_bytes(members.bytes_of("x"))
    if not private:
        return public
    if "d" not in found:
        raise _invalid("JWK does not contain private key material")
    return known[0].from_private_bytes(members.bytes_of("d"))


# ---- writing ---------------------------------------------------------------------------------------------------------


def written(key: Any) -> dict[str, str]:
    """A key as a JWK, its members in Node's order."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return _written_rsa(key)
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return _written_ec(key)
    for name, (private, public) in _OKP.items():
        if isinstance(key, private):
            parts = {"d": key.private_bytes_raw(), "x": key.public_key().public_bytes_raw()}
            return {"crv": name, **{part: _encoded(value) for part, value in parts.items()}, "kty": "OKP"}
        if isinstance(key, public):
            return {"crv": name, "x": _encoded(key.public_bytes_raw()), "kty": "OKP"}
    raise Refused("Unsupported JWK Key Type.", "ERR_CRYPTO_JWK_UNSUPPORTED_KEY_TYPE")


def _written_rsa(key: Any) -> dict[str, str]:
    if isinstance(key, rsa.RSAPublicKey):
        public = key.public_numbers()
        return {"kty": "RSA", "n": _number(public.n), "e": _number(public.e)}
    numbers = key.private_numbers()
    found = {"kty": "RSA", "n": _number(numbers.public_numbers.n), "e": _number(numbers.public_numbers.e)}
    secrets = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1}
    secrets["qi"] = numbers.iqmp
    return {**found, **{name: _number(value) for name, value in secrets.items()}}


def _written_ec(key: Any) -> dict[str, str]:
    name = _CURVE_NAMES.get(key.curve.name)
    if name is None:
        raise Refused("Unsupported JWK EC curve: .", "ERR_CRYPTO_JWK_UNSUPPORTED_CURVE")
    size = (key.key_size + 7) // 8
    public = (key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key).public_numbers()
    found = {"kty": "EC", "x": _number(public.x, size), "y": _number(public.y, size), "crv": name}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        found["d"] = _number(key.private_numbers().private_value, size)
    return found
