"""URLs as the broker needs them: taken apart once, hosts in their ASCII form."""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin

from services.executor.runtime.egress import denied, type_error

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^#]*)(#.*)?", re.DOTALL)
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f]")
_FORBIDDEN_HOST: Final = re.compile(r"[\x00-\x20\x7f#/<>?@\\^|\[\]]")
_NOT_ASCII_URL: Final = re.compile(r"[^\x21-\x7e]|[\"<>]")
_STRIPPED_BY_WHATWG: Final = str.maketrans("", "", "\t\n\r")

URL_CHARS_MAX: Final = 64 << 10  # what large servers accept is far below
HOSTS_CACHED_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes, and what its Host header says."""

    scheme: str
    host: str
    port: int
    host_header: str
    authorization: str | None  # from user:password@ in the URL

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.scheme, self.host, self.port)


def split_url(url: str) -> tuple[Origin, str]:
    """Origin and request target of an absolute http(s) URL; a TypeError-like EgressError when it is none."""
    match = _URL.fullmatch(url) if len(url) <= URL_CHARS_MAX else None
    if match is None or _FORBIDDEN.search(url):
        raise type_error("ERR_INVALID_URL", "Only absolute URLs are supported")
    scheme, authority, target, _ = match.groups()
    if scheme.lower() not in _DEFAULT_PORT:
        raise type_error("ERR_INVALID_PROTOCOL", "Only HTTP(S) protocols are supported")
    origin = _origin(scheme.lower(), authority or "")
    if _NOT_ASCII_URL.search(target):
        target = quote(target, safe="%/?:@!$&'()*+,;=-._~[]|\\^`{}")
    return origin, target if target.startswith("/") else "/" + target


@lru_cache(maxsize=HOSTS_CACHED_MAX)
def _origin(scheme: str, authority: str) -> Origin:
    userinfo, _, hostport = authority.rpartition("@")
    host, port = _split_port(hostport)
    host = _ascii_host(host)
    port_number = _DEFAULT_PORT[scheme] if port == "" else _port_number(port)
    literal = f"[{host}]" if ":" in host else host
    header = literal if port_number == _DEFAULT_PORT[scheme] else f"{literal}:{port_number}"
    return Origin(scheme, host, port_number, header, _basic(userinfo))


def _split_port(hostport: str) -> tuple[str, str]:
    if hostport.startswith("["):
        host, bracket, rest = hostport[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise type_error("ERR_INVALID_URL", "Invalid URL")
        return host, rest[1:]
    host, _, port = hostport.partition(":")
    return host, port


def _port_number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 0xFFFF:
        return int(text)
    raise type_error("ERR_INVALID_URL", "Invalid URL")


def _ascii_host(host: str) -> str:
    """Lower case, percent-decoded, through IDNA, which turns circled and full-width digits into digits."""
    try:
        host = unquote(host, errors="strict")
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise type_error("ERR_INVALID_URL", "Invalid URL") from error
    if not host or len(host) > 255 or _FORBIDDEN_HOST.search(host):
        raise type_error("ERR_INVALID_URL", "Invalid URL")
    return host.lower()


def _basic(userinfo: str) -> str | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(":")
    return "Basic " + base64.b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)).decode("ascii")


def redirect_url(base: str, location: str) -> str:
    """The absolute URL of a Location header, parsed as leniently as browsers do; no fragment."""
    location = location.translate(_STRIPPED_BY_WHATWG).strip()
    path, mark, query = location.partition("?")
    url = urljoin(base, path.replace("\\", "/") + mark + query).partition("#")[0]
    return url.replace(" ", "%20")


def check_redirect(source: Origin, target: str) -> Origin:
    """The next hop's origin; http and https only, and never from https back to http."""
    if target.partition(":")[0].lower() not in _DEFAULT_PORT:
        raise denied()
    origin, _ = split_url(target)
    if source.scheme == "https" and origin.scheme == "http":
        raise denied()
    return origin
