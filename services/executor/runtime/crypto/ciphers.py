"""Symmetric ciphers: contexts that live between calls, named by numbers that JavaScript holds."""

from __future__ import annotations

import struct
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.decrepit.ciphers.modes import CFB, CFB8, OFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.executor.runtime.crypto.frames import Refused, fields, openssl_error, operation_failed, options, uint32

# Contexts that were never finished stay here, a few hundred bytes each; past so many the oldest one goes.
CONTEXTS_MAX: Final = 1000
_TAG_BYTES_MIN: Final = 4
_TAG_BYTES: Final = 16
_NUMBER: Final = struct.Struct("<I")

# Lengths that `cryptography` takes for GCM's nonce; OpenSSL takes shorter ones too, which nobody should use.
_NONCE_BYTES: Final = range(8, 129)


def _gcm(nonce: bytes) -> modes.GCM:
    if len(nonce) not in _NONCE_BYTES:
        raise Refused("Invalid initialization vector", "ERR_CRYPTO_INVALID_IV", "TypeError")
    return modes.GCM(nonce, min_tag_length=_TAG_BYTES_MIN)


_MODES: Final[dict[str, Any]] = {
    "cbc": modes.CBC,
    "cfb": CFB,
    "cfb8": CFB8,
    "ctr": modes.CTR,
    "ecb": lambda _: modes.ECB(),  # noqa: S305 - what user code asks for
    "gcm": _gcm,
    "ofb": OFB,
}
_PADDED: Final = ("cbc", "ecb")


class Context:
    """One cipher at work, with PKCS #7 padding where its mode has it."""

    def __init__(self, algorithm: Any, mode: str, iv: bytes, *, encrypts: bool) -> None:
        cipher = Cipher(algorithm, _MODES[mode](iv))
        self._encrypts = encrypts
        self._padded = mode in _PADDED
        self._block = algorithm.block_size // 8
        self._context: Any = cipher.encryptor() if encrypts else cipher.decryptor()
        self._rest = b""
        self.tagged = mode == "gcm"

    def authenticate(self, data: bytes) -> None:
        """Add data that is authenticated only."""
        self._context.authenticate_additional_data(data)

    def update(self, data: memoryview, *, padding: bool) -> bytes:
        """What can be said of the data so far: whole blocks, but the last one where it may be padding."""
        if not self._padded:
            result: bytes = self._context.update(data)
            return result
        whole = self._rest + bytes(data)
        keep = len(whole) % self._block
        if not keep and padding and not self._encrypts and whole:
            keep = self._block
        self._rest = whole[len(whole) - keep :]
        blocks: bytes = self._context.update(whole[: len(whole) - keep])
        return blocks

    def final(self, tag: bytes, *, padding: bool) -> bytes:
        """The rest; for an encryption with a tag, the tag after it."""
        if self.tagged:
            return self._final_with_tag(tag)
        if not self._padded:
            result: bytes = self._context.finalize()
            return result
        return self._encrypted_rest(padding) if self._encrypts else self._decrypted_rest(padding)

    def _final_with_tag(self, tag: bytes) -> bytes:
        if self._encrypts:
            rest: bytes = self._context.finalize() + self._context.tag
            return rest
        try:
            result: bytes = self._context.finalize_with_tag(tag)
        except InvalidTag:
            raise Refused("Unsupported state or unable to authenticate data") from None
        return result

    def _encrypted_rest(self, padding: bool) -> bytes:
        if padding:
            missing = self._block - len(self._rest)
            result: bytes = self._context.update(self._rest + bytes([missing]) * missing)
            return result
        if self._rest:
            raise _wrong_length()
        return b""

    def _decrypted_rest(self, padding: bool) -> bytes:
        if len(self._rest) % self._block or (padding and not self._rest):
            raise _wrong_length()
        last: bytes = self._context.update(self._rest)
        if not padding:
            return last
        size = last[-1]
        if not 1 <= size <= self._block or last[-size:] != bytes([size]) * size:
            raise bad_decrypt()
        return last[:-size]


def _wrong_length() -> Refused:
    reason = "wrong final block length"
    return openssl_error("1C80006B", "Provider routines", reason, "ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH")


def bad_decrypt() -> Refused:
    """Also what a wrong passphrase gives."""
    return openssl_error("1C800064", "Provider routines", "bad decrypt", "ERR_OSSL_BAD_DECRYPT")


_contexts: dict[int, Context] = {}
_opened = 0


def _keep(context: Context) -> int:
    global _opened
    _opened = (_opened + 1) & 0xFFFFFFFF
    if len(_contexts) >= CONTEXTS_MAX:
        del _contexts[next(iter(_contexts))]
    _contexts[_opened] = context
    return _opened


def _algorithm(name: str, key: bytes) -> Any:
    return TripleDES(key) if name == "des3" else algorithms.AES(key)


def cipher_open(data: bytes) -> bytes:
    """Fields: options {algorithm, mode, encrypts}, key, iv, additional data; answers the context's number."""
    settings, key, iv, additional = fields(data, 4)
    chosen = options(settings)
    algorithm = _algorithm(chosen["algorithm"], bytes(key))
    context = Context(algorithm, chosen["mode"], bytes(iv), encrypts=bool(chosen["encrypts"]))
    if len(additional):
        context.authenticate(bytes(additional))
    return _NUMBER.pack(_keep(context))


def cipher_update(data: bytes) -> bytes:
    """Fields: number, 1 for padding or 0, data."""
    number, padding, text = fields(data, 3)
    context = _contexts.get(uint32(number))
    if context is None:
        raise _too_many()
    return context.update(text, padding=bool(uint32(padding)))


def cipher_final(data: bytes) -> bytes:
    """Fields: number, 1 for padding or 0, the tag to be compared. The context is gone afterwards."""
    number, padding, tag = fields(data, 3)
    context = _contexts.pop(uint32(number), None)
    if context is None:
        raise _too_many()
    if context.tagged and len(tag) > _TAG_BYTES:
        raise operation_failed()
    return context.final(bytes(tag), padding=bool(uint32(padding)))


def _too_many() -> Refused:
    return Refused(f"more than {CONTEXTS_MAX} ciphers have not been finished", "ERR_CRYPTO_INVALID_STATE")
