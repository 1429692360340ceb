"""Tokens: `onw_<id>_<secret>`. The id finds the record, the secret is shown once and kept as a hash."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from kit.errors import InvalidToken

# Nobody's token is longer, and a header is read before anything is known about its sender.
TOKEN_LENGTH_MAX = 256
_TOKEN = re.compile(r"onw_([a-z0-9]{4,32})_([A-Za-z0-9]{16,128})")


@dataclass(frozen=True, slots=True)
class Token:
    """A token in its parts; its secret does not show in logs and tracebacks."""

    id: str
    secret: str = field(repr=False)


def parse_token(text: str) -> Token:
    """Split a token; raise `InvalidToken` if it is none. Says nothing about whether it is known."""
    match = _TOKEN.fullmatch(text) if len(text) <= TOKEN_LENGTH_MAX else None
    if match is None:
        raise InvalidToken("The token is not one of Onward's: it must look like onw_<id>_<secret>.")
    return Token(match[1], match[2])


def format_token(token_id: str, secret: str) -> str:
    """The text that the token's owner gets to see, once."""
    return f"onw_{token_id}_{secret}"


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret. SHA-256 is enough since secrets are 160 random bits (kit.ids)."""
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, hashed: bytes) -> bool:
    """Compare in time that does not depend on where they differ."""
    return hmac.compare_digest(hash_secret(secret), hashed)
