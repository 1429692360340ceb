"""nkeys: Ed25519 keys in NATS' spelling, a type, 32 bytes and a CRC in base32 (nats-io/nkeys, strkey.go)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kit.errors import InvalidArgument

# The first byte; its upper five bits are the first letter of the text.
ACCOUNT = 0 << 3  # A
SERVER = 13 << 3  # N
USER = 20 << 3  # U
_SEED = 18 << 3  # S, and the type of its key beside it

_KEY_BYTES = 32
_CRC_BYTES = 2
PUBLIC_LENGTH = 56
SEED_LENGTH = 58


@dataclass(frozen=True, slots=True)
class Issuer:
    """The account key that signs who may connect; its public part stands in the server's configuration."""

    _key: Ed25519PrivateKey

    @property
    def public(self) -> str:
        return encode_public(ACCOUNT, self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The secret part, `SA...`."""
        first, second = _SEED | (ACCOUNT >> 5), (ACCOUNT & 31) << 3
        return _encode(bytes([first, second]) + self._key.private_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def make_issuer() -> tuple[str, str]:
    """A new issuer: its seed, for the registry alone, and its public key, for the server's configuration."""
    issuer = Issuer(Ed25519PrivateKey.generate())
    return issuer.seed, issuer.public


def issuer_of_secret(secret: str) -> Issuer:
    """The issuer that belongs to a generated password: always the same one."""
    return Issuer(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"nats issuer {secret}".encode()).digest()))


def issuer_of_seed(seed: str) -> Issuer:
    """The issuer of an account's seed; raises InvalidArgument, without the seed, where it is none."""
    raw = _decode(seed.strip(), SEED_LENGTH)
    if raw is None or raw[0] & 0b11111000 != _SEED or ((raw[0] & 7) << 5 | raw[1] >> 3) != ACCOUNT:
        raise InvalidArgument("it is not the seed of a NATS account key, which begins with SA and has 58 characters")
    return Issuer(Ed25519PrivateKey.from_private_bytes(raw[2:]))


def encode_public(kind: int, key: bytes) -> str:
    """The text of a public key."""
    return _encode(bytes([kind]) + key)


def is_public(text: str, kind: int) -> bool:
    """Whether the text is a public key of that kind."""
    raw = _decode(text, PUBLIC_LENGTH)
    return raw is not None and raw[0] == kind


def is_signed(public: str, kind: int, data: bytes, signature: bytes) -> bool:
    """Whether the owner of a public key of that kind has signed the data."""
    raw = _decode(public, PUBLIC_LENGTH)
    if raw is None or raw[0] != kind:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(raw[1:]).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _encode(raw: bytes) -> str:
    return base64.b32encode(raw + _crc(raw)).decode().rstrip("=")


def _decode(text: str, length: int) -> bytes | None:
    """The bytes before the CRC; None where the text is damaged or of another length."""
    if len(text) != length:
        return None
    try:
        raw = base64.b32decode(text + "=" * (-length % 8))
    except (binascii.Error, ValueError):
        return None
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    return body if crc == _crc(body) else None


def _crc(raw: bytes) -> bytes:
    """CRC-16/XMODEM, low byte first."""
    return binascii.crc_hqx(raw, 0).to_bytes(_CRC_BYTES, "little")
