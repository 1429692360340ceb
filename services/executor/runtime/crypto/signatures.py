"""Signatures: RSA (PKCS #1 and PSS), ECDSA, DSA, Ed25519 and Ed448."""

from __future__ import annotations

from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, utils

from services.executor.runtime.crypto.digests import digest_of
from services.executor.runtime.crypto.frames import Refused, fields, openssl_error, options
from services.executor.runtime.crypto.keys import PRIVATE, loaded, loaded_public

PKCS1: Final = 1
NO_PADDING: Final = 3
PSS: Final = 6
SALT_DIGEST: Final = -1
SALT_MAX: Final = -2

HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "md5": hashes.MD5, "sha1": hashes.SHA1, "sha224": hashes.SHA224, "sha256": hashes.SHA256,
    "sha384": hashes.SHA384, "sha512": hashes.SHA512, "sha512_224": hashes.SHA512_224,
    "sha512_256": hashes.SHA512_256, "sha3_224": hashes.SHA3_224, "sha3_256": hashes.SHA3_256,
    "sha3_384": hashes.SHA3_384, "sha3_512": hashes.SHA3_512,
}  # fmt: skip
# What PKCS #1 puts before a digest: DER of the algorithm and of the digest's length (RFC 8017, 9.2).
_NIST: Final = "6086480165030402"
_PREFIXES: Final = {
    "md5": bytes.fromhex("3020300c06082a864886f70d020505000410"),
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "ripemd160": bytes.fromhex("3021300906052b2403020105000414"),
    "md5-sha1": b"",
    **{
        name: bytes.fromhex(f"30{0x11 + size:02x}300d0609{_NIST}{number:02x}050004{size:02x}")
        for name, number, size in (
            ("sha256", 1, 32), ("sha384", 2, 48), ("sha512", 3, 64), ("sha224", 4, 28), ("sha512_224", 5, 28),
            ("sha512_256", 6, 32), ("sha3_224", 7, 28), ("sha3_256", 8, 32), ("sha3_384", 9, 48), ("sha3_512", 10, 64),
        )
    },
}  # fmt: skip
# ECDSA and DSA look at nothing but the length of a digest that was made before.
_STAND_INS: Final = {16: "md5", 20: "sha1", 28: "sha224", 32: "sha256", 48: "sha384", 64: "sha512"}
_BY_LENGTH: Final[dict[int, type[hashes.HashAlgorithm]]] = {size: HASHES[name] for size, name in _STAND_INS.items()}
# By OpenSSL's default where none is named.
_DEFAULT_HASH: Final = "sha256"


def _prehashed(digest: bytes) -> utils.Prehashed:
    known = _BY_LENGTH.get(len(digest))
    if known is None:
        raise _invalid_digest()
    return utils.Prehashed(known())


def _invalid_digest() -> Refused:
    return openssl_error("1C80007A", "Provider routines", "invalid digest", "ERR_OSSL_INVALID_DIGEST")


def _unsupported_padding() -> Refused:
    reason = "illegal or unsupported padding mode"
    return openssl_error("1C8000A5", "Provider routines", reason, "ERR_OSSL_ILLEGAL_OR_UNSUPPORTED_PADDING_MODE")


def _not_for_this_key() -> Refused:
    reason = "operation not supported for this keytype"
    code = "ERR_OSSL_EVP_OPERATION_NOT_SUPPORTED_FOR_THIS_KEYTYPE"
    return openssl_error("03000096", "digital envelope routines", reason, code)


def too_large() -> Refused:
    """What does not fit into the modulus."""
    reason = "data too large for key size"
    return openssl_error("0200006E", "rsa routines", reason, "ERR_OSSL_RSA_DATA_TOO_LARGE_FOR_KEY_SIZE")


def _pss(name: str, salt_length: int, *, verifies: bool) -> tuple[padding.PSS, utils.Prehashed]:
    known = HASHES.get(name)
    if known is None:
        raise _invalid_digest()
    salt: Any = salt_length
    if salt_length == SALT_DIGEST:
        salt = padding.PSS.DIGEST_LENGTH
    elif salt_length == SALT_MAX:
        salt = padding.PSS.AUTO if verifies else padding.PSS.MAX_LENGTH
    elif salt_length < 0:
        reason = "invalid salt length"
        raise openssl_error("1C800070", "Provider routines", reason, "ERR_OSSL_INVALID_SALT_LENGTH")
    return padding.PSS(padding.MGF1(known()), salt), utils.Prehashed(known())


def _scheme(name: str, digest: bytes, chosen: dict[str, Any], *, verifies: bool) -> tuple[bytes, Any, Any]:
    """For RSA: what is signed, its padding, its digest."""
    kind = chosen.get("padding") or PKCS1
    if kind == PSS:
        salt = chosen.get("saltLength")
        return digest, *_pss(name, SALT_MAX if salt is None else int(salt), verifies=verifies)
    if kind == NO_PADDING:
        raise openssl_error("1C8000A8", "Provider routines", "invalid padding mode", "ERR_OSSL_INVALID_PADDING_MODE")
    if kind != PKCS1:
        raise _unsupported_padding()
    if name not in _PREFIXES:
        raise _invalid_digest()
    return _PREFIXES[name] + digest, padding.PKCS1v15(), utils.NoDigestInfo()


def _p1363_size(key: Any) -> int:
    """Bytes of each half of a signature."""
    if isinstance(key, dsa.DSAPrivateKey | dsa.DSAPublicKey):
        return (key.parameters().parameter_numbers().q.bit_length() + 7) // 8
    return (int(key.key_size) + 7) // 8


def sign(data: bytes) -> bytes:
    """Fields: options {hash, padding, saltLength, dsaEncoding}, PKCS #8, message."""
    settings, der, message = fields(data, 3)
    chosen = options(settings)
    key = loaded(PRIVATE, der)
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        if chosen.get("hash"):
            raise _invalid_digest()
        return key.sign(bytes(message))
    name = chosen.get("hash") or _DEFAULT_HASH
    digest = digest_of(name, message)
    if isinstance(key, rsa.RSAPrivateKey):
        return _sign_rsa(key, *_scheme(name, digest, chosen, verifies=False))
    return _sign_dsa(key, digest, p1363=chosen.get("dsaEncoding") == "ieee-p1363")


def _sign_rsa(key: rsa.RSAPrivateKey, signed: bytes, scheme: Any, algorithm: Any) -> bytes:
    try:
        return key.sign(signed, scheme, algorithm)
    except (ValueError, UnsupportedAlgorithm):
        raise too_large() from None


def _sign_dsa(key: Any, digest: bytes, *, p1363: bool) -> bytes:
    signature: bytes
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(digest, ec.ECDSA(_prehashed(digest)))
    elif isinstance(key, dsa.DSAPrivateKey):
        signature = key.sign(digest, _prehashed(digest))
    else:
        raise _not_for_this_key()
    if not p1363:
        return signature
    size = _p1363_size(key)
    return b"".join(part.to_bytes(size, "big") for part in utils.decode_dss_signature(signature))


_RIGHT: Final = b"\x01"
_WRONG: Final = b"\x00"


def verify(data: bytes) -> bytes:
    """Fields: options as for sign, and the key's kind; DER, message, signature. Answers 1 or 0."""
    settings, der, message, signature = fields(data, 4)
    chosen = options(settings)
    key = loaded_public(chosen["kind"], der)
    try:
        _verify(key, chosen, message, bytes(signature))
    except InvalidSignature:
        return _WRONG
    return _RIGHT


def _verify(key: Any, chosen: dict[str, Any], message: memoryview, signature: bytes) -> None:
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        if chosen.get("hash"):
            raise _invalid_digest()
        return key.verify(signature, bytes(message))
    name = chosen.get("hash") or _DEFAULT_HASH
    digest = digest_of(name, message)
    if isinstance(key, rsa.RSAPublicKey):
        signed, scheme, algorithm = _scheme(name, digest, chosen, verifies=True)
        try:
            return key.verify(signature, signed, scheme, algorithm)
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidSignature from None
    if chosen.get("dsaEncoding") == "ieee-p1363":
        signature = _der_signature(signature, _p1363_size(key))
    return _verify_dsa(key, digest, signature)


def _der_signature(signature: bytes, size: int) -> bytes:
    if len(signature) != 2 * size:
        raise Refused("Malformed signature", "ERR_CRYPTO_OPERATION_FAILED")
    halves = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    return utils.encode_dss_signature(*halves)


def _verify_dsa(key: Any, digest: bytes, signature: bytes) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.verify(signature, digest, ec.ECDSA(_prehashed(digest)))
    if isinstance(key, dsa.DSAPublicKey):
        return key.verify(signature, digest, _prehashed(digest))
    raise _not_for_this_key()


__all__ = ["HASHES", "sign", "too_large", "verify"]
