"""Tokens, `onw_<id>_<secret>`, and write keys, `onwk_<id>_<secret>`.

The id finds the record, the secret is shown once and kept as a hash.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from kit.errors import InvalidToken

# None of our own tokens and keys is longer, nor should those be that operators make up.
TOKEN_LENGTH_MAX = 256
# An identity provider's token is longer, as it holds claims; with more than this, HTTP servers refuse its header too.
BEARER_LENGTH_MAX = 8 * 1024
# How they begin, and the names of the connections to NATS that they open.
TOKEN_MARK = "onw_"  # noqa: S105  # no password
WRITE_KEY_MARK = "onwk_"
_PARTS = r"([a-z0-9]{4,32})_([A-Za-z0-9]{16,128})"
_TOKEN = re.compile(f"{TOKEN_MARK}{_PARTS}")
_WRITE_KEY = re.compile(f"{WRITE_KEY_MARK}{_PARTS}")
# The last part is empty where the algorithm is `none`; that is refused with a reason (kit.auth.oidc).
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Token:
    """A token in its parts; its secret does not show in logs and tracebacks."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WriteKey:
    """What a publisher presents, in its parts. A type of its own, so that neither passes for the other."""

    id: str
    secret: str = field(repr=False)


def parse_token(text: str) -> Token:
    """Split a token; raise `InvalidToken` if it is none. Says nothing about whether it is known."""
    match = _matched(_TOKEN, text)
    if match is None:
        raise InvalidToken("The token is not one of Onward's: it must look like onw_<id>_<secret>.")
    return Token(match[1], match[2])


def parse_write_key(text: str) -> WriteKey:
    """Split a source's write key; raise `InvalidToken` if it is none. Says nothing about whether it is known."""
    match = _matched(_WRITE_KEY, text)
    if match is None:
        raise InvalidToken("This is not a write key of a source: it must look like onwk_<id>_<secret>.")
    return WriteKey(match[1], match[2])


def looks_like_jwt(token: str) -> bool:
    """Whether it may be of an identity provider, and is worth asking an `OidcVerifier`; our own tokens are not."""
    return len(token) <= BEARER_LENGTH_MAX and not token.startswith(TOKEN_MARK) and _JWT.fullmatch(token) is not None


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return pattern.fullmatch(text) if len(text) <= TOKEN_LENGTH_MAX else None


def format_token(token_id: str, secret: str) -> str:
    """The text that the token's owner gets to see, once."""
    return f"{TOKEN_MARK}{token_id}_{secret}"


def format_write_key(key_id: str, secret: str) -> str:
    """The text that the source's publishers are given, once."""
    return f"{WRITE_KEY_MARK}{key_id}_{secret}"


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret. SHA-256 is enough since secrets are 160 random bits (kit.ids)."""
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, hashed: bytes) -> bool:
    """Compare in time that does not depend on where they differ."""
    return hmac.compare_digest(hash_secret(secret), hashed)
