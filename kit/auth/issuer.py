"""An OIDC issuer: where it is, and how its keys are fetched."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from kit.auth.jwks import BadKeySet, KeySet, parse_key_set

DISCOVERY_PATH = "/.well-known/openid-configuration"
# For discovery and keys together; somebody waits meanwhile.
FETCH_TIMEOUT_S = 5.0
# A hundred keys with their certificates are a third of it.
DOCUMENT_BYTES_MAX = 1024 * 1024
# Longer ones are no addresses that somebody wrote down.
URL_LENGTH_MAX = 2_048
AUDIENCE_LENGTH_MAX = 512


class IssuerUnavailable(Exception):  # noqa: N818  # it is told to nobody but the log
    """The issuer's keys can't be had. The message is for the log: it says which address did what."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """The one issuer whose tokens are accepted, and whom they must be meant for. Raises ValueError.

    `url` is compared letter by letter with the tokens' `iss`. Without `jwks_url`, the issuer is asked where its
    keys are (OpenID Connect Discovery).
    """

    url: str
    audience: str
    jwks_url: str | None = None

    def __post_init__(self) -> None:
        require_secure(self.url)
        if "?" in self.url:
            raise ValueError("must have no query")
        if self.jwks_url is not None:
            require_secure(self.jwks_url)
        if not 0 < len(self.audience) <= AUDIENCE_LENGTH_MAX:
            raise ValueError(f"the audience must have 1 to {AUDIENCE_LENGTH_MAX} characters")


def require_secure(url: str) -> str:
    """The address, if who answers there can be relied on: https, or this machine. Raises ValueError."""
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be an address of at most {URL_LENGTH_MAX} ASCII characters")
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.password is not None or "#" in url:
        raise ValueError("must be an address with a host, and without a user or a fragment")
    if parts.port == 0:  # where it is no port at all, asking raises ValueError
        raise ValueError("must have a port above 0")
    if parts.scheme != "https" and not _plain_and_here(url):
        raise ValueError("must begin with https:// (http:// only on the loopback)")
    return url


def _plain_and_here(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


async def fetch_keys(issuer: Issuer, timeout_s: float = FETCH_TIMEOUT_S) -> KeySet:
    """Ask the issuer for its keys; raises `IssuerUnavailable`."""
    try:
        async with asyncio.timeout(timeout_s), _session() as session:
            url = issuer.jwks_url or await _discovered(session, issuer)
            return parse_key_set(await _document(session, url))
    except TimeoutError:
        raise IssuerUnavailable(f"{issuer.url} did not answer within {timeout_s:g} s") from None
    except BadKeySet as error:
        raise IssuerUnavailable(f"the answer of {issuer.url} is no set of keys: {error}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # A connector's text names host and cause; a ValueError is an address that aiohttp does not take.
        raise IssuerUnavailable(f"{issuer.url} can't be reached: {type(error).__name__}: {error}") from error


def _session() -> aiohttp.ClientSession:
    """One for each time: keys are fetched every ten minutes. What is compressed could be larger than it looks."""
    return aiohttp.ClientSession(
        headers={"accept": "application/json", "accept-encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _discovered(session: aiohttp.ClientSession, issuer: Issuer) -> str:
    """Where the issuer says that its keys are."""
    return keys_url(await _document(session, issuer.url.rstrip("/") + DISCOVERY_PATH), issuer)


def keys_url(configuration: bytes, issuer: Issuer) -> str:
    """The jwks_uri of an issuer's configuration, if it is its own and safe; raises `IssuerUnavailable`."""
    metadata = _json_object(configuration)
    if metadata.get("issuer") != issuer.url:
        raise IssuerUnavailable(f"{issuer.url} names another issuer as itself: set ONWARD_OIDC_ISSUER to that name")
    url = metadata.get("jwks_uri")
    try:
        secure = require_secure(url if isinstance(url, str) else "")
    except ValueError as error:
        raise IssuerUnavailable(f"the jwks_uri of {issuer.url} {error}") from None
    # Somebody else's server must not send us to what listens on this machine.
    if _plain_and_here(secure) and not _plain_and_here(issuer.url):
        raise IssuerUnavailable(f"the jwks_uri of {issuer.url} must begin with https://")
    return secure


def _json_object(document: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(document)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        raise IssuerUnavailable("the issuer's configuration is no JSON object")
    return read


async def _document(session: aiohttp.ClientSession, url: str) -> bytes:
    """The body of a GET. Redirects are not followed: they could lead anywhere, and no provider needs them."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise IssuerUnavailable(f"{_where(url)} answered with status {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > DOCUMENT_BYTES_MAX:
                raise IssuerUnavailable(f"{_where(url)} answered with more than {DOCUMENT_BYTES_MAX} bytes")
        return bytes(body)


def _where(url: str) -> str:
    """For the log: a query may hold a key."""
    return url.partition("?")[0]
