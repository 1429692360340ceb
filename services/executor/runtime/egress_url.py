"""URLs as the broker needs them: taken apart once, hosts in their ASCII form."""

import base64
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

from services.executor.runtime.egress import EgressError, denied, type_error

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^#]*)(#.*)?", re.DOTALL)
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f]")
_FORBIDDEN_HOST: Final = re.compile(r"[\x00-\x20\x7f#/<>?@\\^|\[\]]")
_NOT_ASCII_URL: Final = re.compile(r"[^\x21-\x7e]|[\"<>]")
_CONTROLS_AND_SPACE: Final = "".join(map(chr, range(0x21)))
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_TO_ESCAPE: Final = re.compile(r"[^\x21-\x7e]|[{}|\\^`<>\"']")
_STRIPPED_BY_WHATWG: Final = str.maketrans("", "", "\t\n\r")

URL_CHARS_MAX: Final = 64 << 10  # what large servers accept is far below
HOSTS_CACHED_MAX: Final = 4096
# A name of 255 characters, each percent-encoded, and a port.
HOSTPORT_CHARS_MAX: Final = 1024


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


def _origin(scheme: str, authority: str) -> Origin:
    userinfo, _, hostport = authority.rpartition("@")
    if len(hostport) > HOSTPORT_CHARS_MAX:
        raise type_error("ERR_INVALID_URL", "Invalid URL")
    origin = _place(scheme, hostport)
    return replace(origin, authorization=_basic(userinfo)) if userinfo else origin


# What stays in memory is short, and holds nobody's credentials.
@lru_cache(maxsize=HOSTS_CACHED_MAX)
def _place(scheme: str, hostport: str) -> Origin:
    host, port = _split_port(hostport)
    host = _ascii_host(host)
    port_number = _DEFAULT_PORT[scheme] if port == "" else _port_number(port)
    literal = f"[{host}]" if ":" in host else host
    header = literal if port_number == _DEFAULT_PORT[scheme] else f"{literal}:{port_number}"
    return Origin(scheme, host, port_number, header, None)


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
    # As Node does, which leaves out the colon that the standard asks for.
    credentials = unquote_to_bytes(user) + (b":" + unquote_to_bytes(password) if password else b"")
    return "Basic " + base64.b64encode(credentials).decode("ascii")


def redirect_url(base: str, location: str) -> str | None:
    """The absolute URL of a Location header, parsed as the URL standard parses it; None when it is none.

    `base` is an http(s) URL that has been through `split_url`; schemes other than these two are left as they are.
    """
    location = location.strip(_CONTROLS_AND_SPACE).translate(_STRIPPED_BY_WHATWG)
    scheme, authority, base_path, base_query = _base_parts(base)
    if match := _SCHEME.match(location):
        named, location = match[1].lower(), match[2]
        if named not in _DEFAULT_PORT:
            return f"{named}:{location}"
        if named != scheme or location[:1] in ("/", "\\"):
            return _normal(named, "//" + location.lstrip("/\\"), "/", "")
    return _normal(f"{scheme}", location, base_path, base_query, authority)


def _base_parts(base: str) -> tuple[str, str, str, str]:
    match = _URL.fullmatch(base.partition("#")[0])
    assert match is not None, "the base has been parsed before"
    path, mark, query = (match[3] or "").partition("?")
    return match[1].lower(), match[2] or "", path or "/", mark + query


def _normal(scheme: str, location: str, base_path: str, base_query: str, authority: str = "") -> str | None:
    """An http(s) URL from what follows its scheme."""
    location, hash_mark, fragment = location.partition("#")
    path, mark, query = location.partition("?")
    path, query = path.replace("\\", "/"), mark + query
    if path.startswith("//"):
        authority, slash, path = path[2:].partition("/")
        path = slash + path
        normal = _normal_authority(scheme, authority)
        if normal is None:
            return None
        authority = normal
    elif not path:
        path, query = base_path, query or base_query
    elif not path.startswith("/"):
        path = base_path.rpartition("/")[0] + "/" + path
    return f"{scheme}://{authority}{_escaped(_without_dots(path))}{_escaped(query + hash_mark + fragment)}"


def _normal_authority(scheme: str, authority: str) -> str | None:
    try:
        origin = _origin(scheme, authority)
    except EgressError:
        return None
    userinfo, at, _ = authority.rpartition("@")
    return userinfo + at + origin.host_header


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    if segments and segments[-1].lower().replace("%2e", ".") in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _escaped(text: str) -> str:
    """What is not ASCII as UTF-8, and what node-fetch escapes besides."""
    return quote(text, safe="!#$%&()*+,/:;=?@[]~") if _TO_ESCAPE.search(text) else text


def check_redirect(source: Origin, target: str) -> Origin:
    """The next hop's origin; http and https only, and never from https back to http."""
    if target.partition(":")[0].lower() not in _DEFAULT_PORT:
        raise denied()
    origin, _ = split_url(target)
    if source.scheme == "https" and origin.scheme == "http":
        raise denied()
    return origin
