"""Which addresses outgoing requests may reach.

Only global unicast addresses are allowed; `ipaddress.is_global` is no such check, since it passes NAT64,
6to4, multicast and two clouds' metadata addresses. The table follows the IANA special-purpose address
registries for IPv4 and IPv6 (RFC 6890 and its updates), plus the metadata addresses of the large clouds.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses never change their verdict; the cache only saves the walk through the table.
VERDICTS_CACHED_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the classifier says of one address, and why; reasons are for operators, never for user code."""

    allowed: bool
    reason: str


# Credentials of the machine itself are served here: a broad range that happens to contain one must not open
# it.
METADATA: Final[dict[str, str]] = {
    "169.254.169.254": "metadata service of AWS, Azure, Google Cloud and others",
    "169.254.170.2": "metadata service of AWS ECS",
    "169.254.170.23": "metadata service of AWS EKS",
    "169.254.0.23": "metadata service of Tencent Cloud",
    "100.100.100.200": "metadata service of Alibaba Cloud",
    "168.63.129.16": "Azure wire server",
    "192.0.0.192": "metadata service of Oracle Cloud Classic",
    "fd00:ec2::254": "metadata service of AWS",
    "fd00:ec2::23": "metadata service of AWS EKS",
    "fd20:ce::254": "metadata service of Google Cloud",
    "fd00:42::42": "metadata service of Scaleway",
}

SPECIAL_PURPOSE: Final[dict[str, str]] = {
    "0.0.0.0/8": "this host on this network (RFC 791)",
    "10.0.0.0/8": "private use (RFC 1918)",
    "100.64.0.0/10": "carrier-grade NAT (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "169.254.0.0/16": "link-local (RFC 3927)",
    "172.16.0.0/12": "private use (RFC 1918)",
    "192.0.0.0/24": "IETF protocol assignments (RFC 6890)",
    "192.0.2.0/24": "documentation (RFC 5737)",
    "192.31.196.0/24": "AS112 sink (RFC 7535)",
    "192.52.193.0/24": "AMT relay (RFC 7450)",
    "192.88.99.0/24": "6to4 relay anycast (RFC 7526)",
    "192.168.0.0/16": "private use (RFC 1918)",
    "192.175.48.0/24": "AS112 sink (RFC 7534)",
    "198.18.0.0/15": "benchmarking (RFC 2544)",
    "198.51.100.0/24": "documentation (RFC 5737)",
    "203.0.113.0/24": "documentation (RFC 5737)",
    "224.0.0.0/4": "multicast (RFC 5771)",
    "255.255.255.255/32": "limited broadcast (RFC 8190)",
    "240.0.0.0/4": "reserved (RFC 1112)",
    "::/128": "unspecified (RFC 4291)",
    "::1/128": "loopback (RFC 4291)",
    "::ffff:0:0:0/96": "IPv4-translated (RFC 2765)",
    "::/96": "IPv4-compatible (RFC 4291)",
    "64:ff9b::/96": "NAT64 (RFC 6052)",
    "64:ff9b:1::/48": "local-use NAT64 (RFC 8215)",
    "100::/64": "discard only (RFC 6666)",
    "100:0:0:1::/64": "dummy prefix (RFC 9780)",
    "2001::/32": "Teredo (RFC 4380)",
    "2001:2::/48": "benchmarking (RFC 5180)",
    "2001:db8::/32": "documentation (RFC 3849)",
    "2001:20::/28": "ORCHIDv2 (RFC 7343)",
    "2001::/23": "IETF protocol assignments (RFC 2928)",
    "2002::/16": "6to4 (RFC 3056)",
    "2620:4f:8000::/48": "AS112 sink (RFC 7534)",
    "3fff::/20": "documentation (RFC 9637)",
    "5f00::/16": "segment routing (RFC 9602)",
    "fc00::/7": "unique local (RFC 4193)",
    "fe80::/10": "link-local (RFC 4291)",
    "fec0::/10": "site-local (RFC 3879)",
    "ff00::/8": "multicast (RFC 4291)",
}

_METADATA: Final = {ipaddress.ip_address(text): reason for text, reason in METADATA.items()}
_SPECIAL: Final = [(ipaddress.ip_network(text), reason) for text, reason in SPECIAL_PURPOSE.items()]
_GLOBAL_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")


def parse_address(text: str) -> Address:
    """The address that a socket would connect to: no scope, IPv4-mapped IPv6 as IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def classify(address: Address | str) -> Verdict:
    """Judge one address; raises ValueError when a text is no canonical address (`127.1` is none)."""
    return _classify(parse_address(str(address)))


@lru_cache(maxsize=VERDICTS_CACHED_MAX)
def _classify(address: Address) -> Verdict:
    if (reason := _METADATA.get(address)) is not None:
        return Verdict(False, reason)
    for network, reason in _SPECIAL:
        if address in network:
            return Verdict(False, reason)
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST_V6:
        return Verdict(False, "not global unicast (RFC 4291)")
    return Verdict(True, "global unicast")


def _opened_by(address: Address, allowed_ranges: Iterable[Network]) -> bool:
    """Whether an operator's range opens an address; a metadata service takes a range of that one address."""
    if address.is_unspecified:
        return False
    exact_only = address in _METADATA
    return any(address in network and (not exact_only or network.num_addresses == 1) for network in allowed_ranges)


def _is_local(address: Address) -> bool:
    """Whether this machine owns the address: only then can a socket be bound to it."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            # Anything but "not mine" is an answer that we don't understand, so the address counts as ours.
            return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


class AddressPolicy:
    """Decides on (address, port) pairs.

    `own_endpoints` are what Onward itself listens on or stores its data in (services, Postgres, NATS); they
    stay out of reach even when a workspace's ranges contain them. A port of this machine is closed on every
    address of this machine, since a listener may be reachable by more addresses than it was configured
    with.
    """

    def __init__(self, own_endpoints: Iterable[tuple[str, int]] = ()) -> None:
        self._own_local_ports: set[int] = set()
        self._own_remote: set[tuple[Address, int]] = set()
        self._own_names: set[tuple[str, int]] = set()
        for host, port in own_endpoints:
            self.add_own_endpoint(host, port)

    def add_own_endpoint(self, host: str, port: int) -> None:
        address = parse_address(host)
        if _is_local(address):
            self._own_local_ports.add(port)
        else:
            self._own_remote.add((address, port))

    def add_own_name(self, host: str, port: int) -> None:
        self._own_names.add((host.lower().rstrip("."), port))

    def is_own_name(self, host: str, port: int) -> bool:
        return (host.rstrip("."), port) in self._own_names

    def denial(self, text: str, port: int, allowed_ranges: tuple[Network, ...]) -> str | None:
        """Why a connection is denied, or None when it may be made."""
        address = parse_address(text)
        if (address, port) in self._own_remote:
            return "an endpoint of Onward itself"
        if port in self._own_local_ports and _is_local(address):
            return "an endpoint of Onward itself"
        verdict = _classify(address)
        if verdict.allowed or _opened_by(address, allowed_ranges):
            return None
        return verdict.reason
