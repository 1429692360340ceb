"""Tokens of one OIDC issuer (JWTs), as bearer tokens beside our own. What rules they keep: RFC 7519, RFC 8725."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson

from kit.auth.issuer import Issuer, fetch_keys
from kit.auth.issuer_keys import IssuerKeys
from kit.auth.jwks import ALLOWED_ALGORITHMS, KEY_ID_LENGTH_MAX
from kit.auth.tokens import BEARER_LENGTH_MAX, looks_like_jwt
from kit.clock import Clock
from kit.errors import InvalidToken

# How far the issuer's clock may be ahead of ours. An expired token gets no grace: it can be renewed.
LEEWAY_S = 60.0
# OpenID Connect Core, section 2: at most 255 ASCII characters.
SUBJECT_LENGTH_MAX = 255
# RFC 5321's longest path.
EMAIL_LENGTH_MAX = 254
# Only for people to read.
NAME_LENGTH_MAX = 200
# The end of the year 9999, the last that datetime has.
TIME_MAX = 253_402_300_799
# Tokens of other purposes, such as logout tokens, may be signed by the same keys (RFC 8725, section 3.11).
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
# Knows the allowed algorithms and no others, so that not even a mistake here could make it accept HS256.
_jws = jwt.PyJWS(sorted(ALLOWED_ALGORITHMS))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who presented a token. Issuer and subject together name a person for good; all else may change."""

    issuer: str
    subject: str
    # Only an address that the issuer has verified.
    email: str | None
    name: str | None
    expires_at: datetime


class OidcVerifier:
    """Accepts the tokens of one issuer. `close` it; nothing is asked of the issuer before the first token."""

    def __init__(self, issuer: Issuer, clock: Clock, keys: IssuerKeys | None = None) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys = keys or IssuerKeys(issuer.url, lambda: fetch_keys(issuer), clock)

    async def verify(self, token: str) -> Identity:
        """Whose token it is; raises `InvalidToken`, or `Unavailable` where the issuer's keys can't be had."""
        header, claims = _unverified(token)
        algorithm, key_id = _signature(header)
        # What is refused anyway costs no question and no signature check. It counts again below.
        identify(claims, self._issuer, self._clock.now())
        key = await self._keys.find(key_id, algorithm)
        try:
            payload = _jws.decode(token, key.public, algorithms=[algorithm])
        except jwt.PyJWTError:
            raise InvalidToken("The token's signature is wrong: it was changed, or somebody else made it.") from None
        return identify(_object(payload), self._issuer, self._clock.now())

    async def close(self) -> None:
        """End what is under way."""
        await self._keys.close()


def identify(claims: dict[str, Any], issuer: Issuer, now: datetime) -> Identity:
    """Who the claims are about, if they are for us and hold now; raises `InvalidToken`."""
    if claims.get("iss") != issuer.url:
        raise InvalidToken(f"The token is of another issuer; only those of {issuer.url} are accepted here.")
    audience = claims.get("aud")
    if issuer.audience not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken(f"The token is meant for others: its audience must be {issuer.audience}.")
    expires_at = _check_times(claims, now)
    return Identity(issuer.url, _subject(claims), _email(claims), _name(claims), expires_at)


def _check_times(claims: dict[str, Any], now: datetime) -> datetime:
    expires = _time(claims, "exp")
    if expires is None:
        raise InvalidToken("The token has no expiry (exp); only tokens that expire are accepted.")
    if now.timestamp() >= expires:
        raise InvalidToken("The token has expired; get a new one.")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and begins > now.timestamp() + LEEWAY_S:
            raise InvalidToken(f"The token is not valid yet ({name}); do the clocks agree?")
    return datetime.fromtimestamp(expires, UTC)


def _time(claims: dict[str, Any], name: str) -> float | None:
    """Seconds since 1970; None if there are none."""
    if name not in claims:
        return None
    seconds = claims[name]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= TIME_MAX:
        raise InvalidToken(f"The token's {name} is no time in seconds since 1970.")
    return seconds


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX:
        raise InvalidToken(f"The token must name a subject (sub) of 1 to {SUBJECT_LENGTH_MAX} characters.")
    if not subject.isascii() or not subject.isprintable():
        raise InvalidToken("The token's subject (sub) must be printable ASCII.")
    return subject


def _email(claims: dict[str, Any]) -> str | None:
    """The address, only where the issuer says that it is the subject's own. Some write "true", which is not true."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    usable = len(email) <= EMAIL_LENGTH_MAX and email.isprintable() and _EMAIL.fullmatch(email)
    return email if usable else None


def _name(claims: dict[str, Any]) -> str | None:
    name = claims.get("name")
    return name[:NAME_LENGTH_MAX] if isinstance(name, str) and name and name.isprintable() else None


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, as somebody wrote them."""
    if len(token) > BEARER_LENGTH_MAX:
        raise InvalidToken(f"The token is longer than {BEARER_LENGTH_MAX} characters; ask for fewer claims in it.")
    if not looks_like_jwt(token):
        raise InvalidToken("The token is no JWT: it must have three parts with dots between.")
    try:
        # Only read here: the signature is checked by `verify`.
        read = _jws.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise InvalidToken("The token is no JWT: its parts are no base64url of JSON.") from None
    return read["header"], _object(read["payload"])


def _signature(header: dict[str, Any]) -> tuple[str, str | None]:
    """Algorithm and key id. Keys that the header brings along (jwk, jku, x5c, x5u) are not even looked at."""
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALLOWED_ALGORITHMS:
        raise InvalidToken(f"The token must be signed by one of {', '.join(sorted(ALLOWED_ALGORITHMS))}.")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise InvalidToken("The token is of a type (typ) that is not for access; send an access token or ID token.")
    if "crit" in header:
        raise InvalidToken("The token's header demands extensions (crit) that are not known here.")
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > KEY_ID_LENGTH_MAX):
        raise InvalidToken(f"The token's key id (kid) must be a text of at most {KEY_ID_LENGTH_MAX} characters.")
    return algorithm, key_id


def _object(payload: bytes) -> dict[str, Any]:
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError:
        claims = None
    if not isinstance(claims, dict):
        raise InvalidToken("The token's claims are no JSON object.")
    return claims
