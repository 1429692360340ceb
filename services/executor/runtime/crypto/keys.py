"""Asymmetric keys: read from what user code has, written as what it wants.

JavaScript keeps a key as DER: PKCS #8 for a private one, SubjectPublicKeyInfo for a public one. Reading that again
takes longer than many a signature, so the last few are kept loaded.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519

from services.executor.runtime.crypto import jwk
from services.executor.runtime.crypto.ciphers import bad_decrypt
from services.executor.runtime.crypto.curves import NAMES, curve_of
from services.executor.runtime.crypto.frames import Refused, fields, framed, openssl_error, options

# A function signs with one or two keys.
LOADED_MAX: Final = 32

PRIVATE: Final = "private"
PUBLIC: Final = "public"
_TYPES: Final = {
    rsa.RSAPrivateKey: "rsa", rsa.RSAPublicKey: "rsa",
    ec.EllipticCurvePrivateKey: "ec", ec.EllipticCurvePublicKey: "ec",
    ed25519.Ed25519PrivateKey: "ed25519", ed25519.Ed25519PublicKey: "ed25519",
    ed448.Ed448PrivateKey: "ed448", ed448.Ed448PublicKey: "ed448",
    x25519.X25519PrivateKey: "x25519", x25519.X25519PublicKey: "x25519",
    x448.X448PrivateKey: "x448", x448.X448PublicKey: "x448",
    dsa.DSAPrivateKey: "dsa", dsa.DSAPublicKey: "dsa",
}  # fmt: skip
_RAW: Final[dict[str, tuple[Any, Any]]] = {
    "ed25519": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
    "ed448": (ed448.Ed448PrivateKey, ed448.Ed448PublicKey),
    "x25519": (x25519.X25519PrivateKey, x25519.X25519PublicKey),
    "x448": (x448.X448PrivateKey, x448.X448PublicKey),
}
_FORMATS: Final = {
    "pkcs1": serialization.PrivateFormat.TraditionalOpenSSL,
    "sec1": serialization.PrivateFormat.TraditionalOpenSSL,
    "pkcs8": serialization.PrivateFormat.PKCS8,
}
_PEM_LABEL: Final = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----", re.MULTILINE)
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)

_loaded: OrderedDict[tuple[str, bytes], Any] = OrderedDict()


def type_of(key: Any) -> str:
    """Node's asymmetricKeyType."""
    for known, name in _TYPES.items():
        if isinstance(key, known):
            return name
    raise unsupported()


def unsupported() -> Refused:
    """What Node says of anything that holds no key that it can read."""
    return openssl_error("1E08010C", "DECODER routines", "unsupported", "ERR_OSSL_UNSUPPORTED")


def details_of(key: Any) -> dict[str, Any]:
    """Node's asymmetricKeyDetails; the exponent as a decimal text."""
    if isinstance(key, rsa.RSAPrivateKey):
        key = key.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return {"modulusLength": key.key_size, "publicExponent": str(key.public_numbers().e)}
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return {"namedCurve": NAMES[key.curve.name]}
    if isinstance(key, dsa.DSAPrivateKey | dsa.DSAPublicKey):
        q = key.parameters().parameter_numbers().q
        return {"modulusLength": key.key_size, "divisorLength": q.bit_length()}
    return {}


def described(key: Any, kind: str) -> bytes:
    """What JavaScript keeps of a key: {kind, type, details} and DER."""
    head = {"kind": kind, "type": type_of(key), "details": details_of(key)}
    return framed(json.dumps(head).encode(), der_of(key, kind))


def der_of(key: Any, kind: str) -> bytes:
    """The form in which JavaScript keeps it."""
    result: bytes
    if kind == PRIVATE:
        plain = serialization.NoEncryption()
        result = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain)
    else:
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        result = key.public_bytes(serialization.Encoding.DER, spki)
    return result


def loaded(kind: str, der: memoryview) -> Any:
    """A key that JavaScript has kept."""
    name = kind, bytes(der)
    key = _loaded.get(name)
    if key is None:
        key = _read_private(name[1], None) if kind == PRIVATE else serialization.load_der_public_key(name[1])
        type_of(key)
        _loaded[name] = key
        if len(_loaded) > LOADED_MAX:
            _loaded.popitem(last=False)
    else:
        _loaded.move_to_end(name)
    return key


def loaded_public(kind: str, der: memoryview) -> Any:
    """The public part of a key of either kind."""
    key = loaded(kind, der)
    return key.public_key() if kind == PRIVATE else key


# ---- reading ---------------------------------------------------------------------------------------------------------


def _read_private(data: bytes, passphrase: bytes | None, *, pem: bool = False) -> Any:
    read = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    try:
        # What skipping leaves out (is p prime?) takes 50 ms, and Node leaves it out too.
        return read(data, passphrase, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        # A passphrase that is not needed is an error here, but not in Node; and an empty one is none here.
        if passphrase is None:
            raise _passphrase_missing(pem=pem) from None
    except UnsupportedAlgorithm:
        raise unsupported() from None
    except ValueError as error:
        encrypted = passphrase is not None and ("password" in str(error).lower() or "decrypt" in str(error).lower())
        raise bad_decrypt() if encrypted else _unreadable(pem=pem) from None
    try:
        return _read_private(data, None, pem=pem)
    except Refused:
        raise bad_decrypt() from None


def _passphrase_missing(*, pem: bool) -> Refused:
    if not pem:
        return Refused("Passphrase required for encrypted key", "ERR_MISSING_PASSPHRASE", "TypeError")
    reason = "interrupted or cancelled"
    return openssl_error("07880109", "common libcrypto routines", reason, "ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED")


def _unreadable(*, pem: bool) -> Refused:
    if pem:
        return unsupported()
    reason = "not enough data"
    return openssl_error("0680008E", "asn1 encoding routines", reason, "ERR_OSSL_ASN1_NOT_ENOUGH_DATA")


def _read_public_pem(data: bytes, passphrase: bytes | None) -> Any:
    label = _PEM_LABEL.search(data)
    if label is None:
        raise unsupported()
    if label[1].endswith(b"PRIVATE KEY"):
        return _read_private(data, passphrase, pem=True).public_key()
    try:
        if label[1] in (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"):
            return x509.load_pem_x509_certificate(data).public_key()
        return serialization.load_pem_public_key(data)
    except UnsupportedAlgorithm:
        raise unsupported() from None
    except ValueError:
        if label[1] not in (b"PUBLIC KEY", b"RSA PUBLIC KEY", b"CERTIFICATE"):
            raise unsupported() from None
        raise openssl_error("068000A8", "asn1 encoding routines", "wrong tag", "ERR_OSSL_ASN1_WRONG_TAG") from None


def _read_public_der(data: bytes, encoding: str | None, passphrase: bytes | None) -> Any:
    if encoding in ("pkcs8", "sec1"):
        return _read_private(data, passphrase).public_key()
    try:
        return serialization.load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        pass
    try:
        return _read_private(data, passphrase).public_key()
    except Refused:
        raise Refused("Failed to read asymmetric key") from None


def _read_raw(kind: str, chosen: dict[str, Any], data: bytes) -> Any:
    name = chosen["asymmetricKeyType"]
    try:
        if name == "ec":
            return _read_raw_ec(kind, curve_of(chosen["namedCurve"]), data)
        private, public = _RAW[name]
        if chosen["format"] == "raw-public":
            return public.from_public_bytes(data)
        key = private.from_private_bytes(data)
    except (KeyError, ValueError):
        raise Refused("Invalid key data", "ERR_INVALID_ARG_VALUE", "TypeError") from None
    return key if kind == PRIVATE else key.public_key()


def _read_raw_ec(kind: str, curve: ec.EllipticCurve, data: bytes) -> Any:
    if kind == PRIVATE:
        return ec.derive_private_key(int.from_bytes(data, "big"), curve)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, data)


def key_import(data: bytes) -> bytes:
    """Fields: options {kind, format, type, secret: whether there is a passphrase}, the key, the passphrase."""
    settings, given, secret = fields(data, 3)
    chosen = options(settings)
    kind = PRIVATE if chosen["kind"] == PRIVATE else PUBLIC
    passphrase = bytes(secret) if chosen.get("secret") else None
    return described(_read(kind, chosen, bytes(given), passphrase), kind)


def _read(kind: str, chosen: dict[str, Any], given: bytes, passphrase: bytes | None) -> Any:
    form = chosen["format"]
    if form == "jwk":
        return jwk.read(given, private=kind == PRIVATE)
    if form.startswith("raw-"):
        return _read_raw(kind, chosen, given)
    if kind == PUBLIC:
        if form == "pem":
            return _read_public_pem(given, passphrase)
        return _read_public_der(given, chosen.get("type"), passphrase)
    if form == "pem" and not _PEM_LABEL.search(given):
        raise unsupported()
    if form == "pem" and passphrase is None and _ENCRYPTED.search(given):
        raise _passphrase_missing(pem=True)
    return _read_private(given, passphrase, pem=form == "pem")


# ---- writing ---------------------------------------------------------------------------------------------------------


def key_export(data: bytes) -> bytes:
    """Fields: options {kind, format, type, encrypted}, DER, passphrase."""
    settings, der, passphrase = fields(data, 3)
    chosen = options(settings)
    key = loaded(chosen["kind"], der)
    form = chosen["format"]
    if form == "jwk":
        return json.dumps(jwk.written(key)).encode()
    if form.startswith("raw-"):
        return _raw(key, chosen)
    encoding = serialization.Encoding.PEM if form == "pem" else serialization.Encoding.DER
    if chosen["kind"] == PUBLIC:
        pkcs1 = chosen["type"] == "pkcs1"
        public = serialization.PublicFormat.PKCS1 if pkcs1 else serialization.PublicFormat.SubjectPublicKeyInfo
        result: bytes = key.public_bytes(encoding, public)
        return result
    encryption: Any = serialization.NoEncryption()
    if chosen.get("encrypted"):
        # AES-256-CBC under PBKDF2, whichever cipher was asked for.
        encryption = serialization.BestAvailableEncryption(bytes(passphrase))
    private: bytes = key.private_bytes(encoding, _FORMATS[chosen["type"]], encryption)
    return private


def _raw(key: Any, chosen: dict[str, Any]) -> bytes:
    result: bytes
    if isinstance(key, ec.EllipticCurvePublicKey):
        compressed = chosen.get("type") == "compressed"
        points = serialization.PublicFormat
        form = points.CompressedPoint if compressed else points.UncompressedPoint
        return key.public_bytes(serialization.Encoding.X962, form)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    try:
        result = key.public_bytes_raw() if chosen["kind"] == PUBLIC else key.private_bytes_raw()
    except AttributeError:
        message = f"The selected key encoding {chosen['format']} is not supported for this key type."
        raise Refused(message, "ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS") from None
    return result
