"""Pages of a list (AIP-158): opaque tokens that only the list that made them accepts."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import cast

import orjson

from kit.errors import InvalidPageToken
from kit.rpc.names import malformed

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 1_000
# A cursor is a few ids and numbers; anything longer was not made here, and is not decoded.
TOKEN_LENGTH_MAX = 1_024
_MAC_BYTES = 16

Cursor = tuple[str | int, ...]


def page_size(requested: int) -> int:
    """How many to answer: 0 means the default, more than the most means the most."""
    if requested < 0:
        raise malformed("page_size", "must not be negative")
    return min(requested or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


class PageTokens:
    """Makes and reads page tokens. They are authenticated, not encrypted: a cursor holds no secret.

    Replicas that share a secret accept each other's tokens; without one, tokens end with the process.
    """

    def __init__(self, secret: str | None = None) -> None:
        seed = secret.encode() if secret else secrets.token_bytes(32)
        # A key of its own, so that page tokens say nothing about what else the secret protects.
        self._key = hmac.digest(seed, b"onward page tokens", hashlib.sha256)

    def make(self, cursor: Cursor, *binding: str) -> str:
        """A token for the page after `cursor`.

        `binding` is all that makes the list what it is: its kind, parent, filter and order.
        """
        body = orjson.dumps(cursor)
        token = base64.urlsafe_b64encode(self._mac(body, binding) + body).decode().rstrip("=")
        assert len(token) <= TOKEN_LENGTH_MAX, "a cursor must stay small"
        return token

    def read(self, token: str, *binding: str) -> Cursor | None:
        """The cursor in `token`, None for the first page; `InvalidPageToken` for one of another list."""
        if not token:
            return None
        raw = _decoded(token)
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body, binding)):
            raise _refused()
        return tuple(cast(list[str | int], orjson.loads(body)))

    def _mac(self, body: bytes, binding: tuple[str, ...]) -> bytes:
        # JSON keeps the parts apart: ("a", "bc") is not ("ab", "c").
        text = orjson.dumps(binding) + b"\n" + body
        return hmac.digest(self._key, text, hashlib.sha256)[:_MAC_BYTES]


def _decoded(token: str) -> bytes:
    if len(token) > TOKEN_LENGTH_MAX:
        raise _refused()
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused() from None


def _refused() -> InvalidPageToken:
    wrong = "was not made by this list with this filter; begin again without it"
    return InvalidPageToken(f"page_token {wrong}.", violations=[("page_token", wrong)])
