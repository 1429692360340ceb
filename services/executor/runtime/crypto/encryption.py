"""RSA as a cipher: publicEncrypt, privateDecrypt, privateEncrypt and publicDecrypt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from services.executor.runtime.crypto.frames import Refused, fields, openssl_error, options
from services.executor.runtime.crypto.keys import PRIVATE, loaded, loaded_public
from services.executor.runtime.crypto.signatures import HASHES, NO_PADDING, PKCS1, too_large

OAEP: Final = 4
# What PKCS #1 adds at least, on the way in.
_PKCS1_BYTES: Final = 11


def _oaep(chosen: dict[str, Any], label: bytes) -> padding.OAEP:
    known = HASHES.get(chosen.get("hash") or "sha1")
    if known is None:
        raise Refused("Invalid digest used", "ERR_OSSL_EVP_INVALID_DIGEST")
    return padding.OAEP(padding.MGF1(known()), known(), label or None)


def _rsa_error(number: str, reason: str) -> Refused:
    code = f"ERR_OSSL_RSA_{reason.upper().replace(' ', '_')}"
    return openssl_error(number, "rsa routines", reason, code)


def _raw(key: Any, message: bytes, *, private: bool) -> bytes:
    """RSA without padding: the message as a number below the modulus."""
    numbers = key.private_numbers() if private else key.public_numbers()
    public = numbers.public_numbers if private else numbers
    size = (key.key_size + 7) // 8
    if len(message) != size:
        raise too_large() if len(message) > size else _rsa_error("0200007A", "data too small for key size")
    number, exponent = int.from_bytes(message, "big"), int(numbers.d if private else public.e)
    if number >= public.n:
        raise _rsa_error("02000084", "data too large for modulus")
    return pow(number, exponent, int(public.n)).to_bytes(size, "big")


def _public_encrypt(key: Any, chosen: dict[str, Any], message: bytes, label: bytes) -> bytes:
    kind = chosen["padding"]
    if kind == NO_PADDING:
        return _raw(key, message, private=False)
    if kind not in (PKCS1, OAEP):
        raise _rsa_error("02000076", "unknown padding type")
    try:
        result: bytes = key.encrypt(message, padding.PKCS1v15() if kind == PKCS1 else _oaep(chosen, label))
    except ValueError:
        raise too_large() from None
    return result


def _private_decrypt(key: Any, chosen: dict[str, Any], message: bytes, label: bytes) -> bytes:
    kind = chosen["padding"]
    if kind == NO_PADDING:
        return _raw(key, message, private=True)
    if kind not in (PKCS1, OAEP):
        raise _rsa_error("02000076", "unknown padding type")
    if kind == OAEP and not message:
        raise _rsa_error("0200006F", "data too small")
    # `cryptography` wants what OpenSSL would do itself.
    whole = message.rjust((key.key_size + 7) // 8, b"\0")
    try:
        result: bytes = key.decrypt(whole, padding.PKCS1v15() if kind == PKCS1 else _oaep(chosen, label))
    except ValueError:
        if kind == OAEP:
            raise _rsa_error("02000079", "oaep decoding error") from None
        raise _rsa_error("0200009F", "pkcs decoding error") from None
    return result


def _private_encrypt(key: Any, chosen: dict[str, Any], message: bytes, _: bytes) -> bytes:
    kind = chosen["padding"]
    if kind == NO_PADDING:
        return _raw(key, message, private=True)
    if kind != PKCS1:
        raise _illegal_padding()
    if len(message) > (key.key_size + 7) // 8 - _PKCS1_BYTES:
        raise too_large()
    result: bytes = key.sign(message, padding.PKCS1v15(), utils.NoDigestInfo())
    return result


def _illegal_padding() -> Refused:
    reason = "illegal or unsupported padding mode"
    return openssl_error("1C8000A5", "Provider routines", reason, "ERR_OSSL_ILLEGAL_OR_UNSUPPORTED_PADDING_MODE")


def _public_decrypt(key: Any, chosen: dict[str, Any], message: bytes, _: bytes) -> bytes:
    kind = chosen["padding"]
    if kind == NO_PADDING:
        return _raw(key, message, private=False)
    if kind != PKCS1:
        raise _illegal_padding()
    whole = message.rjust((key.key_size + 7) // 8, b"\0")
    try:
        result: bytes = key.recover_data_from_signature(whole, padding.PKCS1v15(), None)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        raise _wrong_block(_raw(key, whole, private=False)) from None
    if not result:
        raise openssl_error("1C880004", "Provider routines", "RSA lib", "ERR_OSSL_RSA_LIB")
    return result


def _wrong_block(block: bytes) -> Refused:
    if block[0] == 0 and block[1] != 1:
        return _rsa_error("0200006A", "block type is not 01")
    return _rsa_error("0200008A", "invalid padding")


_METHODS: Final[dict[str, tuple[bool, Callable[[Any, dict[str, Any], bytes, bytes], bytes]]]] = {
    "publicEncrypt": (False, _public_encrypt),
    "privateDecrypt": (True, _private_decrypt),
    "privateEncrypt": (True, _private_encrypt),
    "publicDecrypt": (False, _public_decrypt),
}


def rsa_crypt(data: bytes) -> bytes:
    """Fields: options {method, kind, padding, hash}, DER, message, label."""
    settings, der, message, label = fields(data, 4)
    chosen = options(settings)
    private, method = _METHODS[chosen["method"]]
    key = loaded(PRIVATE, der) if private else loaded_public(chosen["kind"], der)
    if not isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        reason = "operation not supported for this keytype"
        code = "ERR_OSSL_EVP_OPERATION_NOT_SUPPORTED_FOR_THIS_KEYTYPE"
        raise openssl_error("03000096", "digital envelope routines", reason, code)
    return method(key, chosen, bytes(message), bytes(label))
