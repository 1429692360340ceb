"""Encryption of setting values: the operator's key wraps a data key per workspace, which seals each value.

The operator may have several keys while one replaces another: the current one wraps, all of them unwrap.

AES-256-GCM throughout, with 12 random bytes of nonce each time: at 2^32 sealings under one key the chance
of a repeated nonce is still below 2^-32 (NIST SP 800-38D, section 8.3), and a workspace makes far fewer.
What is sealed is bound to its place by additional data, so that a row copied elsewhere does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
# Enough of the key's SHA-256 to tell an operator's keys apart, too little to help a guesser.
KEY_ID_HEX_DIGITS = 8

# Two at once are usual, while one replaces the other.
PREVIOUS_KEYS_MAX = 10

_WRAP_PURPOSE = "onward data key"
_HASH_PURPOSE = b"onward setting hash"
_CHECK_PURPOSE = b"onward key check"
_FINGERPRINT_PURPOSE = b"onward fingerprint"


class VaultError(Exception):
    """Something sealed did not open, or a key is not a key. The message names no secret."""


class WrongKeyError(VaultError):
    """The operator's key is not the one that the stored data was sealed with."""


class UnknownKeyError(VaultError):
    """Data keys are wrapped by a key that is not among the operator's keys here."""

    def __init__(self, key_id: str, known: Iterable[str], data_keys: int = 1) -> None:
        super().__init__(
            f"{data_keys} data key(s) are wrapped by the operator's key {key_id}, and only {', '.join(known)} is here: "
            f"give {key_id} too, as a previous key, and take it away when `onward keys rotate` says that none is behind"
        )
        self.key_id = key_id


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value as it is stored: 12 bytes of nonce, and the ciphertext with its 16-byte tag."""

    nonce: bytes
    ciphertext: bytes


def setting_place(workspace: str, destination: str, name: str) -> bytes:
    """The additional data that binds a setting's value to its place. Ids hold no slash: it is unambiguous."""
    return f"{workspace}/{destination}/{name}".encode()


def _seal(key: bytes, plaintext: bytes, place: bytes) -> Sealed:
    nonce = os.urandom(NONCE_BYTES)
    return Sealed(nonce, AESGCM(key).encrypt(nonce, plaintext, place))


def _fingerprint(key: bytes, data: bytes) -> str:
    return hmac.digest(hmac.digest(key, _FINGERPRINT_PURPOSE, "sha256"), data, "sha256").hex()


def _open(key: bytes, sealed: Sealed, place: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, place)
    except (InvalidTag, ValueError) as error:
        raise VaultError(
            f"what is stored for {place.decode(errors='replace')} does not open: "
            "it was changed, copied from elsewhere, or sealed with another key"
        ) from error


@dataclass(frozen=True, slots=True)
class DataKey:
    """A workspace's own key. It exists in clear only in memory."""

    _key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> DataKey:
        return cls(os.urandom(KEY_BYTES))

    def encrypt(self, plaintext: bytes, place: bytes) -> Sealed:
        return _seal(self._key, plaintext, place)

    def decrypt(self, sealed: Sealed, place: bytes) -> bytes:
        """The plaintext; raises VaultError where place, key or bytes are not those of the sealing."""
        return _open(self._key, sealed, place)

    def keyed_hash(self, plaintext: bytes, place: bytes) -> str:
        """Hex HMAC-SHA-256: tells that a value changed, and tells nothing to who has not the key."""
        # A key of its own: the hash is published, the data key must not be used for two purposes.
        key = hmac.digest(self._key, _HASH_PURPOSE, "sha256")
        return hmac.digest(key, len(place).to_bytes(4, "big") + place + plaintext, "sha256").hex()

    def fingerprint(self, data: bytes) -> str:
        """Hex HMAC-SHA-256: tells whether data is the same again, and tells nothing to who has not the key."""
        return _fingerprint(self._key, data)


@dataclass(frozen=True, slots=True)
class Vault:
    """One key of the operator's (a KEK), which wraps data keys."""

    _key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self._key) != KEY_BYTES:
            raise VaultError(f"the key encryption key must have {KEY_BYTES} bytes, this has {len(self._key)}")

    @classmethod
    def from_base64(cls, text: str) -> Vault:
        """Reads the key as settings hold it: base64 of 32 random bytes (`openssl rand -base64 32`)."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except binascii.Error as error:
            raise VaultError(f"the key encryption key must be base64 of {KEY_BYTES} bytes") from error

    @property
    def key_id(self) -> str:
        return hashlib.sha256(self._key).hexdigest()[:KEY_ID_HEX_DIGITS]

    def wrap(self, data_key: DataKey, workspace: str) -> bytes:
        """The data key as it may be stored: nonce, ciphertext and tag, bound to the workspace."""
        sealed = _seal(self._key, data_key._key, self._wrap_place(workspace))
        return sealed.nonce + sealed.ciphertext

    def unwrap(self, wrapped: bytes, workspace: str) -> DataKey:
        """The data key; raises VaultError for another workspace's, or one that another key wrapped."""
        sealed = Sealed(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:])
        key = _open(self._key, sealed, self._wrap_place(workspace))
        if len(key) != KEY_BYTES:
            raise VaultError(f"the data key of {workspace} has {len(key)} bytes instead of {KEY_BYTES}")
        return DataKey(key)

    def fingerprint(self, data: bytes) -> str:
        """As the first release made them; another key made another one, which a rotation must not do."""
        return _fingerprint(self._key, data)

    def check_value(self) -> bytes:
        """What a database keeps to recognise this key by at the next start."""
        return hmac.digest(self._key, _CHECK_PURPOSE, "sha256")

    def verify(self, key_id: str, check_value: bytes) -> None:
        """Raises WrongKeyError unless this key made the check value."""
        if not hmac.compare_digest(check_value, self.check_value()):
            raise WrongKeyError(
                f"the key encryption key (id {self.key_id}) is not the one that this database was sealed "
                f"with (id {key_id}): give that key; nothing was changed"
            )

    @staticmethod
    def _wrap_place(workspace: str) -> bytes:
        return f"{_WRAP_PURPOSE}/{workspace}".encode()


@dataclass(frozen=True, slots=True)
class Keyring:
    """The operator's keys: the current one wraps, all of them unwrap. Key ids are stored beside wrapped keys."""

    current: Vault
    previous: tuple[Vault, ...] = ()

    @classmethod
    def from_base64(cls, current: str, previous: str = "") -> Keyring:
        """Reads keys as settings hold them, see `read_keys` for `previous`. Raises VaultError."""
        return cls(Vault.from_base64(current), cls.read_keys(previous))

    @staticmethod
    def read_keys(texts: str) -> tuple[Vault, ...]:
        """Keys in base64, separated by commas; of none, nothing. Raises VaultError."""
        given = [text for text in texts.split(",") if text.strip()]
        if len(given) > PREVIOUS_KEYS_MAX:
            raise VaultError(
                f"there may be {PREVIOUS_KEYS_MAX} previous keys, not {len(given)}: rotate, and remove some"
            )
        return tuple(map(Vault.from_base64, given))

    @property
    def key_id(self) -> str:
        """Of the key that wraps."""
        return self.current.key_id

    @property
    def keys(self) -> dict[str, Vault]:
        """By id, the current one first."""
        return {key.key_id: key for key in (self.current, *self.previous)}

    def wrap(self, data_key: DataKey, workspace: str) -> bytes:
        """See `Vault.wrap`; by the current key."""
        return self.current.wrap(data_key, workspace)

    def unwrap(self, key_id: str, wrapped: bytes, workspace: str) -> DataKey:
        """See `Vault.unwrap`; raises UnknownKeyError for the id of a key that is not here."""
        keys = self.keys
        if key_id not in keys:
            raise UnknownKeyError(key_id, keys)
        return keys[key_id].unwrap(wrapped, workspace)

    def rewrap(self, key_id: str, wrapped: bytes, workspace: str) -> bytes:
        """The same data key, wrapped by the current key."""
        return self.wrap(self.unwrap(key_id, wrapped, workspace), workspace)
