"""The public keys of an identity provider (RFC 7517), and which algorithm each is good for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

# By type of key and curve. What is not here is refused: above all `none`, and HS*, for which a public key, that
# anybody has, would be the secret.
ALGORITHMS = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALLOWED_ALGORITHMS = frozenset(name for names in ALGORITHMS.values() for name in names)

# Providers publish two to ten; more only costs time to look through.
KEYS_MAX = 100
# Shorter keys can be factored (NIST SP 800-131A); longer ones make each check cost milliseconds.
RSA_BITS_MIN = 2_048
RSA_BITS_MAX = 8_192
# Ids are thumbprints and dates; the longest in use are below 100 characters.
KEY_ID_LENGTH_MAX = 512


class BadKeySet(Exception):  # noqa: N818  # it is told to nobody but the log
    """What the provider answered is no set of keys."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, as `cryptography` has it, and what it may check."""

    id: str | None
    public: Any
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that can be used, and how many others there are."""

    keys: tuple[Key, ...]
    passed_over: int = 0

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """The key that a token names, if it is good for the token's algorithm.

        A token that names none is checked with the only key there is for its algorithm: trying several
        would make a token's price the sender's choice.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if key_id is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.id == key_id), None)


def parse_key_set(document: bytes) -> KeySet:
    """Read a JWKS; raises `BadKeySet`. Keys that are not for signatures, or of no use, are passed over."""
    try:
        read = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise BadKeySet("it is not JSON") from None
    listed = read.get("keys") if isinstance(read, dict) else None
    if not isinstance(listed, list):
        raise BadKeySet("it has no list of keys")
    if len(listed) > KEYS_MAX:
        raise BadKeySet(f"it has {len(listed)} keys, more than {KEYS_MAX}")
    keys = tuple(key for key in map(_key, listed) if key is not None)
    return KeySet(keys, len(listed) - len(keys))


def _key(jwk: object) -> Key | None:
    """The key, None if it may not or can not be used: one odd key must not spoil the others."""
    if not isinstance(jwk, dict) or not _for_signatures(jwk):
        return None
    key_id, algorithms = jwk.get("kid"), _algorithms(jwk)
    if not algorithms or not (key_id is None or (isinstance(key_id, str) and len(key_id) <= KEY_ID_LENGTH_MAX)):
        return None
    try:
        public = jwt.PyJWK(jwk, algorithms[0]).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        return None
    if isinstance(public, RSAPublicKey) and not RSA_BITS_MIN <= public.key_size <= RSA_BITS_MAX:
        return None
    return Key(key_id, public, frozenset(algorithms))


def _for_signatures(jwk: dict[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    # A published private key is everybody's.
    return "d" not in jwk and jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _algorithms(jwk: dict[str, Any]) -> tuple[str, ...]:
    """Those of the key's type; only the one that the key names, where it names one."""
    kind, curve, named = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return ()
    algorithms = ALGORITHMS.get((kind, curve), ())
    return algorithms if named is None else tuple(name for name in algorithms if name == named)
